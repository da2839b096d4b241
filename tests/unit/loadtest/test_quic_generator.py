"""The generator of queries over QUIC, against a server made with the library that it uses itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest import encrypted_goals, packets
from loadtest.encrypted_generate import SERVER_NAME, command, generate
from loadtest.loopback import Address, free_port
from pdns.demo import certificates
from pdns.wire import names

pytest.importorskip("aioquic")
ROOT = Path(__file__).resolve().parents[3]
SERVER = """
import asyncio, sys
from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StreamDataReceived

class Echo(QuicConnectionProtocol):
    def quic_event_received(self, event):
        if isinstance(event, StreamDataReceived) and event.end_stream:
            query = event.data[2:]
            rcode = 3 if b"name7" in query else 0
            answer = query[:2] + bytes([query[2] | 0x80, rcode]) + query[4:]
            if b"name9" in query:
                answer = b"\\x01" + answer[1:]
            self._quic.send_stream_data(event.stream_id, len(answer).to_bytes(2) + answer, end_stream=True)

async def main(port, certificate, key):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["doq"])
    configuration.load_cert_chain(certificate, key)
    await serve("127.0.0.1", int(port), configuration=configuration, create_protocol=Echo)
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Address]:
    files = certificates.self_signed(tmp_path, SERVER_NAME)
    address = Address("127.0.0.1", free_port())
    arguments = [sys.executable, "-c", SERVER, str(address.port), str(files.certificate), str(files.key)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        try:
            yield address
        finally:
            child.kill()


@pytest.mark.parametrize("path", [encrypted_goals.DOQ_ONE, encrypted_goals.DOQ_MANY], ids=lambda path: path.key)
def test_answers_are_counted_and_checked(path: encrypted_goals.EncryptedPath, server: Address, tmp_path: Path) -> None:
    """One handshake, every query answered once; rcodes are counted, and an answer with another id than 0 is not counted."""
    file = tmp_path / "packets"
    packets.write(file, (packets.query(names.from_text(f"name{number}.example.com")) for number in range(10)))
    run = generate(command(server, file, path, seconds=30, count=40), None)
    assert (run.handshakes, run.failed, run.ended) == (1, 0, 0)
    assert (run.sent, run.received, run.lost, run.strange, run.question_differs) == (40, 36, 4, 4, 0)
    assert run.rcodes == {0: 32, 3: 4}
    assert run.latency_us.p50 > 0
