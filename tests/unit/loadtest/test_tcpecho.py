"""The TCP server that does nothing but answer."""

from __future__ import annotations

import asyncio

from loadtest import tcpecho
from loadtest.client import ask_tcp


def test_each_connection_gets_its_message_back() -> None:
    """Also when another one says nothing and leaves."""

    async def main() -> None:
        with tcpecho.started() as address:
            _, silent = await asyncio.open_connection(address.host, address.port)
            silent.close()
            for wire in (b"\0\1" + bytes(10), b"\0\2" + bytes(20)):
                assert await ask_tcp(address, wire) == wire

    asyncio.run(main())
