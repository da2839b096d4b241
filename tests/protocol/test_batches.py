"""A batch of datagrams for listed names: decided once, then blocked as decided."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import msgspec
import pytest

from pdns.config.addresses import Endpoint
from pdns.config.groups import server_groups
from pdns.config.schema import Config
from pdns.core.case import reference
from pdns.core.ruleset import RuleSet
from pdns.fast.udp import UdpListener as CompiledUdpListener
from pdns.net.sockets import bind_udp
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.upstream.forwarder import Forwarder
from pdns.wire import protocol as p
from pdns.wire.names import from_text
from pdns.worker.kernels import COMPILED
from pdns.worker.service import Service
from tests.blocksets import make_blockset
from tests.protocol.conftest import Run
from tests.wire import answers, ede, query_wire, read

BLOCKSET = make_blockset({"alpha": "malware.test =exact.test", "watch": "monitored.test malware.test", "beta": "b.malware.test"})
CONFIG = {
    "upstream": {"servers": ["udp://127.0.0.1:9"]},
    "feed": [
        {"name": "beta", "url": "file:b", "category": "phishing"},
        {"name": "alpha", "url": "file:a"},
        {"name": "watch", "url": "file:w", "mode": "monitor", "category": "policy"},
    ],
    "tenant": [{"name": "north", "networks": ["127.0.0.2/32"], "allow": ["allowed.malware.test"]}],
}


class BatchServer:
    """A service behind a real socket."""

    def __init__(self, **sections: Any) -> None:
        loop = asyncio.get_running_loop()
        config = msgspec.convert({**CONFIG, **sections}, Config)
        self.counters = Counters.create(4096)
        stats = Stats(self.counters)
        self.forwarder = Forwarder(server_groups(config), loop, stats, COMPILED.upstream)
        self.service = Service(RuleSet.of(config), self.forwarder, stats, time.monotonic, COMPILED)
        self.service.adopt(self.service.rules.with_blockset(BLOCKSET))
        self.sock = bind_udp(Endpoint("127.0.0.1", 0))
        self.listener = CompiledUdpListener(self.sock, self.service, loop, stats, self.service.fast_path)

    async def ask(self, *wires: bytes, client: str = "127.0.0.1") -> list[bytes]:
        """The answers to a batch, in the order of their ids."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.bind((client, 0))
            sock.connect(self.sock.getsockname())
            for wire in wires:
                sock.send(wire)
            async with asyncio.timeout(5):
                return sorted([await asyncio.get_running_loop().sock_recv(sock, 4096) for _ in wires])

    def count(self, family: str, *labels: str) -> int:
        return sum(value for name, own, value in self.counters.items() if name == family and set(labels) <= set(own))

    def close(self) -> None:
        self.listener.close()
        self.forwarder.close()


def test_names_listed_alike_are_blocked_alike(run: Run) -> None:
    """The hundredth name below a listed one gets what the first one got, and counts as much, whatever its type."""

    async def main() -> None:
        server = BatchServer()
        for turn in range(5):
            wires = [query_wire(f"n{turn}x{n}.malware.test", ("A", "AAAA", "TXT")[n % 3], query_id=n) for n in range(30)]
            for n, wire in enumerate(await server.ask(*wires)):
                expected = (["192.0.2.1"], ["2001:db8::1"], [])[n % 3]
                assert (read(wire).header.rcode, answers(wire)) == (p.NOERROR, expected)
                assert ede(wire) == (
                    15,
                    f"malware: malware.test is listed by alpha (case {reference(from_text('malware.test'), 'alpha')})",
                )
        assert server.count("blocked_total", "alpha") == server.count("would_block_total", "watch") == 150
        assert server.count("responses_total", "blocked") == 150
        server.close()

    run(main())


def test_more_than_one_listing_is_looked_at_each_time(run: Run) -> None:
    """Where feeds list a name and another one above it, the first configured feed decides, the second time too."""

    async def main() -> None:
        server = BatchServer()
        for turn in range(3):
            wire, *_ = await server.ask(query_wire(f"x{turn}.b.malware.test"))
            assert ede(wire) == (
                15,
                f"phishing: b.malware.test is listed by beta (case {reference(from_text('b.malware.test'), 'beta')})",
            )
        wire, *_ = await server.ask(query_wire("exact.test"))
        assert answers(wire) == ["192.0.2.1"]
        server.close()

    run(main())


def test_an_allowlist_is_checked_each_time(run: Run) -> None:
    """A tenant's allowlist holds for a name that was blocked for other clients just before."""

    async def main() -> None:
        server = BatchServer()
        for turn in range(3):
            blocked, *_ = await server.ask(query_wire(f"x{turn}.allowed.malware.test"))
            assert answers(blocked) == ["192.0.2.1"]
            blocked, *_ = await server.ask(query_wire(f"x{turn}.malware.test"), client="127.0.0.2")
            assert answers(blocked) == ["192.0.2.1"]
        forwarded = asyncio.ensure_future(server.ask(query_wire("y.allowed.malware.test"), client="127.0.0.2"))
        await asyncio.sleep(0.3)
        assert server.count("blocked_total", "north") == 3
        forwarded.cancel()
        server.close()

    run(main())


@pytest.mark.parametrize(("action", "rcode"), [("nxdomain", p.NXDOMAIN), ("refused", p.REFUSED), ("zero", p.NOERROR)])
def test_an_answer_that_is_not_kept_is_given(run: Run, action: str, rcode: int) -> None:
    """With a TTL of 0 no answer is cached, and every query is blocked all the same."""

    async def main() -> None:
        server = BatchServer(block={"action": action, "ttl_s": 0})
        for turn in range(3):
            wire, *_ = await server.ask(query_wire(f"x{turn}.malware.test"))
            assert read(wire).header.rcode == rcode
            assert (ede(wire) or (0, ""))[0] == 15
        assert server.count("blocked_total") == 3
        server.close()

    run(main())
