"""Upstreams that know what a table says."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fakes.upstream import Handler, SeenQuery, Send, negative
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
