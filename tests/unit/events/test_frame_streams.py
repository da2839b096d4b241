"""Frame Streams: a real collector reads every frame; a peer that is no collector, refuses or vanishes is an error."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.errors import FrameStreamError
from pdns.events.frame_streams import (
    ACCEPT,
    DNSTAP,
    FINISH,
    MAX_FRAME_BYTES,
    START,
    CollectorAddress,
    FrameStream,
    control_frame,
    parse_control,
)
from tests.unit.events.collectors import capture, frames_in, free_port

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_real_collector_reads_every_frame(kind: str, tmp_path: Path) -> None:
    """After `finish`, fstrm_capture has read every frame of two sessions: short, long, and with any byte."""
    address = (
        CollectorAddress(path=str(tmp_path / "tap")) if kind == "unix" else CollectorAddress(host="127.0.0.1", port=free_port())
    )
    frames = [b"\0", bytes(range(256)), *(b"%d" % number for number in range(20_000)), b"x" * MAX_FRAME_BYTES]

    async def send() -> None:
        for part in (frames[:100], frames[100:]):
            stream = await FrameStream.connect(address)
            await stream.send(part)
            assert not stream.closed
            await stream.finish()
            assert stream.closed

    with capture(address, tmp_path / "frames"):
        asyncio.run(send())
    assert frames_in((tmp_path / "frames").read_bytes()) == frames


def session_with(answer: Answer, path: Path, frame: bytes = b"frame") -> None:
    """One session with a collector that does what `answer` does."""

    async def run() -> None:
        ended = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):  # the client may abort
                await answer(reader, writer)
                await reader.read()
            writer.close()
            ended.set()

        async with asyncio.timeout(30), await asyncio.start_unix_server(serve, path):
            try:
                stream = await FrameStream.connect(CollectorAddress(path=str(path)))
                try:
                    await stream.send([frame])
                    await stream.finish()
                finally:
                    stream.abort()
            finally:
                await ended.wait()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("first", "then", "says"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", "is this a Frame Streams server"),
        (struct.pack(">II", 0, 10_000), b"", "is this a Frame Streams server"),
        (control_frame(START), b"", "expected ACCEPT"),
        (control_frame(ACCEPT, b"text"), b"", "takes 'text', not 'protobuf:dnstap.Dnstap'"),
        (control_frame(ACCEPT, DNSTAP)[:-4], b"", "has closed the connection"),
        (b"", b"", "has closed the connection"),
        (control_frame(ACCEPT, DNSTAP), b"", "has closed the connection"),
        (control_frame(ACCEPT), control_frame(START), "expected FINISH"),
    ],
)
def test_a_collector_that_misbehaves_is_an_error(first: bytes, then: bytes, says: str, tmp_path: Path) -> None:
    """What answers in another way, refuses or goes away before FINISH has confirmed nothing."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(42)  # READY
        writer.write(first)
        if then:
            await reader.readexactly(42 + 9 + 12)  # START, the frame, STOP
            writer.write(then)
        writer.write_eof()

    with pytest.raises(FrameStreamError, match=says):
        session_with(answer, tmp_path / "tap")


def test_a_collector_that_confirms(tmp_path: Path) -> None:
    """A collector that names no content type takes any; FINISH ends the session."""
    read: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(42)
        writer.write(control_frame(ACCEPT))
        read.append(await reader.readexactly(42 + 9 + 12))
        writer.write(control_frame(FINISH))

    session_with(answer, tmp_path / "tap")
    assert frames_in(read[0]) == [b"frame"]


def test_no_collector(tmp_path: Path) -> None:
    """Where there is no collector, the error says where none was."""
    address = CollectorAddress(path=str(tmp_path / "tap"))
    with pytest.raises(FrameStreamError, match=r"unix:.*/tap: No such file"):
        asyncio.run(FrameStream.connect(address))
    with pytest.raises(FrameStreamError, match=r"127\.0\.0\.1:1: "):
        asyncio.run(FrameStream.connect(CollectorAddress(host="127.0.0.1", port=1)))


def test_frames_that_no_collector_reads_are_refused(tmp_path: Path) -> None:
    """A frame without data would be a control frame, and one above the limit makes a collector hang up: both are a fault here."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(control_frame(ACCEPT))

    for number, frame in enumerate((b"", b"x" * (MAX_FRAME_BYTES + 1))):
        with pytest.raises(ValueError, match="a frame has 1 to"):
            session_with(answer, tmp_path / f"tap{number}", frame)


@given(st.binary(min_size=4, max_size=64))
def test_any_control_frame_is_parsed_or_refused(body: bytes) -> None:
    """What a collector sends is understood or a `FrameStreamError`."""
    try:
        kind, types = parse_control(body)
    except FrameStreamError:
        return
    assert kind == int.from_bytes(body[:4])
    assert sum(map(len, types)) <= len(body)
