"""Where primaries say that a zone has changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from feeds.notify import NotifyListener
from pdns.addresses import parse_endpoint
from pdns.config import Feeds
from pdns.errors import PdnsError
from pdns.net.sockets import bind_tcp, bind_udp
from tests.unit.feeds_process.configs import configuration


@pytest.mark.parametrize("endpoint", ["203.0.113.1:5301", "[2001:db8::1]:5301"])
def test_an_address_that_is_not_there_is_bound_all_the_same(
    tmp_path: Path, endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    """UDP and TCP are taken, so primaries are heard once an interface has the address. `close` lets go of both."""

    async def listen() -> None:
        listener = NotifyListener(lambda _: None)
        await listener.configure(msgspec.structs.replace(configuration(tmp_path), feeds=Feeds(notify_listen=endpoint)))
        for bind in (bind_udp, bind_tcp):
            with pytest.raises(PdnsError, match="already in use"):
                bind(parse_endpoint(endpoint))
        listener.close()
        await asyncio.sleep(0)
        for bind in (bind_udp, bind_tcp):
            bind(parse_endpoint(endpoint)).close()

    asyncio.run(listen())
    assert not caplog.records
