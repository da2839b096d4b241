"""`python -m loadtest size`: what a service needs, reckoned from the newest whole bench; the tables of docs/sizing.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from loadtest import history
from loadtest.history import Run, Sizes
from loadtest.server import REPOSITORY

PAGE: Final = REPOSITORY / "docs" / "sizing.md"
_NODE: Final = "One node that carries the whole service alone, with upstreams over TLS and a million listed names:"
_BEGIN, _END = "<!-- reckoned -->\n", "<!-- end of what is reckoned -->"

WEEK_S: Final = 7 * 24 * 3600
PEAK: Final = 53_000 / 4_300  # of the service that the design is sized after
COUNCILS: Final = 222
MB: Final = 1e6

# Not measured by a bench.
HIT_SHARE: Final = 0.9  # a real capture had 0.96
UNSEEN: Final = 2.0  # interrupts of the network card, virtualisation, a slower core: not in the CPU time of a process on loopback
BUSY: Final = 0.5  # of a core: what a worker is loaded with at the peak, so that one node more or less changes nothing
QUERY_BYTES, ANSWER_BYTES = 100, 160  # with the headers of Ethernet, IP and UDP
KEEP_S: Final = 3600  # how long an answer should stay in the cache
LONGER: Final = 2.0  # real answers, against the one record of the bench's
EVENT_BYTES: Final = 47.6  # docs/event-store.md
LIST_BYTES: Final = 22 + 28  # of a listed name as a copy and parsed, docs/feeds.md
JOB_BYTES, JOB_BYTES_A_NAME = 150e6, 110  # docs/feeds.md
SPOOL_BYTES: Final = 268_435_456  # events.max_bytes
EVENTS_WEEKS: Final = 30 / 7  # events.keep_days
WORKERS: Final = 4  # of a node, where nodes are away
LATENCY_S, SLOW_S = 0.03, 1.5  # of an upstream, and of one in trouble


class Service(NamedTuple):
    """A service to size."""

    title: str
    queries_a_week: float
    peak_per_s: float
    blocked_a_week: float
    names: float = 1_000_000  # listed


def of_councils(title: str, councils: int) -> Service:
    """That many of the 222 councils of the service that is known."""
    share = councils / COUNCILS
    queries = NATIONAL.queries_a_week * share
    return Service(title, queries, NATIONAL.peak_per_s * share, NATIONAL.blocked_a_week * share)


NATIONAL: Final = Service("222 councils", 2.6e9, 53_000, 2.1e6)
SERVICES: Final = (
    of_councils("1 council, 2,000 staff", 1),
    of_councils("10 councils", 10),
    of_councils("200 councils", 200),
    NATIONAL,
)


class Need(NamedTuple):
    """What each node needs that carries the whole service alone. Microseconds, cores, bytes; `tls`: upstreams over TLS."""

    average_per_s: float
    query_us: float
    query_tls_us: float
    cores: float
    cores_tls: float
    upstream_per_s: float
    cache_bytes: float
    memory_bytes: float
    disk_bytes: float
    in_bits_per_s: float
    out_bits_per_s: float
    machine_cores: int
    left: float  # share of the machine at the peak


def path_us(run: Run, key: str) -> float:
    """CPU time of a query of one path."""
    return run.ratios[key] * run.echo_cpu_us


def query_us(run: Run, miss_us: float) -> float:
    """CPU time of a query of the mix, with misses that cost `miss_us`."""
    return HIT_SHARE * path_us(run, "hit") + (1 - HIT_SHARE) * miss_us


def worker_per_s(us: float) -> float:
    """Queries a second that load one worker with `BUSY`, all that a bench does not see included."""
    return BUSY / (us * UNSEEN) * 1e6


def need(service: Service, run: Run, sizes: Sizes) -> Need:
    """What a node needs to carry `service` alone."""
    plain, tls = query_us(run, path_us(run, "forward")), query_us(run, sizes.forward_tls_us)
    average = service.queries_a_week / WEEK_S
    misses = average * (1 - HIT_SHARE)
    cache = max(64 * 1024 * 1024, misses * KEEP_S * sizes.cached_answer * LONGER)
    cores_tls = service.peak_per_s * tls * UNSEEN / 1e6
    machine = max(2, math.ceil(cores_tls / BUSY) + 1)  # one more, for feeds, events and the system
    processes = {role: float(size) for role, size in sizes.processes.items()}
    fixed = sum(processes.values()) - processes["worker"] + machine * processes["worker"]
    lists = 2 * service.names * sizes.list_memory  # the old and the new blockset, while one replaces the other
    return Need(
        average_per_s=average,
        query_us=plain,
        query_tls_us=tls,
        cores=service.peak_per_s * plain * UNSEEN / 1e6,
        cores_tls=cores_tls,
        upstream_per_s=service.peak_per_s * (1 - HIT_SHARE),
        cache_bytes=cache,
        memory_bytes=fixed + lists + cache + JOB_BYTES + service.names * JOB_BYTES_A_NAME,
        disk_bytes=service.names * (LIST_BYTES + 3 * sizes.blockset)
        + SPOOL_BYTES
        + EVENTS_WEEKS * service.blocked_a_week * EVENT_BYTES,
        in_bits_per_s=service.peak_per_s * QUERY_BYTES * 8,
        out_bits_per_s=service.peak_per_s * ANSWER_BYTES * 8,
        machine_cores=machine,
        left=1 - cores_tls / machine,
    )


def newest(runs: Sequence[Run]) -> tuple[Run, Sizes]:
    """The newest whole run with sizes. Raises `ValueError` when there is none."""
    for run in reversed(runs):
        if run.mode == "full" and run.sizes is not None and run.sizes.forward_tls_us:
            return run, run.sizes
    raise ValueError("no whole bench with sizes is recorded; `make bench-record` records one")


def arithmetic(service: Service, run: Run, sizes: Sizes) -> Iterator[str]:
    """Each step from a week's queries to a node, as lines of text."""
    n = need(service, run, sizes)
    hit, miss = path_us(run, "hit"), path_us(run, "forward")
    share = 1 - HIT_SHARE
    yield f"queries      {service.queries_a_week / 1e6:,.0f} m a week / {WEEK_S:,} s = {n.average_per_s:,.0f}/s on average"
    yield f"peak         {service.peak_per_s:,.0f}/s, {service.peak_per_s / n.average_per_s:.1f} times the average"
    yield f"CPU, UDP     {HIT_SHARE:g} x {hit:.2f} us (hit) + {share:.1f} x {miss:.2f} us (miss) = {n.query_us:.2f} us a query"
    yield (
        f"CPU, TLS     {HIT_SHARE:g} x {hit:.2f} us (hit) + {share:.1f} x {sizes.forward_tls_us:.1f} us (miss over TLS)"
        f" = {n.query_tls_us:.2f} us a query"
    )
    yield f"cores, UDP   {service.peak_per_s:,.0f}/s x {n.query_us:.2f} us x {UNSEEN:g} = {n.cores:.2f} cores at the peak"
    yield f"cores, TLS   {service.peak_per_s:,.0f}/s x {n.query_tls_us:.2f} us x {UNSEEN:g} = {n.cores_tls:.2f} cores at the peak"
    yield (
        f"machine      {n.cores_tls:.2f} cores / {BUSY:g} (load of a worker), rounded up, + 1 = {n.machine_cores} cores,"
        f" of which {n.left:.0%} are free at the peak"
    )
    yield f"upstreams    {share:.1f} x {service.peak_per_s:,.0f}/s = {n.upstream_per_s:,.0f}/s at the peak"
    yield (
        f"in flight    {n.upstream_per_s:,.0f}/s x {LATENCY_S:g} s = {n.upstream_per_s * LATENCY_S:,.0f} questions;"
        f" x {SLOW_S:g} s (slow upstreams) = {n.upstream_per_s * SLOW_S:,.0f}"
    )
    yield (
        f"cache        {n.average_per_s * share:,.0f} misses/s x {KEEP_S:,} s x {sizes.cached_answer:.0f} bytes x {LONGER:g}"
        f" = {n.average_per_s * share * KEEP_S * sizes.cached_answer * LONGER / MB:,.0f} MB (the default, 67 MB, is the least)"
    )
    workers = n.machine_cores * sizes.processes["worker"] / MB
    others = (sum(sizes.processes.values()) - sizes.processes["worker"]) / MB
    yield (
        f"memory       {workers:.0f} MB ({n.machine_cores} workers) + {others:.0f} MB (other processes)"
        f" + {2 * service.names * sizes.list_memory / MB:.0f} MB (two blocksets)"
        f" + {(JOB_BYTES + service.names * JOB_BYTES_A_NAME) / MB:.0f} MB (a compile)"
        f" + {n.cache_bytes / MB:,.0f} MB (cache) = {n.memory_bytes / MB:,.0f} MB"
    )
    events = f"{EVENTS_WEEKS:.1f} weeks x {service.blocked_a_week:,.0f} events x {EVENT_BYTES} bytes"
    yield (
        f"disk         {service.names * (LIST_BYTES + 3 * sizes.blockset) / MB:.0f} MB (lists and three blocksets)"
        f" + {SPOOL_BYTES / MB:.0f} MB (spool) + {events}"
        f" = {n.disk_bytes / MB:,.0f} MB"
    )
    yield (
        f"network      {service.peak_per_s:,.0f}/s x {QUERY_BYTES} bytes x 8 = {n.in_bits_per_s / 1e6:,.1f} Mbit/s in,"
        f" x {ANSWER_BYTES} bytes x 8 = {n.out_bits_per_s / 1e6:,.1f} Mbit/s out"
    )


