"""Where the program answers unlike unbound, BIND and dnsmasq alike, `docs/differences.md` says why.

Each server forwards to its own upstream; all give the same answers. Peers that differ among themselves leave us the choice.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from functools import partial

import dns.message
import dns.rdatatype
import pytest

from tests.differential.answers import SUFFIX, AnswerCase, Upstream, answer_cases
from tests.differential.compare import Fields, Row, differences, exchange, fields, rows
from tests.differential.peers import PEERS
from tests.differential.queries import QueryCase, query_cases
from tests.integration.running_pdns import RunningPdns, UpstreamThread

QUERIES, ANSWERS = query_cases(), answer_cases()
CASES = [query.name for query in QUERIES] + [f"answer/{answer.name}" for answer in ANSWERS]
_AT_ONCE = 40
_REPEATS = 3  # a retransmission that comes late looks like a question of the repetition
_WAIT_S = 5.0  # for replies to queries, most of which need no upstream
_WAIT_UPSTREAM_S = 12.0  # a server that tries a bad upstream again and again is not silent before
Seen = dict[str, dict[str, Fields]]  # by case, by server

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


def _ask_query(port: int, case: QueryCase) -> Fields:
    return fields(exchange(port, case.wire, tcp=case.tcp, wait_s=_WAIT_S))


def _ask_answer(port: int, upstream: Upstream, case: AnswerCase) -> Fields:
    name = f"x.{case.label}.{SUFFIX}"
    wire = dns.message.make_query(name, dns.rdatatype.RdataType.make(case.qtype), use_edns=0, payload=1232, id=0x1234).to_wire()

    def ask() -> Fields:
        found = fields(exchange(port, wire, tcp=False, wait_s=_WAIT_UPSTREAM_S))
        return fields(exchange(port, wire, tcp=True, wait_s=_WAIT_UPSTREAM_S)) if found.get("tc") == "True" else found

    found = ask()
    if found.get("rcode") in {"0", "3"}:
        found["cached"] = str(any(_costs_no_question(ask, upstream, case) for _ in range(_REPEATS)))
    return found


def _costs_no_question(ask: Callable[[], Fields], upstream: Upstream, case: AnswerCase) -> bool:
    before = upstream.asked[case.label]
    ask()
    return upstream.asked[case.label] == before


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """What each server said to each case."""
    missing = [peer.program for peer in PEERS if shutil.which(peer.program, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    directory = tmp_path_factory.mktemp("differential")
    with contextlib.ExitStack() as stack:
        servers: dict[str, tuple[int, Upstream]] = {}
        for peer in PEERS:
            upstream = Upstream()
            thread = stack.enter_context(UpstreamThread(upstream))
            servers[peer.program] = stack.enter_context(peer(directory / peer.program, thread.fake.port)).port, upstream
        upstream = Upstream()
        thread = stack.enter_context(UpstreamThread(upstream))
        own = directory / "pdns"
        own.mkdir()
        config = {"upstream": {"servers": [thread.address]}, "server": {"workers": 1}, "log": {"level": "error"}}
        servers["pdns"] = stack.enter_context(RunningPdns(own, config)).dns_port, upstream
        pools = {name: [stack.enter_context(ThreadPoolExecutor(_AT_ONCE)) for _ in range(2)] for name in servers}
        for name, (port, _upstream) in servers.items():
            # the name that most queries ask for is in every cache before
            assert exchange(port, dns.message.make_query(f"www.{SUFFIX}", "A").to_wire(), tcp=False, wait_s=_WAIT_S), name
        found: Seen = {name: {} for name in CASES}
        waiting = {
            name: (
                pools[name][0].map(partial(_ask_query, port), QUERIES),
                pools[name][1].map(partial(_ask_answer, port, upstream), ANSWERS),
            )
            for name, (port, upstream) in servers.items()
        }
        for name, (to_queries, to_answers) in waiting.items():
            for query, result in zip(QUERIES, to_queries, strict=True):
                found[query.name][name] = result
            for answer, result in zip(ANSWERS, to_answers, strict=True):
                found[f"answer/{answer.name}"][name] = result
        yield found


def _different(seen: Seen, case: str) -> dict[str, str]:
    return differences(seen[case]["pdns"], {name: said for name, said in seen[case].items() if name != "pdns"})


@pytest.mark.parametrize("case", CASES)
def test_unlike_all_others_only_as_documented(seen: Seen, case: str) -> None:
    """Unlike all peers only in what a row of the page names."""
    explained = [row for row in rows() if fnmatchcase(case, row.pattern)]
    unexplained = [
        f"{field}: {text}" for field, text in _different(seen, case).items() if not any(field in row.fields for row in explained)
    ]
    assert not unexplained, "\n".join(["no row explains:", *unexplained])


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.pattern)
def test_every_documented_difference_is_there(seen: Seen, row: Row) -> None:
    """Every field that a row names differs in at least one case."""
    real = {field for case in CASES if fnmatchcase(case, row.pattern) for field in _different(seen, case)} & row.fields
    assert real == row.fields
