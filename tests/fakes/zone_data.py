"""Zones for tests: their servers, which know what a table says, and their configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from pdns.config.groups import server_groups
from pdns.config.schema import Config
from pdns.upstream.forwarder import Forwarder
from tests.fakes.udp_edge import Edge
from tests.fakes.upstream import FakeUpstream, Handler, SeenQuery, Send, negative
from tests.wire import read, response_wire

Told = Mapping[str, str] | str  # records as zone file text for the answer section, or for each section


def knows(table: Mapping[str, Told], otherwise: Handler | None = None) -> Handler:
    """Answers `name` or `name TYPE` as the table says, in the case of the question; NXDOMAIN for the rest."""

    def handle(query: SeenQuery) -> list[Send]:
        qtype = read(query.wire).q.qtype
        told = table.get(f"{query.name} {_TYPES.get(qtype, qtype)}", table.get(query.name))
        if told is None:
            return list((otherwise or negative())(query))  # type: ignore[arg-type]  # it only sends
        sections = {"answer": told} if isinstance(told, str) else dict(told)
        rcode = int(sections.pop("rcode", 0))
        lines = sections.pop("answer", "").strip()
        wire = response_wire(query.name, _TYPES.get(qtype, f"TYPE{qtype}"), lines, rcode=rcode, edns=query.edns, **sections)  # type: ignore[arg-type]
        return [Send(query.wire[:2] + wire[2:12] + query.question + wire[12 + len(query.question) :])]

    return handle


_TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 43: "DS", 65: "HTTPS"}


@asynccontextmanager
async def servers(*handlers: Handler) -> AsyncIterator[tuple[FakeUpstream, ...]]:
    made = [FakeUpstream(handler) for handler in handlers]
    for one in made:
        await one.start()
    try:
        yield tuple(made)
    finally:
        for one in made:
            await one.__aexit__()


def zone(names: str, server: FakeUpstream | None = None, **settings: Any) -> dict[str, Any]:
    """A `[[zone]]`, as it is settled."""
    own = {"servers": [f"udp://127.0.0.1:{server.port}"]} if server is not None else {"group": "default"}
    return {"names": names.split(), **own, **settings}


def change(e: Edge, **sections: Any) -> Forwarder:
    """Go on under another configuration, and return the forwarder before: what is out is still asked by it."""
    before = e.forwarder
    e.config = msgspec.convert(msgspec.to_builtins(e.config) | sections, Config)
    e.forwarder = Forwarder(server_groups(e.config), e.loop, e.stats, e.kernels.upstream)
    e.forwarder.learn_from(before)
    e.service.adopt(e.service.rules.with_config(e.config), e.forwarder)
    return before


def data(wire: bytes) -> list[str]:
    return [f"{record.rname} {record.rdata}".lower() for record in read(wire).rr]
