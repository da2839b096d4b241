"""Structured errors of the kernels: the same bytes as the specification's, at every size, for every client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from pdns.wire.names import from_text
from pdns.wire.transport import Transport
from tests.property.test_twins import _LONG, _QUOTED, _RAW, _Side

CONTACT = ["mailto:" + "x" * 60 + '"@leeds.example', "tel:+441130000000", "mailto:it@leeds.example"]
OPERATORS: list[dict[str, Any]] = [
    {},
    {"organisation": 'Cyngor "Caerdydd" \\ \u2603' * 4, "contact": CONTACT, "language": "cy"},
    {"organisation": "x" * 100, "contact": CONTACT, "ede_code": 16, "action": "nxdomain"},
    {"contact": CONTACT, "ede_code": 17, "action": "zero"},
    {"action": "nxdomain", "contact": [f"mailto:{'x' * 78}@leeds.example"] * 3},
    {"organisation": "o", "ede_code": 18},
]
STRUCTURED = b"\0\x1a\0\0"


@pytest.fixture(params=OPERATORS, ids=range(len(OPERATORS)))
def sides(request: pytest.FixtureRequest) -> Iterator[tuple[_Side, _Side]]:
    """The specification and the kernels, with the same blockset."""
    own = {key: request.param[key] for key in ("organisation", "contact", "language") if key in request.param}
    block = {key: value for key, value in request.param.items() if key not in own}
    raw = {
        **_RAW,
        "block": block,
        "policy": [{"name": "default", **own}, _RAW["policy"][-1]],
        "server": {"identity": "r1.example"},
    }
    both = _Side(raw, compiled=False), _Side(raw, compiled=True)
    yield both
    for side in both:
        side.end()


def asked(name: str, qtype: int, options: bytes, udp_bytes: int) -> bytes:
    """With an OPT record that holds `options`."""
    head = b"\x12\x34\1\0\0\1\0\0\0\0\0\1" + from_text(name) + qtype.to_bytes(2) + b"\0\1"
    return head + b"\0\0\x29" + udp_bytes.to_bytes(2) + b"\0\0\0\0" + len(options).to_bytes(2) + options


@pytest.mark.parametrize("name", ["malware.test", _QUOTED, _LONG, "exact.example", "b.malware.test"])
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP])
def test_every_size(sides: tuple[_Side, _Side], name: str, transport: Transport) -> None:
    """First sight and hits, with the option and without, from 512 bytes to 1232, A and a type without an answer."""
    told: set[tuple[int, int]] = set()
    for udp_bytes in (*range(505, 1240, 3), 4096, 65535):
        for options in (STRUCTURED, b"", STRUCTURED + b"\0\3\0\0\0\x0a\0\x08abcdefgh", b"\0\x1a\0\1x"):
            for qtype in (p.A, p.TXT):
                for side in sides:
                    side.ask(0, asked(name, qtype, options, udp_bytes), "127.0.0.1", transport)
                wires = [side.sent.pop()[1] for side in sides]
                assert wires[0] == wires[1]
                assert len(wires[1]) <= (65535 if transport.is_stream else max(512, min(udp_bytes, 1232)))
                told.update(
                    (int.from_bytes(data[:2]), len(data))
                    for code, data in parse_message(wires[1]).options
                    if code == p.EDNS_OPTION_EDE
                )
    assert {code for code, _ in told} == {sides[0].config.block.ede_code}
    assert len(told) > 1 or sides[0].config.block.ede_code == 18