def tables(run: Run, sizes: Sizes) -> str:
    """The part of the page between its marks."""
    machine = run.machine
    commit = f"commit `{run.commit[:12]}`" if run.commit else "a commit that was not recorded"
    where = f"{machine.cpu}, {machine.cores} cores, load {machine.load_before:.1f} before the run"
    linux = machine.kernel.partition("-")[0]
    parts = [
        f"Measured on {run.when[:10]}, {commit}: {where}, Linux {linux}, Python {machine.python}.",
        _table(("measured", "value"), list(_measured(run, sizes))),
        f"### What a node needs\n\n{_NODE}",
        _table(
            ("service", "queries a week", "average, peak", "cores", "free at the peak", "memory", "disk", "network", "upstreams"),
            [_row(service, need(service, run, sizes)) for service in SERVICES],
        ),
        f"### The arithmetic\n\nFor {NATIONAL.title}:",
        "```text\n" + "\n".join(arithmetic(NATIONAL, run, sizes)) + "\n```",
        f"### What a worker is good for\n\nAt {BUSY:.0%} of a core, with a factor of {UNSEEN:g} for what a bench does not see:",
        _table(("upstreams", "CPU time of a query", "one worker", "four workers"), list(_workers(run, sizes))),
    ]
    parts += [
        f"### When nodes are away\n\nAt the peak of {NATIONAL.title}, with {WORKERS} workers a node and queries spread evenly:",
        _table(("nodes left", "queries of a node", "load of a worker"), list(_away(run, sizes))),
    ]
    return "\n\n".join(parts) + "\n"


