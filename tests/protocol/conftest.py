"""Tests on both event loops, and services behind a UDP socket, with compiled kernels and with their reference."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import pytest

from pdns.blockset.reader import Blockset
from pdns.upstream.kernel import UdpKernel
from tests.fakes import upstream as fake
from tests.fakes.loops import LOOPS, run_on
from tests.fakes.patience import patient
from tests.fakes.udp_edge import Edge
from tests.fakes.upstream import FakeUpstream

Open = Callable[..., Any]
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a test's body on each kind of loop."""
    return lambda main: run_on(request.param, main)


@pytest.fixture(params=["python", "compiled"])
def edge(request: pytest.FixtureRequest) -> Open:
    """Makes an `Edge`, with compiled kernels and with their reference. One that `repeats` asks silent upstreams again soon."""

    @asynccontextmanager
    async def made(
        *handlers: fake.Handler,
        blockset: Blockset | None = None,
        sockets: UdpKernel | None = None,
        repeats: bool = False,
        **sections: Any,
    ) -> AsyncIterator[tuple[Edge, Any]]:
        upstreams = [FakeUpstream(handler) for handler in handlers]
        for upstream in upstreams:
            await upstream.start()
        servers = [f"udp://127.0.0.1:{upstream.port}" for upstream in upstreams]
        one = Edge(servers, sections, compiled=request.param == "compiled", sockets=sockets)
        one.service.adopt(one.service.rules.with_blockset(blockset))
        try:
            with nullcontext() if repeats else patient():
                yield one, upstreams[0] if len(upstreams) == 1 else upstreams
        finally:
            await one.close()
            for upstream in upstreams:
                await upstream.__aexit__()

    return made
