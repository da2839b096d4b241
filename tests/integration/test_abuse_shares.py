"""Clients that stay within every limit, and take all they can get: what an honest client loses by it."""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pdns.wire import protocol as p
from tests.fakes import upstream as fake
from tests.integration.running_pdns import RunningPdns, UpstreamThread
from tests.wire import query_wire, read

pytestmark = [pytest.mark.long, pytest.mark.realtime]

HANDLER = fake.by_name(
    {"hang.example": fake.drop, "slow.example": fake.delayed(fake.answer(), 4.0)}, fake.delayed(fake.answer(), 0.05)
)
MAX_IN_FLIGHT = 512
HONEST = "127.0.9.9"
PER_S = 25.0  # questions of the honest client
ATTACK_S = 5.0


def _hanging(name: str) -> fake.Handler:
    """Silence for every name with a label that begins with `name`, as of many domains whose servers are gone."""

    def handle(query: fake.SeenQuery) -> Any:
        return [] if query.name.partition(".")[2].startswith(name) else HANDLER(query)

    return handle


def one_domain(number: int) -> str:
    return f"n{number}.hang.example"


def many_domains(number: int) -> str:
    return f"www.gone{number}.example"


def of_both(number: int) -> str:
    """Ten names of the domain under attack, each asked for again and again, and names of others."""
    return f"w{number % 10}.slow.example" if number % 2 else f"www.honest{number}.example"


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread(_hanging("gone")) as thread:
        yield thread


def client(stack: ExitStack, pdns: RunningPdns, address: str) -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((address, 0))
    sock.connect(("127.0.0.1", pdns.dns_port))
    sock.setblocking(False)
    return sock


def received(sock: socket.socket) -> Iterator[bytes]:
    """What has come."""
    while select.select([sock], [], [], 0)[0]:
        yield sock.recv(4096)


def plays(
    pdns: RunningPdns, attackers: int, per_s: float, burst: int, name: Callable[[int], str], honest: Callable[[int], str]
) -> Counter[int]:
    """How the questions of an honest client end while `attackers` ask: by rcode, -1 without an answer."""
    with ExitStack() as stack:
        hostile = [client(stack, pdns, f"127.0.{1 + n // 250}.{1 + n % 250}") for n in range(attackers)]
        sock = client(stack, pdns, HONEST)
        numbers = count()
        for _ in range(burst):
            for one in hostile:
                one.send(query_wire(name(next(numbers))))
            time.sleep(0.001 * attackers)
        begun_s = time.monotonic()
        asked, attacks, ended = 0, 0, {}
        while (passed_s := time.monotonic() - begun_s) < ATTACK_S + 2.0:
            while asked < min(passed_s, ATTACK_S) * PER_S:
                sock.send(query_wire(honest(asked), query_id=asked))
                asked += 1
            while attacks < min(passed_s, ATTACK_S) * per_s * attackers:
                hostile[attacks % attackers].send(query_wire(name(next(numbers))))
                attacks += 1
            for reply in received(sock):
                ended[int.from_bytes(reply[:2])] = read(reply).header.rcode
            for one in hostile:
                for _ in received(one):
                    pass
            time.sleep(0.005)
    return Counter(ended.get(number, -1) for number in range(asked))


