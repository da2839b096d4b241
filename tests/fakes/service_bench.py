"""A service with a real upstream, which is asked without a socket, and a clock that tests move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import msgspec

from pdns.config.groups import server_groups
from pdns.config.schema import Config
from pdns.core.ruleset import RuleSet
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.upstream.forwarder import Forwarder
from pdns.wire.transport import Transport
from tests.fakes import upstream as fake
from tests.fakes.patience import PATIENCE_S, patient
from tests.fakes.services import kernels, new_service
from tests.fakes.upstream import FakeUpstream
from tests.wire import query_wire


class Bench:
    """A service on a real upstream, and a clock that can be moved."""

    def __init__(
        self,
        upstream: FakeUpstream,
        sections: dict[str, Any],
        *,
        compiled: bool = True,
        zone_changed: Callable[[str], object] = lambda _feed: None,
    ) -> None:
        self.upstream, self.ahead_s = upstream, 0.0
        self.stands_at_s: float | None = None
        self.counters = Counters.create(4096)
        self.loop = asyncio.get_running_loop()
        options = {"timeout_s": PATIENCE_S, **sections.pop("upstream", {})}
        raw = {"upstream": {"servers": [f"udp://127.0.0.1:{upstream.port}"], **options}, **sections}
        self.config = msgspec.convert(raw, Config)
        stats = Stats(self.counters)
        self.forwarder = Forwarder(server_groups(self.config), self.loop, stats, kernels(compiled=compiled).upstream)
        self.service = new_service(
            RuleSet.of(self.config), self.forwarder, stats, self.now, compiled=compiled, zone_changed=zone_changed
        )

    def now(self) -> float:
        return (self.loop.time() if self.stands_at_s is None else self.stands_at_s) + self.ahead_s

    def stop_the_clock(self) -> None:
        """From now on the clock stands still, however slow the machine is."""
        self.stands_at_s = self.loop.time()

    def send(self, wire: bytes, *, client: str = "127.0.0.1", port: int = 4000, transport: str = "udp") -> list[bytes]:
        """The replies, which may still come."""
        replies: list[bytes] = []
        self.service.on_message(wire, client, port, Transport(transport), replies.append)
        return replies

    async def ask(
        self, name: str, qtype: str = "A", *, transport: str = "udp", patience_s: float = PATIENCE_S, **options: Any
    ) -> bytes:
        replies = self.send(query_wire(name, qtype, **options), transport=transport)
        await until(lambda: bool(replies), patience_s)
        return replies[0]

    def count(self, family: str, *labels: str) -> int:
        """The sum of a family's series whose labels include `labels`."""
        return sum(value for name, own, value in self.counters.items() if name == family and set(labels) <= set(own))


async def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait for `condition`; fail when it does not come."""
    end_s = asyncio.get_running_loop().time() + patience_s
    while not condition():
        assert asyncio.get_running_loop().time() < end_s, "it did not come"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def bench(
    handler: fake.Handler | None = None,
    *,
    compiled: bool = True,
    zone_changed: Callable[[str], object] = lambda _feed: None,
    repeats: bool = False,
    **sections: Any,
) -> AsyncIterator[Bench]:
    """A `Bench`. Only one that `repeats` asks a silent upstream again soon."""
    async with FakeUpstream(handler) as upstream:
        made = Bench(upstream, sections, compiled=compiled, zone_changed=zone_changed)
        try:
            with nullcontext() if repeats else patient():
                yield made
        finally:
            made.forwarder.close()
            await asyncio.sleep(0)
