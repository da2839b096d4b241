"""Sockets of encrypted listeners: one for each address, kept over changes of the configuration."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.loopback import free_port
from pdns.config.load import load
from pdns.errors import PdnsError
from pdns.ipc.messages import MAX_LISTENERS
from pdns.supervisor.encrypted_endpoints import EncryptedEndpoint, encrypted_endpoints
from pdns.supervisor.inherited_sockets import InheritedSockets
from pdns.supervisor.listeners import ListenerSet
from pdns.wire.transport import Transport
from tests.certificates import issue, write_pair
from tests.descriptors import open_fds

PAIR = 'cert_file = "fullchain.pem"\nkey_file = "privkey.pem"\n'
PLAIN = ["127.0.0.1:0"]


def tls(port: int = 0, section: int = 0, host: str = "127.0.0.1", transport: Transport = Transport.TLS) -> EncryptedEndpoint:
    return EncryptedEndpoint(section, transport, f"{host}:{port}")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def empty(port: int) -> Iterator[ListenerSet]:
    before = open_fds()
    yield ListenerSet(2)
    assert open_fds() == before, "sockets were leaked"


def encrypted(listeners: ListenerSet, worker: int = 0) -> dict[tuple[int, str, str], int]:
    """The inode of each encrypted socket of a worker."""
    told = zip(*listeners.listeners(worker), strict=True)
    return {(one.section, one.transport, one.address): os.fstat(fd).st_ino for one, fd in told if one.transport.is_encrypted}


def test_those_over_tcp(tmp_path: Path) -> None:
    """Listeners of QUIC are not for workers; indices count all listeners."""
    write_pair(tmp_path, issue())
    text = "".join(
        f'[[listener]]\ntransport = "{transport}"\nlisten = ["127.0.0.1"]\n{PAIR}' for transport in ("quic", "tls", "h3", "https")
    )
    (tmp_path / "pdns.toml").write_text(f'[upstream]\nservers = ["192.0.2.53"]\n{text}')
    assert encrypted_endpoints(load(tmp_path / "pdns.toml")) == [
        (1, "tls", "127.0.0.1:853"), (3, "https", "127.0.0.1:443"),
    ]  # fmt: skip


def test_all_workers_share_one_socket(empty: ListenerSet) -> None:
    """As over TCP; plain listeners have section -1; two listeners may leave the port to the kernel."""
    listeners = empty.changed_to(PLAIN, [tls(), tls(section=1)])
    assert encrypted(listeners, 0) == encrypted(listeners, 1)
    assert [section for section, _, _ in encrypted(listeners)] == [0, 1]
    told, fds = listeners.listeners(0)
    assert [one.section for one in told] == [-1, -1, 0, 1]
    for one, fd in zip(told, fds, strict=True):
        with socket.socket(fileno=os.dup(fd)) as sock:
            assert one.address == f"127.0.0.1:{sock.getsockname()[1]}"
    assert listeners.udp_of(0)[0][0].transport == "udp"
    listeners.steer(proxied=True)
    assert listeners.new_drops() == 0
    assert len(listeners.endpoints) == 3
    listeners.close_but(ListenerSet())


def test_a_listener_moves_to_another_section(empty: ListenerSet, port: int) -> None:
    """A listener before it was removed: the socket with its waiting connections stays, under its new number."""
    first = empty.changed_to(PLAIN, [tls(), tls(port, 1)])
    with socket.create_connection(("127.0.0.1", port)):
        second = first.changed_to(PLAIN, [tls(port, 0)])
        first.close_but(second)
        ((key, inode),) = encrypted(second).items()
        assert key == (0, "tls", f"127.0.0.1:{port}")
        _, fds = second.listeners(0)
        assert os.fstat(fds[-1]).st_ino == inode
        with socket.socket(fileno=os.dup(fds[-1])) as sock:
            sock.settimeout(5)
            sock.accept()[0].close()
    second.close_but(ListenerSet())


def test_another_transport_at_the_same_address(empty: ListenerSet, port: int) -> None:
    """The same socket again, with another protocol on it."""
    first = empty.changed_to(PLAIN, [tls(port)])
    second = first.changed_to(PLAIN, [tls(port, transport=Transport.HTTPS)])
    assert list(encrypted(first).values()) == list(encrypted(second).values())
    assert [transport for _, transport, _ in encrypted(second)] == ["https"]
    first.close_but(second)
    second.close_but(ListenerSet())


def test_from_plain_to_encrypted_without_a_gap(empty: ListenerSet, port: int) -> None:
    """The TCP port of `server.listen` can become that of a listener."""
    first = empty.changed_to([f"127.0.0.1:{port}"])
    second = first.changed_to(PLAIN, [tls(port)])
    first.close_but(second)
    assert [address for _, _, address in encrypted(second)] == [f"127.0.0.1:{port}"]
    second.close_but(ListenerSet())


def test_a_change_that_fails_leaves_all_as_it_was(empty: ListenerSet, port: int) -> None:
    """An address in use is named, and nothing is left open."""
    first = empty.changed_to(PLAIN, [tls(port)])
    with socket.socket() as other:
        other.bind(("127.0.0.3", 0))
        other.listen()
        with pytest.raises(PdnsError, match="in use"):
            first.changed_to(PLAIN, [tls(port), tls(other.getsockname()[1], 1, "127.0.0.3")])
    assert len(encrypted(first)) == 1
    first.close_but(ListenerSet())


def test_an_interface_that_is_missing(empty: ListenerSet) -> None:
    """The address waits, as plain ones do."""
    listeners = empty.changed_to(PLAIN, [EncryptedEndpoint(0, Transport.TLS, "[fe80::1%nosuch0]:853")])
    assert [str(endpoint) for endpoint in listeners.waiting] == ["[fe80::1%nosuch0]:853"]
    assert encrypted(listeners) == {}
    listeners.close_but(ListenerSet())


def test_too_many(empty: ListenerSet) -> None:
    """All descriptors of a worker fit one message."""
    with pytest.raises(PdnsError, match="at most 0 addresses"):
        empty.changed_to(PLAIN, [tls(1000 + index) for index in range(MAX_LISTENERS - 1)])


def test_a_socket_that_systemd_opened(port: int, tmp_path: Path) -> None:
    """It is used as it is, and must belong to a listener."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", port))
        opened.listen(1)
        inherited = InheritedSockets([(opened, "dot.socket")])
        listeners = ListenerSet(inherited=inherited).changed_to([], [tls(port)])
        assert list(encrypted(listeners).values()) == [os.fstat(opened.fileno()).st_ino]
        listeners.close_but(ListenerSet(inherited=inherited))
        assert opened.fileno() >= 0
        write_pair(tmp_path, issue())
        text = '[upstream]\nservers = ["192.0.2.53"]\n[[listener]]\ntransport = "tls"\nlisten = ["127.0.0.1:{}"]\n'
        text += PAIR
        (tmp_path / "pdns.toml").write_text(text.format(port))
        inherited.require_all_used(load(tmp_path / "pdns.toml"))
        (tmp_path / "pdns.toml").write_text(text.format(1))
        with pytest.raises(PdnsError, match=r"dot.socket.*\[\[listener\]\]"):
            inherited.require_all_used(load(tmp_path / "pdns.toml"))
