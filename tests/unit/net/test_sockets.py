"""Sockets as they are bound."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pdns.config.addresses import Endpoint
from pdns.errors import PdnsError
from pdns.net import sockets
from pdns.net.sockets import bind_tcp, bind_udp, kernel_drops

Bind = Callable[[Endpoint], socket.socket]
LOOPBACK = Endpoint("127.0.0.1", 0)
both = pytest.mark.parametrize("bind", [bind_udp, bind_tcp])


@pytest.fixture
def ipv6() -> None:
    """For tests that need the address ::1."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no ::1")


def where(sock: socket.socket) -> Endpoint:
    return Endpoint(*sock.getsockname()[:2])


@both
def test_a_socket_never_blocks_and_is_not_passed_on_by_accident(bind: Bind) -> None:
    """Reading an empty socket fails at once; a child process gets only what it is given."""
    with closing(bind(LOOPBACK)) as sock:
        assert sock.gettimeout() == 0.0
        assert not sock.get_inheritable()


@both
def test_a_stranger_on_the_same_port_is_refused(bind: Bind) -> None:
    """A second program fails to start instead of taking half of the queries, and is told how to find the first."""
    with closing(bind(LOOPBACK)) as sock:
        endpoint = where(sock)
        with pytest.raises(PdnsError, match=r"address already in use; `ss -.lnp 'sport = :") as caught:
            bind(endpoint)
    assert str(caught.value).startswith(str(endpoint))


@pytest.mark.parametrize("bind", [bind_udp, bind_tcp])
def test_further_sockets_may_join_the_first(bind: Callable[..., socket.socket]) -> None:
    """Several workers can share one port."""
    with closing(bind(LOOPBACK)) as first, closing(bind(where(first), join=True)) as second:
        assert where(first) == where(second)


def test_clients_can_connect_before_anybody_accepts() -> None:
    """A listening socket holds connections from the moment it is bound."""
    with closing(bind_tcp(LOOPBACK)) as sock, socket.create_connection(where(sock), timeout=1):
        pass


def test_a_port_with_closed_connections_can_be_bound_again() -> None:
    """A restart does not wait for TIME_WAIT."""
    with closing(bind_tcp(LOOPBACK)) as sock:
        endpoint = where(sock)
        with socket.create_connection(endpoint, timeout=1):
            accepted, _ = sock.accept()
            accepted.close()
    bind_tcp(endpoint).close()


def test_answers_do_not_fragment_because_an_icmp_message_says_so() -> None:
    """Path MTU discovery is off for datagrams (IP_PMTUDISC_OMIT)."""
    with closing(bind_udp(LOOPBACK)) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, sockets.IP_MTU_DISCOVER) == sockets.IP_PMTUDISC_OMIT


@pytest.mark.usefixtures("ipv6")
def test_answers_do_not_fragment_over_ipv6_either() -> None:
    """Path MTU discovery is off for datagrams (IPV6_PMTUDISC_OMIT)."""
    with closing(bind_udp(Endpoint("::1", 0))) as sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, sockets.IPV6_MTU_DISCOVER) == sockets.IPV6_PMTUDISC_OMIT


@both
@pytest.mark.usefixtures("ipv6")
def test_an_ipv6_wildcard_leaves_ipv4_alone(bind: Bind) -> None:
    """`[::]` and `0.0.0.0` on one port live side by side; no client ever looks like ::ffff:192.0.2.1."""
    with closing(bind(Endpoint("::", 0))) as v6, closing(bind(Endpoint("0.0.0.0", where(v6).port))):
        assert v6.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_a_burst_finds_room() -> None:
    """The receive buffer is at least what any process may ask for."""
    allowed = int(Path("/proc/sys/net/core/rmem_max").read_text())
    with closing(bind_udp(LOOPBACK)) as sock:
        buffer_bytes = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert buffer_bytes >= 2 * min(allowed, sockets.RECEIVE_BUFFER_BYTES)  # the kernel doubles it for its own use


def test_what_the_kernel_threw_away_is_known() -> None:
    """Datagrams that found the receive buffer full are counted."""
    with closing(bind_udp(LOOPBACK)) as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        assert kernel_drops(sock) == 0
        for _ in range(100):
            client.sendto(bytes(500), where(sock))
        assert 0 < kernel_drops(sock) <= 100


@both
def test_an_address_that_is_not_there_yet_can_be_bound(bind: Bind) -> None:
    """It works once an interface has it (ip(7), IP_FREEBIND)."""
    with bind(Endpoint("203.0.113.1", 0)) as sock:
        assert sock.getsockname()[0] == "203.0.113.1"


@both
@pytest.mark.usefixtures("ipv6")
def test_so_can_one_of_ipv6(bind: Bind) -> None:
    """Also while it is tentative."""
    with bind(Endpoint("2001:db8::1", 0)) as sock:
        assert sock.getsockname()[0] == "2001:db8::1"


@both
def test_an_address_that_cannot_be_bound_is_explained(bind: Bind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses that, EADDRNOTAVAIL says where to look."""
    monkeypatch.setattr("pdns.net.sockets.IP_FREEBIND", 9999)
    with pytest.raises(PdnsError, match=r"^203\.0\.113\.1:0 \(...\): no interface of this machine has this address; `ip"):
        bind(Endpoint("203.0.113.1", 0))


@both
@pytest.mark.usefixtures("ipv6")
def test_a_link_local_address_needs_its_interface(bind: Bind) -> None:
    """EINVAL is explained for fe80::/10."""
    with pytest.raises(PdnsError, match=r"^\[fe80::1\]:0 .* needs its interface, as in \[fe80::1%eth0\]:53"):
        bind(Endpoint("fe80::1", 0))


@both
def test_an_interface_that_does_not_exist_is_an_error_that_names_the_endpoint(bind: Bind) -> None:
    """Whatever the system says, the message begins with the endpoint."""
    with pytest.raises(PdnsError, match=r"^\[fe80::1%nosuch0\]:53 "):
        bind(Endpoint("fe80::1%nosuch0", 53))


@contextmanager
def unprivileged() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@both
def test_a_low_port_without_privilege_is_explained(bind: Bind) -> None:
    """EACCES names the capability that is missing."""
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 53:
        pytest.skip("this machine lets everybody bind port 53")
    with unprivileged(), pytest.raises(PdnsError) as caught:
        bind(Endpoint("127.0.0.1", 53))
    protocol = "UDP" if bind is bind_udp else "TCP"
    assert str(caught.value) == f"127.0.0.1:53 ({protocol}): permission denied; ports below 1024 need CAP_NET_BIND_SERVICE"


def test_who_usually_holds_port_53_is_named() -> None:
    """The wildcard on port 53 most often collides with systemd-resolved."""
    reason = sockets._reason(Endpoint("0.0.0.0", 53), "UDP", OSError(98, "Address already in use"))
    assert "systemd-resolved" in reason
