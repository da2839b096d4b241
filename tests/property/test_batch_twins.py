"""Batches of datagrams for names that were not asked before: the same answers and counts with kernels and without."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.load import from_tables
from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.wire.names import from_text
from tests.blocksets import make_blockset
from tests.effort import examples
from tests.fakes import upstream as fake
from tests.fakes.loops import run_on
from tests.fakes.udp_edge import Edge
from tests.fakes.upstream import FakeUpstream
from tests.wire import answers, ede, query_wire

BLOCKSETS = (
    make_blockset({"alpha": "malware.example =exact.example *.below.example badtld", "watch": "watched.example exact.example"}),
    make_blockset({"alpha": "exact.example @@x.malware.example", "beta": "malware.example", "watch": "b.malware.example"}),
    make_blockset({"beta": "."}),
    None,
)
LISTED = [f"{label}.malware.example" for label in "cdefgh"]
NAMES = [
    "malware.example", "a.malware.example", "b.malware.example", "x.malware.example", "exact.example", "x.exact.example",
    "below.example", "a.below.example", "www.badtld", "badtld", "watched.example", "clean.example", "a.clean.example",
    "localhost", "1.0.0.10.in-addr.arpa", "here.example", "www.zone.example", "allowed.malware.example",
    "\\000.malware.example", ".".join(["x" * 60] * 3 + ["malware.example"]), "single", ".",
]  # fmt: skip
RECORDS = {"upstream": {"servers": ["192.0.2.1"]}, "record": [{"name": "here.example", "a": ["192.0.2.9"]}]}
CONFIG: dict[str, Any] = {
    "feed": [
        {"name": "beta", "url": "file:b", "category": "phishing"},
        {"name": "alpha", "url": "file:a"},
        {"name": "watch", "url": "file:w", "mode": "monitor", "category": "policy"},
    ],
    "tenant": [{"name": "north", "networks": ["127.0.0.2/32"], "allow": ["allowed.malware.example"]}],
    "loaded_records": msgspec.to_builtins(from_tables(RECORDS, "", Path("/nonexistent")).loaded_records),
}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"block": {"action": "nxdomain"}},
    {"block": {"action": "zero", "ttl_s": 0}},
    {"block": {"allow": ["*.below.example", "a.malware.example"]}},
]
FAMILIES = {"queries_total", "responses_total", "blocked_total", "would_block_total", "feed_hits_total", "feed_only_hits_total"}


class BatchQuery(NamedTuple):
    name: str
    qtype: str
    client: int
    options: dict[str, Any]


QUERIES = st.builds(
    BatchQuery,
    st.one_of(st.sampled_from(LISTED), st.sampled_from(NAMES)),
    st.sampled_from(["A", "AAAA", "TXT", "HTTPS", "ANY"]),
    st.sampled_from([1, 1, 2]),
    st.fixed_dictionaries({"edns": st.sampled_from([None, 1232]), "do": st.booleans(), "rd": st.sampled_from([1, 1, 1, 0])}),
)
ENTRIES = st.lists(
    st.builds(LocalEntry, st.sampled_from(NAMES[:14]).map(from_text), st.booleans(), st.booleans()), max_size=2
).map(LocalRules)
STEPS = st.lists(
    st.one_of(
        st.lists(QUERIES, min_size=3, max_size=12),
        st.lists(QUERIES, min_size=3, max_size=12),
        st.lists(QUERIES, min_size=3, max_size=12),
        ENTRIES,
        st.sampled_from(range(len(BLOCKSETS))),
    ),
    min_size=3,
    max_size=8,
)


async def _ask(edge: Edge, batch: list[BatchQuery]) -> dict[int, Any]:
    """What came back, by id: all but the remaining TTLs."""
    clients = {}
    for number in (1, 2):
        clients[number] = sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((f"127.0.0.{number}", 0))
        sock.connect(edge.address)
    for query_id, asked in enumerate(batch):
        clients[asked.client].send(query_wire(asked.name, asked.qtype, query_id=query_id, **asked.options))
    said = {}
    for query_id in range(len(batch)):
        wire = await edge.reply(clients[batch[query_id].client])
        said[int.from_bytes(wire[:2])] = wire[2:4], len(wire), answers(wire), ede(wire)
    for sock in clients.values():
        sock.close()
    return said


async def _play(variant: dict[str, Any], steps: list[Any], *, compiled: bool) -> tuple[list[Any], dict[Any, int]]:
    async with FakeUpstream(fake.answer()) as upstream:
        edge = Edge([f"udp://127.0.0.1:{upstream.port}"], {**CONFIG, **variant}, compiled=compiled)
        try:
            edge.service.adopt(edge.service.rules.with_blockset(BLOCKSETS[0]))
            said: list[Any] = []
            for step in steps:
                if isinstance(step, list):
                    said.append(await _ask(edge, step))
                elif isinstance(step, int):
                    edge.service.adopt(edge.service.rules.with_blockset(BLOCKSETS[step]))
                else:
                    edge.service.adopt(edge.service.rules.with_local(step))
            counted = {(family, *labels): n for family, labels, n in edge.counters.items() if family in FAMILIES and n}
            return said, counted
        finally:
            await edge.close()


@examples(60)
@given(st.sampled_from(VARIANTS), STEPS)
def test_a_batch_is_answered_alike(variant: dict[str, Any], steps: list[Any]) -> None:
    """Names that are clean, listed once or more often, monitored, excepted, or that another rule is about, in batches of any
    order, between changes of the rules: kernels give and count what the reference does.
    """
    reference, compiled = (run_on("asyncio", _play(variant, steps, compiled=compiled)) for compiled in (False, True))
    assert compiled == reference
