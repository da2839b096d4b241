"""The malformed replay: it notices a server that stops answering, and one that answers what it should not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from loadtest import malformed, zone, zoneserver
from loadtest.packets import query
from pdns.wire import names
from tests.unit.loadtest.conftest import udp_server

GOOD = names.from_text("com")
RUBBISH = [(f"{number:03}.pkt", bytes([number, 200, 0]) + b"\xff" * number) for number in range(120)]


def reply(wire: bytes) -> bytes:
    return wire[:2] + bytes([wire[2] | 0x80]) + wire[3:]


def test_corpus_is_every_file(tmp_path: Path) -> None:
    """Files are read in order, directories are followed."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "sub" / "c").write_bytes(b"")
    assert malformed.read_corpus(tmp_path) == [("a", b"1"), ("b", b"2"), ("sub/c", b"")]


def test_a_server_that_survives(tmp_path: Path) -> None:
    """Against an authoritative server, rubbish in between harms no good query, on UDP and TCP."""

    async def run() -> list[malformed.Report]:
        async with zoneserver.serving("\n".join(zone.lines([])) + "\n", tmp_path, python=True) as address:
            return [await malformed.over_udp(RUBBISH, address, GOOD), await malformed.over_tcp(RUBBISH[:20], address, GOOD)]

    udp, tcp = asyncio.run(run())
    assert not udp.failed
    assert not tcp.failed
    assert (udp.sent, udp.good_sent) == (120, 6)
    assert (tcp.sent, tcp.good_sent) == (20, 2)


def test_a_server_that_stops_answering_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that dies of a packet fails every good query after it, and the report names the packet before."""
    monkeypatch.setattr(malformed, "GOOD_ANSWER_WITHIN_S", 0.1)
    dead = []

    def mortal(wire: bytes) -> bytes | None:
        if wire == RUBBISH[70][1]:
            dead.append(True)
        return None if dead or len(wire) < 25 or wire[2] != 1 else reply(wire)

    async def run() -> malformed.Report:
        with udp_server(mortal) as address:
            return await malformed.over_udp(RUBBISH, address, GOOD)

    report = asyncio.run(run())
    assert report.failed
    assert report.good_sent == 6
    assert report.good_failed == ["no answer within 0.1 s after 099.pkt"] * 2 + ["no answer within 0.1 s after 119.pkt"] * 2


def test_answers_to_responses_and_reflections_are_noticed() -> None:
    """A server that answers a response, or sends a packet back as it came, has failed."""
    response = ("response", b"\x7a\x7b\x80" + query(GOOD)[3:])
    stray = ("query", b"\x7c\x7d\x01" + query(GOOD)[3:])

    def careless(wire: bytes) -> bytes:
        return wire if wire[:2] == b"\x7c\x7d" else reply(wire)

    async def run() -> malformed.Report:
        with udp_server(careless) as address:
            return await malformed.over_udp([response, stray], address, GOOD)

    report = asyncio.run(run())
    assert report.good_failed == []
    assert (report.responses_answered, report.not_responses) == (1, 1)
    assert report.failed