@pytest.mark.parametrize(
    ("attackers", "name"),
    [
        *[(attackers, one_domain) for attackers in (1, 3, 6, 50)],
        *[(attackers, many_domains) for attackers in (1, 3, 6, 50)],
    ],
)
def test_names_that_hang_cost_others_nothing(
    tmp_path: Path, upstream: UpstreamThread, attackers: int, name: Callable[[int], str]
) -> None:
    """Whoever fills the table of questions in flight makes room in it, of one domain or of many: an honest client is answered."""
    sections: dict[str, Any] = {
        "upstream": {"servers": [upstream.address], "timeout_s": 8.0, "max_in_flight": MAX_IN_FLIGHT},
        "server": {"workers": 1, "drain_s": 0.2},
        "log": {"level": "info"},
    }
    with RunningPdns(tmp_path, sections) as pdns:
        ended = plays(pdns, attackers, 300.0 / attackers, 1000 // attackers, name, lambda number: f"www.honest{number}.example")
        assert ended[p.NOERROR] >= 0.99 * ended.total(), ended
        shed = {
            dict(labels)["reason"]: int(value)
            for (sample, labels), value in pdns.scrape().items()
            if sample == "dropped_total" and value and "in_flight" in dict(labels)["reason"]
        }
        assert shed
        assert pdns.value("upstream_up") == 1


def test_a_domain_under_attack_is_still_there_for_others(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Random names of a slow domain, by a few clients: somebody else who asks for a name of it waits as long as it takes."""
    sections: dict[str, Any] = {
        "upstream": {"servers": [upstream.address], "timeout_s": 8.0, "max_in_flight": MAX_IN_FLIGHT},
        "server": {"workers": 1, "drain_s": 0.2},
        "log": {"level": "info"},
    }
    with RunningPdns(tmp_path, sections) as pdns:
        ended = plays(pdns, 3, 100.0, 300, lambda number: f"r{number}.slow.example", of_both)
        assert ended[p.NOERROR] >= 0.99 * ended.total(), ended


# Connections


def _connect(stack: ExitStack, pdns: RunningPdns, address: str, timeout_s: float = 4.0) -> socket.socket:
    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    sock.settimeout(timeout_s)
    sock.bind((address, 0))
    sock.connect(("127.0.0.1", pdns.dns_port))
    return sock


def framed(name: str, query_id: int = 1) -> bytes:
    wire = query_wire(name, query_id=query_id)
    return len(wire).to_bytes(2) + wire


def busy(sock: socket.socket, number: int) -> None:
    """Wait for a name that hangs."""
    sock.sendall(framed(f"n{number}.hang.example"))


def slow(sock: socket.socket, number: int) -> None:
    """Begin a message, and never end it."""
    sock.sendall(framed(f"n{number}.hang.example")[:9])


def idle(_sock: socket.socket, _number: int) -> None:
    """Say nothing."""


def deaf(sock: socket.socket, number: int) -> None:
    """Ask for a lot, and read nothing of it."""
    sock.sendall(b"".join(framed("www.honest.example", n) for n in range(400)) + framed(f"n{number}.hang.example"))


def mixed(sock: socket.socket, number: int) -> None:
    """A bit of everything."""
    (busy, slow, idle, deaf)[number % 4](sock, number)


@pytest.mark.parametrize("way", [busy, mixed, slow, idle, deaf])
def test_connections_that_are_kept_busy_make_room(
    tmp_path: Path, upstream: UpstreamThread, way: Callable[[socket.socket, int], None]
) -> None:
    """Six addresses hold all the connections there are, and come back for each one that is closed: others are served at once."""
    sections: dict[str, Any] = {
        "upstream": {"servers": [upstream.address], "timeout_s": 8.0},
        "server": {"workers": 1, "drain_s": 0.2, "tcp_max_connections": 120, "tcp_max_connections_per_client": 25},
        "log": {"level": "info"},
    }
    with RunningPdns(tmp_path, sections) as pdns, ExitStack() as stack:
        numbers = count()
        held: list[socket.socket] = []

        def take(address: str) -> None:
            try:
                sock = _connect(stack, pdns, address)
                way(sock, next(numbers))
            except OSError:
                return
            held.append(sock)

        for address in [f"127.0.1.{1 + n % 6}" for n in range(150)]:
            take(address)
        served = 0
        for number in range(40):
            if number % 4 == 0:
                for at in range(6):
                    take(f"127.0.1.{1 + at}")
            with ExitStack() as one:
                try:
                    sock = _connect(one, pdns, f"127.0.{2 + number // 20}.{1 + number}")
                    sock.sendall(framed(f"www.honest{number}.example"))
                    size = int.from_bytes(sock.recv(2, socket.MSG_WAITALL))
                    served += bool(size) and read(sock.recv(size, socket.MSG_WAITALL)).header.rcode == p.NOERROR
                except OSError:
                    pass
        assert served == 40
