"""Real collectors of Frame Streams, and what they have written."""

from __future__ import annotations

import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pdns.events.frame_streams import DNSTAP, CollectorAddress, parse_control

PATIENCE_S = 60.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def capture(address: CollectorAddress, output: Path, content_type: bytes = DNSTAP) -> Iterator[subprocess.Popen[bytes]]:
    """`fstrm_capture` at `address`, which writes `output`; ended, so that the output is whole, at the end of the block."""
    program = shutil.which("fstrm_capture")
    if program is None:
        pytest.skip("no fstrm_capture here")
    where = ["-u", address.path] if address.path else ["-a", address.host, "-p", str(address.port)]
    command = [program, "-t", content_type.decode(), *where, "-w", str(output)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + PATIENCE_S
            while not _listens(address):
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


def _listens(address: CollectorAddress) -> bool:
    with socket.socket(socket.AF_UNIX if address.path else socket.AF_INET) as sock:
        return sock.connect_ex(address.path or (address.host, address.port)) == 0


def frames_in(data: bytes) -> list[bytes]:
    """The data frames of a capture file."""
    frames = []
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        at += 4
        if size:
            frames.append(data[at : at + size])
        else:
            (size,) = struct.unpack_from(">I", data, at)
            at += 4
            parse_control(data[at : at + size])
        at += size
    return frames


def fields_of(message: bytes) -> dict[int, Any]:
    """The fields of a protocol buffer, by number; those with a length as bytes."""
    found: dict[int, Any] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(message):
        key = varint()
        if key & 7 == 0:
            found[key >> 3] = varint()
        elif key & 7 == 5:
            found[key >> 3] = int.from_bytes(message[at : at + 4], "little")
            at += 4
        else:
            size = varint()
            found[key >> 3] = message[at : at + size]
            at += size
    return found
