"""Addresses of feeds' servers from upstreams over HTTPS, QUIC, and TLS with pins."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from feeds.fetch.network import Network
from feeds.fetch.resolve import UpstreamResolver
from pdns.config.upstream_address import parse_upstream
from tests.fakes.https_upstream import HttpsUpstream
from tests.fakes.identity import NAME, Identity, identity_in, pin
from tests.fakes.quic_upstream import QuicUpstream
from tests.fakes.upstream import FakeUpstream


async def unknown(host: str, _: socket.AddressFamily) -> list[str]:
    raise OSError(f"{host} is not known here")


async def look_up(server: str, ca_file: str = "") -> list[str]:
    trusted = ssl.create_default_context()
    network = Network((parse_upstream(server),), trusted, trusted, upstream_ca_file=ca_file)
    found = await UpstreamResolver(network, unknown).resolve("lists.example", 443, socket.AddressFamily.AF_UNSPEC)
    return [result["host"] for result in found]


def test_upstreams(tmp_path: Path) -> None:
    """Both families are asked, of servers that prove who they are."""
    identity = identity_in(tmp_path)

    async def main() -> None:
        async with (
            HttpsUpstream(identity.pair) as https,
            QuicUpstream(identity.pair) as quic,
            FakeUpstream(tls=_server(identity)) as tls,
        ):
            servers = (f"https://127.0.0.1:{https.port}/#{NAME}", f"quic://127.0.0.1:{quic.port}#{NAME}")
            for server in servers:
                assert await look_up(server, identity.ca_file) == ["192.0.2.7", "2001:db8::7"]
                with pytest.raises(OSError, match="is not known here"):
                    await look_up(server)
            pinned = f"tls://127.0.0.1:{tls.port}#"
            assert await look_up(pinned + pin(identity.server)) == ["192.0.2.7", "2001:db8::7"]
            with pytest.raises(OSError, match="is not known here"):
                await look_up(pinned + pin(identity.authority))

    asyncio.run(main())


def _server(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*identity.pair)
    return context
