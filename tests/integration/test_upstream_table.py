"""The table in docs/upstreams.md, against the real program: each kind of upstream alone, and all pairs among two to four.

The names of a scenario's questions are of different domains, so that each counts.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import dns.flags
import dns.message
import dns.rcode
import pytest

from tests.fakes.upstream import (
    FORMERR,
    NOTIMP,
    REFUSED,
    SERVFAIL,
    FakeUpstream,
    Handler,
    Send,
    answer,
    by_transport,
    changed,
    delayed,
    drop,
    lame,
    over_tcp_only,
    rcode,
    reply,
    wrong_question,
)
from tests.integration.running_pdns import ROOT, RunningPdns

pytestmark = [pytest.mark.long, pytest.mark.realtime, pytest.mark.timeout(300)]

ADDRESS = "192.0.2.7"
GOOD = answer(ADDRESS)
PROGRAMS = 8  # most of the time is spent waiting
EXPLORING_S = 20.0


class Row(NamedTuple):
    """One kind of upstream, as the document has it."""

    kind: str
    query: str
    useful: int
    up: int
    counted: frozenset[str]


def read_table() -> list[Row]:
    rows = []
    for line in (ROOT / "docs/upstreams.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[2] in ("0", "1"):
            counted = frozenset(one.strip("` ") for one in cells[4].split(","))
            rows.append(Row(cells[0], cells[1], int(cells[2]), int(cells[3]), counted))
    return rows


ROWS = {row.kind: row for row in read_table()}


def handler_of(kind: str) -> Handler:
    """What such an upstream does, but for `changing`, which is changed from outside."""
    truncated: Handler = lambda query: [Send(reply(query, flags=0x8380))]  # noqa: E731
    return {
        "good": GOOD,
        "slow": delayed(GOOD, 0.3),
        "TCP only": over_tcp_only(GOOD),
        "SERVFAIL": rcode(SERVFAIL),
        "REFUSED": rcode(REFUSED),
        "NOTIMP": rcode(NOTIMP),
        "FORMERR": rcode(FORMERR),
        "referral": lame(),
        "TCP blocked": truncated,
        "truncated": truncated,
        "malformed": changed(GOOD, lambda wire: wire[:-13]),
        "no question": by_transport(
            lambda query: [Send(reply(query, question=b""))], lambda query: [Send(reply(query, question=b""))]
        ),
        "silent": drop,
        "lying": wrong_question(GOOD),
        "changing": rcode(REFUSED),
    }[kind]


class Upstreams:
    """Scripted upstreams on a loop of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, what: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(20)

    @contextmanager
    def of(self, kinds: tuple[str, ...]) -> Iterator[list[FakeUpstream]]:
        made = [FakeUpstream(handler_of(kind), tcp=kind != "TCP blocked") for kind in kinds]
        try:
            for one in made:
                self.run(one.start())
            yield made
        finally:
            for one in made:
                self.run(one.__aexit__())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def url(upstream: FakeUpstream) -> str:
    return f"udp://127.0.0.1:{upstream.port}"


_numbers = itertools.count()


def ask_all(pdns: RunningPdns, count: int, timeout_s: float = 6.0) -> list[dns.message.Message]:
    """The answers to so many questions of different domains, asked together."""
    with ThreadPoolExecutor(count) as pool:
        names = [f"www.domain-{next(_numbers)}.net" for _ in range(count)]
        return list(pool.map(lambda name: pdns.ask(name, timeout_s=timeout_s), names))


def is_right(response: dns.message.Message) -> bool:
    return response.rcode() == dns.rcode.NOERROR and [str(one) for rrset in response.answer for one in rrset] == [ADDRESS]


