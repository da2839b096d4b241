"""What a node takes besides the paths of a bench: memory of each process and of a cached answer, a miss over TLS and HTTPS."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from loadtest import footprint, packets, process, programs, server, traffic
from loadtest.lifecycle import pin
from loadtest.loopback import Address, free_port
from loadtest.population import Population
from loadtest.results import NodeCosts
from loadtest.server import Resolver
from pdns.demo import certificates

_READY_TIMEOUT_S = 60.0
_GAUGES_S = 5.0
_NAME = "upstream.test"
NAMES, TLS_NAMES = 100_000, 30_000
_MOST = 0.99  # of the queries, that must be answered
_CACHE = f"[cache]\nmax_bytes = {512 * 1024 * 1024}\n"  # nothing is evicted
_UNBOUND = """server:
  interface: 127.0.0.1@{port}
  interface: 127.0.0.1@{https_port}
  tls-port: {port}
  https-port: {https_port}
  tls-service-key: "{key}"
  tls-service-pem: "{certificate}"
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{directory}"
  pidfile: ""
  use-syslog: no
  verbosity: 0
  num-threads: 1
  incoming-num-tcp: 1000
  module-config: "iterator"
  do-not-query-localhost: no
  outgoing-range: 8192
  num-queries-per-thread: 4096
  unblock-lan-zones: yes
  insecure-lan-zones: yes
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {upstream_host}@{upstream_port}
"""


def measure(
    directory: Path,
    upstream: Address,
    people: Population,
    server_core: int | None,
    generator_core: int | None,
    names: int = NAMES,
    tls_names: int = TLS_NAMES,
) -> NodeCosts:
    """Resolvers without lists, one after the other, and that many new names. The costs over TLS and HTTPS are 0 where unbound
    is not installed.
    """
    with server.started(directory / "plain", upstream, None, more=_CACHE) as resolver:
        resolver.wait_ready(_READY_TIMEOUT_S)
        file = directory / "new-names"
        packets.write(file, traffic.never_seen(people, names, seed=5))
        programs.generate(programs.generator_command(resolver.address, file, count=names), generator_core)
        answers, size = _cache_of(resolver, names)
        memory = _memory_by_role(resolver)
    return NodeCosts(
        cached_answer_bytes=size / max(1.0, answers),
        memory_bytes=memory,
        forward_tls_us=_forward_us("tls", directory / "tls", upstream, people, server_core, generator_core, tls_names),
        forward_https_us=_forward_us("https", directory / "https", upstream, people, server_core, generator_core, tls_names),
    )


def _cache_of(resolver: Resolver, names: int) -> tuple[float, float]:
    """Answers in the cache and their bytes, once nearly all of `names` are there: gauges are a second behind."""
    until_s = time.monotonic() + _GAUGES_S
    while True:
        page = resolver.scrape()
        answers, size = (sum(page.get(f"pdns_cache_{what}", {}).values()) for what in ("entries", "bytes"))
        if answers >= _MOST * names or time.monotonic() > until_s:
            return answers, size
        time.sleep(0.1)


def _memory_by_role(resolver: Resolver) -> dict[str, int]:
    """Anonymous memory of each kind of process: what one more of it costs."""
    found: dict[str, int] = {}
    for life, role in footprint.tree(resolver.process.pid).items():
        with contextlib.suppress(OSError, KeyError):  # a job that has just ended
            found[role] = found.get(role, 0) + process.memory(life.pid).anonymous
    found.pop("job", None)
    return found


def _forward_us(
    transport: str,
    directory: Path,
    upstream: Address,
    people: Population,
    server_core: int | None,
    generator_core: int | None,
    names: int,
) -> float:
    if shutil.which("unbound", path="/usr/sbin:/usr/bin") is None:
        return 0.0
    directory.mkdir(parents=True)
    with _unbound(directory, upstream) as (over_tls, over_https):
        address = over_tls if transport == "tls" else over_https
        listen, metrics = Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port())
        text = server.config_text(listen, metrics, address, directory / "state", None, more=_CACHE)
        encrypted = f'["{transport}://{address}#{_NAME}"]\nca_file = "{directory / certificates.CERTIFICATE}"'
        text = text.replace(f'["udp://{address}"]', encrypted, 1)
        with server.started_by(directory, text, listen, metrics) as resolver:
            resolver.wait_ready(_READY_TIMEOUT_S)
            pin(resolver, server_core)
            file = directory / "new-names"
            packets.write(file, traffic.never_seen(people, names, seed=6))
            worker = resolver.worker()
            before = resolver.cpu_s(worker)
            run = programs.generate(programs.generator_command(resolver.address, file, count=names), generator_core)
            if run.rcodes.get(0, 0) < _MOST * names:
                raise server.ServerError(f"over {transport}, {run.rcodes} of {names:,} queries{resolver.last_words()}")
            return (resolver.cpu_s(worker) - before) / run.received * 1e6


@contextlib.contextmanager
def _unbound(directory: Path, upstream: Address) -> Iterator[tuple[Address, Address]]:
    """An upstream over TLS and HTTPS, which forwards to `upstream`."""
    address, https = Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port())
    files = certificates.self_signed(directory, _NAME)
    (directory / "unbound.conf").write_text(
        _UNBOUND.format(
            port=address.port,
            https_port=https.port,
            certificate=files.certificate,
            key=files.key,
            directory=directory,
            upstream_host=upstream.host,
            upstream_port=upstream.port,
        )
    )
    child = subprocess.Popen(["/usr/sbin/unbound", "-d", "-c", str(directory / "unbound.conf")], stderr=subprocess.DEVNULL)
    try:
        yield address, https
    finally:
        server.stop(child)
