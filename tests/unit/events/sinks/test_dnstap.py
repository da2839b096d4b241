"""dnstap: real collectors read every event, and real decoders see the query, the answer and what else is known."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from msgspec.structs import replace

from pdns.config.sink_schema import SinkSection
from pdns.errors import SinkError
from pdns.event_store.event import BLOCKED, Event, Record
from pdns.events.frame_streams import CollectorAddress
from pdns.events.sinks import make_sink
from pdns.events.sinks.dnstap import event_frame
from pdns.wire.names import from_text
from tests.unit.events.collectors import capture, fields_of, frames_in, free_port
from tests.unit.events.records import EVENT, FINDING, event, events, hostile


@given(events)
def test_any_event_is_a_message(record: Event) -> None:
    """The question is the event's, byte by byte; what dnstap has no field for is in `extra`."""
    outer = fields_of(event_frame(record))
    message = fields_of(outer[14])
    query = dns.message.from_wire(message[10])
    assert (query.question[0].name.to_wire() or b"").lower() == from_text(record.qname)
    assert (query.question[0].rdtype, query.flags) == (record.qtype, dns.flags.RD)
    assert message[8] * 10**9 + message[9] == round(record.time_s * 1e9)
    assert message[1] == (6 if record.kind == BLOCKED and record.action != "drop" else 5)
    extra = json.loads(outer[3])
    assert extra["id"] == str(record.id)
    assert [extra.get(name, "") for name in ("feed", "tenant", "listed", "reason", "client")] == [
        record.feed, record.tenant, record.listed, record.reason, record.client,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "rcode"), [("nxdomain", "NXDOMAIN"), ("refused", "REFUSED"), ("sinkhole", "NOERROR"), ("nodata", "NOERROR")]
)
def test_the_answer(action: str, rcode: str) -> None:
    """The answer has the response code and the extended error "blocked"."""
    message = fields_of(fields_of(event_frame(replace(EVENT, action=action)))[14])
    answer = dns.message.from_wire(message[14])
    assert dns.rcode.to_text(answer.rcode()) == rcode
    assert [(option.otype, option.code) for option in answer.options] == [(dns.edns.OptionType.EDE, 15)]
    assert answer.question == dns.message.from_wire(message[10]).question


def test_the_client_and_the_policy() -> None:
    """A full address is the query's; a network or a hash is in `extra` only. The policy names what is listed."""
    message = fields_of(fields_of(event_frame(EVENT))[14])
    assert (message[2], message[3], message[4]) == (1, 1, bytes([192, 0, 2, 7]))
    policy = fields_of(message[15])
    assert (policy[1], policy[2], policy[3], policy[4]) == (b"pdns", from_text("bad.example"), 1, 1)
    message = fields_of(fields_of(event_frame(replace(EVENT, client="2001:db8::7", transport="tls")))[14])
    assert (message[2], message[3], len(message[4])) == (2, 3, 16)
    for client in ("", "192.0.2.0/24", "h:0123456789abcdef"):
        assert 4 not in fields_of(fields_of(event_frame(replace(EVENT, client=client)))[14])


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_real_collector(kind: str, tmp_path: Path) -> None:
    """fstrm_capture has every event once, also after it was away; dnstap-read and dnstap understand each of them."""
    section = SinkSection(name="tap", kind="dnstap", path=str(tmp_path / "tap"))
    address = CollectorAddress(path=section.path)
    if kind == "tcp":
        address = CollectorAddress(host="127.0.0.1", port=free_port())
        section = SinkSection(name="tap", kind="dnstap", address=str(address))
    sent = [record for record in hostile() if isinstance(record, Event)]

    async def send(*batches: list[Record]) -> None:
        sink = make_sink(section)
        for batch in batches:
            await sink.write(batch)
        await sink.close()

    with pytest.raises(SinkError, match=r"No such file|Connect call failed"):
        asyncio.run(send([EVENT]))
    with capture(address, tmp_path / "frames"):
        asyncio.run(send([*sent, FINDING], [], [FINDING], [event(number) for number in range(2000)]))
    frames = frames_in((tmp_path / "frames").read_bytes())
    extras = [json.loads(fields_of(frame)[3]) for frame in frames]
    assert [int(extra["id"]) for extra in extras] == [*(record.id for record in sent), *range(2000)]
    assert [extra.get("feed", "") for extra in extras[: len(sent)]] == [record.feed for record in sent]
    for command in (["dnstap-read", str(tmp_path / "frames")], ["dnstap", "-q", "-r", str(tmp_path / "frames")]):
        if shutil.which(command[0]) is None:
            pytest.skip(f"no {command[0]} here")
        shown = subprocess.run(command, capture_output=True, check=True).stdout
        assert shown.count(b"www.bad.example") == 2000 + sum(record.qname == "www.bad.example" for record in sent)
        assert len(shown.splitlines()) == len(frames)


def test_a_collector_that_hangs(tmp_path: Path) -> None:
    """A collector that accepts and says nothing is given up in time."""

    async def work() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                with suppress(OSError):
                    await reader.read()
            finally:
                writer.close()

        sink = make_sink(SinkSection(name="tap", kind="dnstap", path=str(tmp_path / "tap"), timeout_s=0.3))
        async with await asyncio.start_unix_server(silent, tmp_path / "tap"):
            with pytest.raises(SinkError, match=r"no answer within 0\.3 s"):
                await sink.write([EVENT])

    asyncio.run(work())