def alone(pdns: RunningPdns, upstreams: Upstreams, kind: str) -> str:
    """What is wrong with the only upstream's treatment, "" for nothing."""
    row = ROWS[kind]
    with upstreams.of((kind,)) as (one,):
        pdns.write_config(
            {"server": {"workers": 1}, "upstream": {"servers": [url(one)], "timeout_s": 3.0}, "cache": {"servfail_ttl_s": 1}}
        )
        pdns.reload()
        answered = row.query == "answered"
        until_s = time.monotonic() + EXPLORING_S
        began_s = time.monotonic()
        responses = ask_all(pdns, 1)
        first_s = time.monotonic() - began_s
        if kind == "changing":
            one.handler = GOOD
        while True:
            responses = ask_all(pdns, 6)
            standing = [int(pdns.value(name, upstream=url(one))) for name in ("upstream_useful", "upstream_up")]
            if standing == [row.useful, row.up] and answered == all(map(is_right, responses)):
                break
            if time.monotonic() > until_s:
                return f"{kind} alone: useful, up = {standing}; {[dns.rcode.to_text(one.rcode()) for one in responses]}"
        missing = [
            result for result in row.counted if not pdns.value("upstream_requests_total", upstream=url(one), result=result)
        ]
        if missing:
            return f"{kind} alone: not counted as {missing}"
        if row.query == "answered":
            return ""
        if row.query == "next" and first_s > 1.5:
            return f"{kind} alone: the first SERVFAIL took {first_s:.1f} s"
        if any(url(one) not in str(response) for response in responses):
            return f"{kind} alone: the failure does not name it:\n{responses[0]}"
    return ""


def together(pdns: RunningPdns, upstreams: Upstreams, kinds: tuple[str, ...]) -> str:
    """What is wrong when these are all there is: all is answered, from the first question on, if any of them can answer."""
    can = any(ROWS[kind].query == "answered" and kind != "changing" for kind in kinds)
    with upstreams.of(kinds) as made:
        pdns.write_config(
            {
                "server": {"workers": 1},
                "upstream": {"servers": [url(one) for one in made], "timeout_s": 3.0},
                "cache": {"servfail_ttl_s": 1},
            }
        )
        pdns.reload()
        responses = ask_all(pdns, 4)
        if all(map(is_right, responses)) != can:
            return f"{kinds}: {[dns.rcode.to_text(one.rcode()) for one in responses]}"
        if "changing" in kinds and not can:
            for one, kind in zip(made, kinds, strict=True):
                if kind == "changing":
                    one.handler = GOOD
            until_s = time.monotonic() + EXPLORING_S
            while not all(map(is_right, ask_all(pdns, 3))):
                if time.monotonic() > until_s:
                    return f"{kinds}: the one that is well again is not found"
    return ""


def scenarios() -> list[tuple[str, ...]]:
    """Each kind with each other, some with a third and a fourth beside them, each first in turn."""
    kinds = list(ROWS)
    count = len(kinds)
    made = []
    for one, other in itertools.combinations_with_replacement(range(count), 2):
        more = (one + other) % count, (one + 2 * other) % count
        scenario = tuple(kinds[at] for at in (one, other, *more)[: 2 + (one + other) % 3])
        made.append(scenario[::-1] if (one * other) % 2 else scenario)
    return made


def run_all(tmp_path: Path, cases: list[Any], check: Callable[[RunningPdns, Upstreams, Any], str]) -> list[str]:
    """Each case with one of a few programs."""
    starting = threading.Lock()

    def run(number: int) -> list[str]:
        directory = tmp_path / str(number)
        directory.mkdir()
        upstreams = Upstreams()
        config = {"server": {"workers": 1}, "log": {"level": "info"}}
        try:
            with ExitStack() as stack:
                with starting:  # eight interpreters that start at once keep two cores busy for long
                    pdns = stack.enter_context(RunningPdns(directory, config))
                return [check(pdns, upstreams, case) for case in cases[number::PROGRAMS]]
        finally:
            upstreams.close()

    with ThreadPoolExecutor(PROGRAMS) as pool:
        return [wrong for part in pool.map(run, range(PROGRAMS)) for wrong in part if wrong]


def test_the_table_names_all_kinds() -> None:
    """The document has a row for each kind that is tried here."""
    assert len(ROWS) == 15
    for kind in ROWS:
        handler_of(kind)


def test_each_kind_alone(tmp_path: Path) -> None:
    """Query, standing and counts are those of the document."""
    assert run_all(tmp_path, list(ROWS), alone) == []


def test_all_pairs(tmp_path: Path) -> None:
    """Among two to four upstreams of any kinds one that can answer is enough, and no time is lost to find it."""
    assert run_all(tmp_path, scenarios(), together) == []
