"""Syslog: messages as RFC 5424 says, and what each transport can say about delivery."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from pdns.config.sink_schema import SinkSection
from pdns.errors import SinkError
from pdns.event_store.event import Record
from pdns.events.sinks import make_sink
from pdns.events.sinks.syslog import syslog_message
from tests.unit.events.records import EVENT, FINDING, HOUR, event, hostile, records

# RFC 5424, 6: PRI, version, time, host, program, process, kind, structured data, text.
MESSAGE = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([!-~]{1,255}) pdns - ([!-~]{1,32}) "
    rb'\[pdns@32473 id="(\d+)" kind="([^"\\\]]*)" tenant="((?:[^"\\\]]|\\["\\\]u])*)"\] (.*)',
    re.DOTALL,
)


@given(records)
def test_any_record_is_a_message(record: Record) -> None:
    """Header and structured data have their syntax whatever is in the record, and the text is on one line."""
    message = syslog_message(record, "local0", b"text")
    found = MESSAGE.fullmatch(message)
    assert found
    assert (int(found[5]), found[8]) == (record.id, b"text")
    assert message.decode().isprintable()
    assert 16 * 8 <= int(found[1]) < 17 * 8


def test_headers() -> None:
    """Facility and severity, host, kind."""
    for record, facility, expected in (
        (EVENT, "local0", b"<132>1 2026-09-21T14:13:20.250Z node1.example pdns - blocked ["),
        (replace(EVENT, category="c2"), "auth", b"<35>1 2026-09-21T14:13:20.250Z node1.example pdns - blocked ["),
        (FINDING, "local7", b"<187>1 2026-09-21T14:15:00.000Z node1.example pdns - tunnel ["),
        (replace(HOUR, node=""), "daemon", b"<30>1 2026-09-21T14:00:00.000Z - pdns - hours ["),
    ):
        assert syslog_message(record, facility, b"").startswith(expected)


def test_injections() -> None:
    """A tenant cannot end the structured data, a host no header."""
    for record in hostile():
        found = MESSAGE.fullmatch(syslog_message(record, "user", b""))
        assert found
        tenant = re.sub(r"\\(?:u([0-9a-f]{4})|(.))", lambda m: chr(int(m[1], 16)) if m[1] else m[2], found[7].decode())
        assert tenant == record.tenant


def split(stream: bytes) -> list[bytes]:
    """The messages of a stream, each behind its length."""
    messages = []
    while stream:
        size, _, rest = stream.partition(b" ")
        messages.append(rest[: int(size)])
        stream = rest[int(size) :]
    return messages


def serve(handle: Callable[[socket.socket], None], connections: int = 1) -> tuple[int, threading.Thread]:
    """A server on loopback that gives each connection to `handle`, in turn."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with listener:
            for _ in range(connections):
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    handle(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    return listener.getsockname()[1], thread


def write(port: int, *batches: list[Record], **keys: Any) -> None:
    async def work() -> None:
        sink = make_sink(SinkSection(name="s", kind="syslog", address=f"127.0.0.1:{port}", **keys))
        try:
            for batch in batches:
                await sink.write(batch)
        finally:
            await sink.close()

    asyncio.run(work())


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def test_messages_behind_their_length() -> None:
    """Over TCP each message has its length before it; each write is a connection that both sides end."""
    streams: list[bytes] = []
    port, thread = serve(lambda connection: streams.append(read_all(connection)), 2)
    write(port, [EVENT, *hostile()], [FINDING])
    thread.join()
    first, second = map(split, streams)
    assert [int(found[5]) for message in first if (found := MESSAGE.fullmatch(message))] == [
        record.id for record in [EVENT, *hostile()]
    ]
    assert len(second) == 1


def test_one_connection_without_confirmation() -> None:
    """With `confirm = false` all writes share a connection."""
    streams: list[bytes] = []
    port, thread = serve(lambda connection: streams.append(read_all(connection)))
    write(port, [EVENT], [FINDING], confirm=False)
    thread.join()
    assert len(split(streams[0])) == 2


@pytest.mark.parametrize("how", ["reset", "closes without reading", "reads a part", "silent"])
def test_a_server_that_does_not_read(how: str) -> None:
    """A server that dies, or ends the connection before it has read everything, has confirmed nothing."""
    ended = threading.Event()

    def handle(connection: socket.socket) -> None:
        if how == "reset":
            connection.recv(10)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "reads a part":
            connection.recv(100_000)
        elif how == "silent":
            ended.wait(60)

    port, thread = serve(handle)
    with pytest.raises(SinkError, match=r"reset|Broken pipe|no answer within"):
        write(port, [event(number) for number in range(2000)], timeout_s=1.0 if how == "silent" else 30.0)
    ended.set()
    thread.join()


def test_no_server() -> None:
    """Where there is no server, the error says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SinkError, match=rf"127\.0\.0\.1:{port}: Connection refused"):
        write(port, [EVENT])


def test_datagrams() -> None:
    """Over UDP each message is a datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(30)
        sent = [EVENT, *hostile()]
        write(sock.getsockname()[1], sent, transport="udp", format="cef")
        got = [MESSAGE.fullmatch(sock.recv(65536)) for _ in sent]
        assert [int(found[5]) for found in got if found] == [record.id for record in sent]
