"""NOTIFY where clients are served: whose is taken, what is said, and that the feeds process learns of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest

from pdns.config.schema import Feed
from pdns.state.zone_changes import Primaries, Sender, ZoneChangeReceiver
from tests.fakes.service_bench import bench

FEEDS = (
    Feed(name="zone", url="axfr://192.0.2.1:53/rpz.example"),
    Feed(name="same", url="axfr://192.0.2.1:53/rpz.example"),
    Feed(name="signed", url="axfr://192.0.2.1:53/signed.example", tsig_name="key"),
    Feed(name="list", url="https://example.net/list"),
)


def notify(zone: str, qtype: str = "SOA", *, edns: bool = True) -> bytes:
    message = dns.message.make_query(zone, qtype, use_edns=0 if edns else -1)
    message.flags = dns.flags.AA | dns.opcode.to_flags(dns.opcode.NOTIFY)
    return message.to_wire()


@pytest.mark.parametrize("edns", [True, False])
def test_a_primary_is_answered(*, edns: bool) -> None:
    """NOERROR with the question and, for EDNS, an OPT record; both feeds of the zone are told, at most once a second."""
    told: list[str] = []
    primaries = Primaries(FEEDS, told.append)
    wire = notify("RPZ.example", edns=edns)
    for now in (100.0, 100.5, 100.9, 101.0):
        answer = primaries.answer(wire, "192.0.2.1", now)
        assert answer is not None
        response = dns.message.from_wire(answer)
        assert dns.message.from_wire(wire).is_response(response)
        assert (response.rcode(), response.edns >= 0, bool(response.flags & dns.flags.AA)) == (dns.rcode.NOERROR, edns, True)
    assert told == ["zone", "same"] * 2


@pytest.mark.parametrize(
    ("wire", "address"),
    [
        (notify("rpz.example"), "192.0.2.2"),
        (notify("other.example"), "192.0.2.1"),
        (notify("rpz.example", "A"), "192.0.2.1"),
        (notify("signed.example"), "192.0.2.1"),
        (notify("rpz.example")[:12], "192.0.2.1"),
        (notify("rpz.example")[:4] + b"\0\2" + notify("rpz.example")[6:], "192.0.2.1"),
        (bytes([0, 0, 0x28, 0]) + notify("rpz.example")[4:], "192.0.2.1"),
    ],
    ids=["a stranger", "another zone", "another type", "a zone with a key", "cut short", "two questions", "another opcode"],
)
def test_others_are_not(wire: bytes, address: str) -> None:
    """Strangers, other zones and types, zones with a key, what is cut short, and other opcodes."""
    told: list[str] = []
    assert Primaries(FEEDS, told.append).answer(wire, address, 0.0) is None
    assert told == []


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_service_takes_it(transport: str, *, compiled: bool) -> None:
    """A primary's NOTIFY is taken on either transport, though its address may not ask; a stranger's is NOTIMP."""

    async def body() -> None:
        told: list[str] = []
        feed = {"name": "zone", "url": "axfr://192.0.2.1:53/rpz.example"}
        async with bench(compiled=compiled, zone_changed=told.append, feed=[feed]) as b:
            wire = notify("rpz.example")
            taken = b.send(wire, client="192.0.2.1", transport=transport)[0]
            assert dns.message.from_wire(taken).rcode() == dns.rcode.NOERROR
            refused = b.send(wire, client="127.0.0.1", transport=transport)[0]
            assert dns.message.from_wire(refused).rcode() == dns.rcode.NOTIMP
            assert (told, b.count("responses_total", "local")) == (["zone"], 1)

    asyncio.run(body())


def test_the_feeds_process_is_told(tmp_path: Path) -> None:
    """A word arrives; while the process is away it is lost, and its successor takes the socket over."""

    async def body() -> None:
        told: list[str] = []
        loop = asyncio.get_running_loop()
        sender = Sender(tmp_path)
        sender.tell("lost")
        for name in ("first", "second"):
            receiver = ZoneChangeReceiver(tmp_path, loop, told.append)
            assert (tmp_path / "zone-changes.sock").stat().st_mode & 0o777 == 0o600
            sender.tell(name)
            async with asyncio.timeout(5):
                while name not in told:  # noqa: ASYNC110 (a socket of the kernel tells of no event)
                    await asyncio.sleep(0.001)
            receiver.close()
            sender.tell("lost")
        sender.close()
        assert told == ["first", "second"]

    asyncio.run(body())
