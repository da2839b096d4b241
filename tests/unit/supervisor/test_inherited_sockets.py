"""Sockets that systemd hands in, and what becomes of those that fit nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.loopback import free_port
from pdns.config.load import load
from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.net.sockets import RECEIVE_BUFFER_BYTES
from pdns.supervisor import listeners as listeners_module
from pdns.supervisor.inherited_sockets import InheritedSockets
from pdns.supervisor.listeners import ListenerSet
from tests.wire import query_wire


class Opened:
    """Sockets as systemd opens them; closed at the end, like those handed in by `hand_in`."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def udp(self, host: str, port: int, *, reuse: bool = True) -> socket.socket:
        return self._bound(socket.SOCK_DGRAM, host, port, reuse=reuse)

    def tcp(self, host: str, port: int, *, listens: bool = True, reuse: bool = False) -> socket.socket:
        sock = self._bound(socket.SOCK_STREAM, host, port, reuse=reuse)
        if listens:
            sock.listen(1)
        return sock

    def _bound(self, kind: int, host: str, port: int, *, reuse: bool) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        self.sockets.append(sock)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuse))
        sock.bind((host, port))
        return sock

    def hand_in(self, *sockets: socket.socket) -> InheritedSockets:
        """Copies, as a started process has them: systemd keeps its own."""
        copies = [sock.dup() for sock in sockets]
        self.sockets += copies
        return InheritedSockets((copy, f"socket{index}") for index, copy in enumerate(copies))


@pytest.fixture
def opened() -> Iterator[Opened]:
    opened = Opened()
    yield opened
    for sock in opened.sockets:
        sock.close()


@pytest.fixture
def port() -> int:
    return free_port()


def configured(directory: Path, text: str) -> Config:
    (directory / "pdns.toml").write_text(f'{text}\n[upstream]\nservers = ["192.0.2.53"]\n')
    return load(directory / "pdns.toml")


def test_those_of_an_address_are_its_group(opened: Opened, port: int) -> None:
    """One UDP socket for each worker and one TCP socket are used as they are, also for an IPv6 address; nothing else is bound."""
    ours = [opened.udp("127.0.0.1", port), opened.udp("127.0.0.1", port), opened.tcp("127.0.0.1", port)]
    ours += [opened.udp("::1", port), opened.udp("::1", port), opened.tcp("::1", port)]
    listeners = ListenerSet(2, inherited=opened.hand_in(*ours)).changed_to([f"127.0.0.1:{port}", f"[::1]:{port}"])
    told = [listeners.listeners(worker) for worker in (0, 1)]
    assert [listening.transport for listening in told[0][0]] == ["udp", "tcp", "udp", "tcp"]
    inodes = [[os.fstat(fd).st_ino for fd in fds] for _, fds in told]
    expected = [os.fstat(sock.fileno()).st_ino for sock in ours]
    assert inodes == [[expected[0], expected[2], expected[3], expected[5]], [expected[1], expected[2], expected[4], expected[5]]]
    assert listeners.changed_to([f"[::1]:{port}", f"127.0.0.1:{port}"]).listeners(0)[1][0] == told[0][1][2]