def _measured(run: Run, sizes: Sizes) -> Iterator[tuple[str, ...]]:
    yield "bare echo of a datagram, CPU time", f"{run.echo_cpu_us:.2f} µs"
    yield "answer from the cache", f"{path_us(run, 'hit'):.2f} µs"
    yield (
        "blocked name, seen before; first sight",
        f"{path_us(run, 'blocked_seen'):.2f} µs; {path_us(run, 'blocked_first'):.2f} µs",
    )
    yield "name never seen, forwarded over UDP", f"{path_us(run, 'forward'):.2f} µs"
    yield "name never seen, forwarded over TLS", f"{sizes.forward_tls_us:.1f} µs"
    if sizes.forward_https_us:
        yield "name never seen, forwarded over HTTPS", f"{sizes.forward_https_us:.1f} µs"
    yield "a cached answer with one record", f"{sizes.cached_answer:.0f} bytes"
    yield (
        "a listed name in memory (all workers together); on the disk",
        f"{sizes.list_memory:.1f} bytes; {sizes.blockset:.1f} bytes",
    )
    yield "reading and compiling a million names while queries are answered", f"{sizes.compile_us:.1f} s"
    own = ", ".join(f"{role} {sizes.processes[role] / MB:.0f}" for role in ("supervisor", "worker", "feeds", "events"))
    yield "memory of each process without lists", f"{own} MB"


def _workers(run: Run, sizes: Sizes) -> Iterator[tuple[str, ...]]:
    for title, miss in (("UDP", path_us(run, "forward")), ("TLS", sizes.forward_tls_us)):
        us = query_us(run, miss)
        yield title, f"{us:.2f} µs", *(f"{_rounded(count * worker_per_s(us)):,.0f}/s" for count in (1, 4))


def _away(run: Run, sizes: Sizes) -> Iterator[tuple[str, ...]]:
    cores = need(NATIONAL, run, sizes).cores_tls
    for nodes in (6, 5, 4, 3, 2, 1):
        yield str(nodes), f"{NATIONAL.peak_per_s / nodes:,.0f}/s", f"{cores / nodes / WORKERS:.0%}"


def _rounded(number: float) -> float:
    return round(number, -3)


def _row(service: Service, n: Need) -> tuple[str, ...]:
    mbit = f"{n.in_bits_per_s / 1e6:,.1f} in, {n.out_bits_per_s / 1e6:,.1f} out Mbit/s"
    return (
        service.title,
        f"{service.queries_a_week / 1e6:,.0f} m",
        f"{n.average_per_s:,.0f}, {service.peak_per_s:,.0f}/s",
        str(n.machine_cores),
        f"{n.left:.1%}",
        f"{n.memory_bytes / MB:,.0f} MB",
        f"{n.disk_bytes / MB:,.0f} MB",
        mbit,
        f"{n.upstream_per_s:,.0f}/s",
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def with_tables(text: str, runs: Sequence[Run]) -> str:
    """The page `text` with the tables of the newest whole run. Raises `ValueError` without a place for them."""
    before, _, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not end:
        raise ValueError("the page has no place for the tables")
    return f"{before}{_BEGIN}\n{tables(*newest(runs))}\n{_END}{after}"


def show() -> None:
    """Write the tables of the page anew."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), history.read()), encoding="utf-8")
