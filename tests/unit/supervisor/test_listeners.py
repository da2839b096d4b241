"""The set of listening sockets, and how it changes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from loadtest.loopback import free_port
from pdns.errors import PdnsError
from pdns.supervisor.listeners import ListenerSet
from tests.descriptors import open_fds
from tests.proxied import header
from tests.wire import query_wire


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def empty(port: int) -> Iterator[ListenerSet]:
    before = open_fds()
    yield ListenerSet()
    assert open_fds() == before, "sockets were leaked"


def fds(listeners: ListenerSet) -> list[int]:
    return listeners.listeners(0)[1]


def test_udp_and_tcp_on_one_port(empty: ListenerSet) -> None:
    """Each endpoint is one socket for each transport, on the same port also when the kernel chose it."""
    listeners = empty.changed_to(["127.0.0.1:0", "[::1]:0"])
    told, descriptors = listeners.listeners(0)
    assert [listener.transport for listener in told] == ["udp", "tcp", "udp", "tcp"]
    for listener, fd in zip(told, descriptors, strict=True):
        with socket.socket(fileno=os.dup(fd)) as sock:
            host, port = sock.getsockname()[:2]
            assert listener.address == (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            assert port
    assert told[0].address == told[1].address
    listeners.close_but(ListenerSet())


def test_what_stays_is_not_touched(empty: ListenerSet) -> None:
    """A change shares the sockets of endpoints that both have, opens the new ones, and closes the others when it is kept."""
    first = empty.changed_to(["127.0.0.1:0", "127.0.0.2:0"])
    second = first.changed_to(["127.0.0.3:0", "127.0.0.1:0"])
    assert fds(second)[2:] == fds(first)[:2]
    gone = fds(first)[2:]
    first.close_but(second)
    for fd in gone:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)
    second.close_but(ListenerSet())


def test_a_change_that_fails_leaves_all_as_it_was(empty: ListenerSet) -> None:
    """When one endpoint cannot be bound, those bound before it are closed again and the old set is whole."""
    first = empty.changed_to(["127.0.0.1:0"])
    before = fds(first)
    with socket.socket() as other:
        other.bind(("127.0.0.3", 0))
        taken = f"127.0.0.3:{other.getsockname()[1]}"
        with pytest.raises(PdnsError, match="in use"):
            first.changed_to(["127.0.0.1:0", "127.0.0.2:0", taken])
    assert fds(first) == before
    first.close_but(ListenerSet())


def test_from_one_address_to_all_and_back_without_a_gap(empty: ListenerSet, port: int) -> None:
    """The same port can be bound on the wildcard while it is still bound on one address, and the other way round."""
    first = empty.changed_to([f"127.0.0.1:{port}"])
    (group,) = first
    every = first.changed_to([f"0.0.0.0:{group.endpoint.port}"])
    first.close_but(every)
    one = every.changed_to([f"127.0.0.1:{group.endpoint.port}"])
    every.close_but(one)
    one.close_but(ListenerSet())


def test_a_port_of_somebody_else_is_never_shared(empty: ListenerSet, port: int) -> None:
    """What another program listens on is an error, also on a port that is ours on another address."""
    first = empty.changed_to([f"127.0.0.1:{port}"])
    (group,) = first
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", group.endpoint.port))
        with pytest.raises(PdnsError, match="already in use"):
            first.changed_to([f"127.0.0.2:{group.endpoint.port}"])
    first.close_but(ListenerSet())


def test_too_many(empty: ListenerSet) -> None:
    """More endpoints than fit into one control message are refused before any is bound."""
    with pytest.raises(PdnsError, match="at most 124"):
        empty.changed_to([f"127.0.1.{n}:5353" for n in range(125)])


def test_a_socket_for_each_worker_and_one_for_all(empty: ListenerSet) -> None:
    """Three workers: three UDP sockets of one address, each told to its own worker, and one TCP socket told to all."""
    listeners = ListenerSet(3).changed_to(["127.0.0.1:0"])
    told = [listeners.listeners(worker) for worker in range(3)]
    assert told[0][0] == told[1][0] == told[2][0]
    assert len({udp for _, (udp, _) in told}) == 3
    assert len({tcp for _, (_, tcp) in told}) == 1
    for worker in range(3):
        assert listeners.udp_of(worker) == (told[worker][0][:1], told[worker][1][:1])
    listeners.close_but(ListenerSet())


def test_a_name_meets_one_worker_on_every_address(empty: ListenerSet) -> None:
    """The same question, from many clients, on IPv4 and on an IPv6 address that came later: always the same worker's socket."""
    before = ListenerSet(4).changed_to(["127.0.0.1:0"])
    (first,) = before
    listeners = before.changed_to([str(first.endpoint), "[::1]:0"])
    for name in ("www.example.com", "mail.example.net", "x.test"):
        found = set()
        for group in listeners:
            for _ in range(20):
                with socket.socket(group.datagram_sockets[0].family, socket.SOCK_DGRAM) as client:
                    client.sendto(query_wire(name), group.datagram_sockets[0].getsockname()[:2])
                found.add(next(worker for worker, sock in enumerate(group.datagram_sockets) if _has_datagram(sock)))
        assert len(found) == 1, name
    listeners.close_but(ListenerSet())


def test_a_name_behind_a_header_meets_its_worker_once_that_is_configured(empty: ListenerSet) -> None:
    """On every address, also on one that comes later; and it goes on when the program that does it is taken back."""
    listeners = ListenerSet(4).changed_to(["127.0.0.1:0"])
    for proxied in (True, False):
        listeners.steer(proxied=proxied)
        listeners = listeners.changed_to(["127.0.0.1:0", "127.0.0.2:0"])
        found: set[int] = set()
        for number in range(40):
            head = header(f"198.51.100.{number + 1}") if number % 2 else b""
            if head or proxied:
                for group in listeners:
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                        client.sendto(head + query_wire("www.example.com"), group.datagram_sockets[0].getsockname())
                    found.add(next(worker for worker, sock in enumerate(group.datagram_sockets) if _has_datagram(sock)))
        assert (len(found) == 1) is proxied
    listeners.close_but(ListenerSet())


def test_another_spelling_is_no_other_address(empty: ListenerSet) -> None:
    """A port that the kernel chose, written down: the sockets stay as they are, in their order."""
    first = ListenerSet(2).changed_to(["127.0.0.1:0"])
    (group,) = first
    second = first.changed_to([str(group.endpoint)])
    first.close_but(second)
    assert list(second) == [group]
    assert all(sock.fileno() >= 0 for sock in group.datagram_sockets)
    second.close_but(ListenerSet())


def test_what_the_kernel_threw_away_is_counted_once(empty: ListenerSet) -> None:
    """Each drop is in the result of one call, over all sockets."""
    listeners = ListenerSet(2).changed_to(["127.0.0.1:0"])
    (group,) = listeners
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        group.datagram_sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        group.datagram_sockets[1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        for _ in range(50):
            client.sendto(query_wire("www.example.com"), group.datagram_sockets[0].getsockname())
    assert 0 < listeners.new_drops() < 50
    assert listeners.new_drops() == 0
    listeners.close_but(ListenerSet())


def _has_datagram(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(4096))
    except BlockingIOError:
        return False