def test_names_are_steered(opened: Opened, port: int) -> None:
    """The names are spread over the sockets; a name keeps its socket."""
    ours = [opened.udp("127.0.0.1", port) for _ in range(3)]
    listeners = ListenerSet(3, inherited=opened.hand_in(*ours, opened.tcp("127.0.0.1", port))).changed_to([f"127.0.0.1:{port}"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        turns = []
        for _ in range(2):
            for number in range(40):
                client.sendto(query_wire(f"n{number}.example"), ("127.0.0.1", port))
            turns.append([_names(sock) for sock in ours])
    assert all(turns[0])
    assert sum(map(len, turns[0])) == 40
    assert turns[0] == turns[1]
    listeners.close_but(ListenerSet())


def _names(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(512, socket.MSG_DONTWAIT)[12:])
        except BlockingIOError:
            return found


@pytest.mark.parametrize(("handed_in", "workers", "read"), [(1, 3, [0, 0, 0]), (2, 3, [0, 1, 0]), (3, 2, [0, 1]), (3, 1, [0])])
def test_another_number_than_workers(opened: Opened, port: int, handed_in: int, workers: int, read: list[int]) -> None:
    """Fewer sockets are shared by workers. More stay empty: queries go only to those that a worker reads."""
    ours = [opened.udp("127.0.0.1", port) for _ in range(handed_in)]
    inherited = opened.hand_in(*ours, opened.tcp("127.0.0.1", port))
    listeners = ListenerSet(workers, inherited=inherited).changed_to([f"127.0.0.1:{port}"])
    expected = [os.fstat(ours[index].fileno()).st_ino for index in read]
    assert [os.fstat(listeners.listeners(worker)[1][0]).st_ino for worker in range(workers)] == expected
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for number in range(40):
            client.sendto(query_wire(f"n{number}.example"), ("127.0.0.1", port))
    assert sum(len(_names(ours[index])) for index in set(read)) == 40
    if handed_in == 1:
        assert listeners.udp_of(0) == ((), []), "all of them read it already"


def test_options_are_set(opened: Opened, port: int) -> None:
    """Sockets get the options of our own. A larger receive buffer that systemd gave them stays."""
    udp, tcp = opened.udp("0.0.0.0", port), opened.tcp("0.0.0.0", port)
    udp.setsockopt(socket.SOL_SOCKET, 33, 2 * RECEIVE_BUFFER_BYTES)  # SO_RCVBUFFORCE, as root
    before = udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    ListenerSet(1, inherited=opened.hand_in(udp, tcp)).changed_to([f"0.0.0.0:{port}"])
    assert udp.getsockopt(socket.IPPROTO_IP, 8) == 1  # IP_PKTINFO
    assert udp.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= before
    assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not os.get_blocking(udp.fileno())


def test_only_one_transport(opened: Opened, port: int) -> None:
    """What was not handed in is bound here."""
    listeners = ListenerSet(2, inherited=opened.hand_in(opened.tcp("127.0.0.1", port))).changed_to([f"127.0.0.1:{port}"])
    fds = [listeners.listeners(worker)[1] for worker in (0, 1)]
    assert fds[0][0] != fds[1][0]
    assert fds[0][1] == fds[1][1]
    listeners.close_but(ListenerSet())


def test_an_address_is_spelt_anew(opened: Opened, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone of an address may be a name or a number: after a reload the sockets are the same, and open."""
    monkeypatch.setattr(socket, "if_nametoindex", {"eth0": 0}.__getitem__)
    monkeypatch.setattr(listeners_module, "has_interface", lambda _: True)
    ours = [opened.udp("::1", port), opened.udp("::1", port), opened.tcp("::1", port)]
    before = ListenerSet(2, inherited=opened.hand_in(*ours)).changed_to([f"[::1%eth0]:{port}"])
    after = before.changed_to([f"[::1%0]:{port}"])
    before.close_but(after)
    expected = [os.fstat(sock.fileno()).st_ino for sock in ours]
    assert [os.fstat(fd).st_ino for fd in after.listeners(0)[1]] == [expected[0], expected[2]]
    assert after.new_drops() == 0
    after.close_but(ListenerSet())


def test_what_fits_nothing_is_named(opened: Opened, port: int, tmp_path: Path) -> None:
    """A socket that no key has an address for is an error that names it and the keys; others are not."""
    text = f'[server]\nlisten = ["127.0.0.1:{port}"]\n[metrics]\nlisten = "127.0.0.2:{port}"'
    config = configured(tmp_path, text)
    fitting = [opened.udp("127.0.0.1", port), opened.tcp("127.0.0.1", port), opened.tcp("127.0.0.2", port)]
    opened.hand_in(*fitting).require_all_used(config)
    with pytest.raises(PdnsError, match=rf"127\.0\.0\.2:{port} \(UDP, from socket1\), and server\.listen does not have"):
        opened.hand_in(fitting[0], opened.udp("127.0.0.2", port)).require_all_used(config)
    with pytest.raises(PdnsError, match=r"TCP, from socket0\), and server\.listen, metrics\.listen, admin\.listen or block_page"):
        opened.hand_in(opened.tcp("127.0.0.3", port)).require_all_used(config)


def test_unusable_sockets(opened: Opened, port: int) -> None:
    """Each kind of socket that cannot serve is refused with what to change in the socket unit."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    opened.sockets.append(sock)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", port))
    with pytest.raises(PdnsError, match="BindIPv6Only=ipv6-only"):
        opened.hand_in(sock)
    with pytest.raises(PdnsError, match="Accept=yes"):
        opened.hand_in(opened.tcp("127.0.0.1", free_port(), listens=False))
    pair = socket.socketpair()
    opened.sockets += pair
    with pytest.raises(PdnsError, match="neither UDP nor TCP"):
        opened.hand_in(pair[0])
    multipath = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)  # SocketProtocol=mptcp
    opened.sockets.append(multipath)
    with pytest.raises(PdnsError, match="neither UDP nor TCP"):
        opened.hand_in(multipath)
    other = free_port()
    twice = opened.hand_in(opened.tcp("127.0.0.1", other, reuse=True), opened.tcp("127.0.0.1", other, reuse=True))
    with pytest.raises(PdnsError, match="more than once; all workers accept"):
        ListenerSet(2, inherited=twice).changed_to([f"127.0.0.1:{other}"])


def test_the_variables() -> None:
    """They count only for the process that they name, and are gone after it has read them."""
    for_another = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "HOME": "/"}
    assert len(InheritedSockets.from_environment(for_another)) == 0
    assert for_another == {"HOME": "/"}
    with pytest.raises(PdnsError, match="LISTEN_FDS: expected a number, got 'x'"):
        InheritedSockets.from_environment({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x"})
    assert len(InheritedSockets.from_environment({})) == 0
