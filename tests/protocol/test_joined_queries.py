"""Queries that leave together: one message, which the kernel cuts into datagrams."""

from __future__ import annotations

import socket
from collections import Counter

import pytest

from pdns.upstream import udp
from tests.fakes.edges import until
from tests.fakes.udp_edge import Edge
from tests.fakes.upstream import SeenQuery, a_records, reply
from tests.protocol.conftest import Run
from tests.wire import answers, query_wire

_UDP_GRO = 104  # of linux/udp.h: give joined datagrams as they came


class Upstream:
    """An upstream that sees what the kernel is sent: with `whole`, joined datagrams as one."""

    def __init__(self, *, whole: bool) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.setblocking(False)
        if whole:
            self._sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
        self.url = f"udp://127.0.0.1:{self._sock.getsockname()[1]}"
        self.messages: list[list[SeenQuery]] = []

    @property
    def queries(self) -> list[SeenQuery]:
        """One by one."""
        return [query for message in self.messages for query in message]

    def read(self) -> None:
        """Take what has arrived."""
        while True:
            try:
                message, controls, _, source = self._sock.recvmsg(65535, socket.CMSG_SPACE(4))
            except BlockingIOError:
                return
            each = next((int.from_bytes(value, "little") for _, kind, value in controls if kind == _UDP_GRO), len(message))
            cut = [message[at : at + each] for at in range(0, len(message), each)]
            self.messages.append([SeenQuery(wire, "udp", source, 0.0) for wire in cut])

    def answer(self) -> None:
        """Answer every query with its place among them as the last byte of the address."""
        for number, query in enumerate(self.queries):
            self._sock.sendto(reply(query, a_records(f"192.0.2.{number}")), query.source)

    def close(self) -> None:
        self._sock.close()


async def _asked(upstream: Upstream, names: list[str]) -> None:
    """One client asks all of `names` in one batch. When they have arrived, they are answered, each with an address of its own."""
    edge = Edge([upstream.url], {}, compiled=True)
    try:
        sock = edge.send(*[query_wire(name, query_id=number) for number, name in enumerate(names)])

        def arrived() -> bool:
            upstream.read()
            return len(upstream.queries) >= len(names)

        await until(arrived)
        upstream.answer()
        got = [await edge.reply(sock) for _ in names]
        wanted = {query.name: f"192.0.2.{number}" for number, query in enumerate(upstream.queries)}
        assert {int.from_bytes(wire[:2]): answers(wire) for wire in got} == {
            number: [wanted[name]] for number, name in enumerate(names)
        }
        assert sorted(query.name for query in upstream.queries) == sorted(names)
        assert len({(query.source, query.id) for query in upstream.queries}) == len(names)  # two ports may draw the same
    finally:
        await edge.close()
        upstream.close()


NAMES = [f"{'n' * (number % 3)}{number:02}.example" for number in range(9)]


def test_queries_of_one_size_leave_as_one_message(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of eight queries from one socket those of one size are one message, and a shorter one ends it: three in place of eight."""
    monkeypatch.setattr(udp, "MAX_SOCKETS", 1)  # the first query opens it, the others share it

    async def body() -> None:
        upstream = Upstream(whole=True)
        await _asked(upstream, NAMES)
        sizes = [[len(query.wire) for query in message] for message in upstream.messages]
        longest = max(map(max, sizes))
        assert sizes == [[longest], [longest] * 2 + [longest - 1], [longest - 1] * 2 + [longest - 2], [longest - 2] * 2]

    run(body())


def test_they_arrive_one_by_one(run: Run) -> None:
    """An upstream sees datagrams as ever: 64 queries are 64 datagrams, at most eight of them from one port."""

    async def body() -> None:
        upstream = Upstream(whole=False)
        names = [f"{'n' * (number % 7)}{number:02}.example" for number in range(64)]
        for _ in range(3):
            await _asked(upstream, names)
            assert {len(message) for message in upstream.messages} == {1}
            assert max(Counter(query.source for query in upstream.queries).values()) <= 8
            upstream = Upstream(whole=False)
        upstream.close()

    run(body())


def test_a_path_that_cannot_cut_gets_each_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the system refuses a joined message, its queries go out at once, each once, and the next ones alone."""
    monkeypatch.setattr(udp, "MAX_SOCKETS", 1)
    bind = udp.UdpPool._bind

    def without_checksums(pool: udp.UdpPool, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK: the kernel cuts no message without checksums
        bind(pool, sock)

    monkeypatch.setattr(udp.UdpPool, "_bind", without_checksums)

    async def body() -> None:
        upstream = Upstream(whole=True)
        await _asked(upstream, NAMES)
        assert [len(message) for message in upstream.messages] == [1] * len(NAMES)

    run(body())


def test_nothing_is_lost_among_many(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries of all sizes, up to the longest name, from few sockets: each is asked once and answered by its own answer."""
    monkeypatch.setattr(udp, "MAX_SOCKETS", 3)

    async def body() -> None:
        names = [".".join([f"{number:02}" + "x" * (number % 61), *["y" * 63] * (number % 3), "example"]) for number in range(64)]
        await _asked(Upstream(whole=True), names)

    run(body())
