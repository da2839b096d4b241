"""The server's sockets: one that is taken is tried again."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from feeds.publish.server import ServedZone, TransferServer
from feeds.publish.versions import ZoneVersions
from pdns.config.addresses import parse_network
from pdns.config.schema import Publish
from pdns.wire.names import from_text

ZONE = "rpz.example"


def test_a_port_that_is_taken_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Logged once; as soon as the port is free, both transports are served. Without a version the answer is SERVFAIL."""

    async def run() -> None:
        settings = Publish(zone=ZONE, allow_transfer=("127.0.0.0/8",))
        zone = ServedZone(settings, from_text(ZONE), ZoneVersions(tmp_path, ZONE), (parse_network("127.0.0.0/8"),), None)
        server = TransferServer()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            await server.configure([zone], [f"127.0.0.1:{port}"])
            await asyncio.sleep(0.05)
            await server.listen()
        await asyncio.sleep(0.05)
        await server.listen()
        query = dns.message.make_query(ZONE, "SOA")
        for send in (dns.asyncquery.udp, dns.asyncquery.tcp):
            answer = await send(query, "127.0.0.1", port=port, timeout=10)
            assert answer.rcode() == dns.rcode.SERVFAIL
        server.close()
        await asyncio.sleep(0.05)

    asyncio.run(run())
    assert len([record for record in caplog.records if "already in use" in record.message]) == 1
