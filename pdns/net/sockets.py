"""Sockets to listen on, made and bound. Whoever binds needs the privilege; whoever gets the socket does not.

The first socket of an endpoint is bound alone, so a second program on the same port fails with an error instead of
taking half of the queries. Only then does it allow company: further sockets (`join=True`) share its port.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import Final, NoReturn

from pdns.config.addresses import Endpoint
from pdns.errors import PdnsError

# Linux (asm-generic/socket.h, linux/in.h, linux/in6.h); the socket module of Python 3.11 does not have them.
IP_PKTINFO: Final = 8
IP_FREEBIND: Final = 15
IPV6_FREEBIND: Final = 78
IP_MTU_DISCOVER: Final = 10
IP_PMTUDISC_OMIT: Final = 5
IPV6_MTU_DISCOVER: Final = 23
IPV6_PMTUDISC_OMIT: Final = 5
SO_RCVBUFFORCE: Final = 33
SO_MEMINFO: Final = 55
SK_MEMINFO_DROPS: Final = 8
SK_MEMINFO_VARS: Final = 9

RECEIVE_BUFFER_BYTES: Final = 4 * 1024 * 1024
TCP_BACKLOG: Final = 1024
_NOT_SENT_LOW_WATER_BYTES: Final = 64 * 1024

_WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 (compared with, not bound to)


def bind_udp(endpoint: Endpoint, *, join: bool = False) -> socket.socket:
    """A non-blocking datagram socket on `endpoint`. `join` adds it to the group of one that is bound already.

    A wildcard socket tells for each datagram which address was asked. No ICMP message can make answers fragment: what it
    says of the path is not believed. Raises `PdnsError` that says what to do next.
    """
    sock = _socket(endpoint, socket.SOCK_DGRAM)
    try:
        prepare_udp(sock, endpoint)
        _bind(sock, endpoint, "UDP", join=join)
    except BaseException:
        sock.close()
        raise
    return sock


def bind_tcp(endpoint: Endpoint, *, join: bool = False) -> socket.socket:
    """A non-blocking stream socket that listens on `endpoint`. `join` adds it to the group of one that listens already.

    Clients may connect from now on; they wait in the kernel until somebody accepts them. What is set here for
    sending is inherited by every connection. Raises `PdnsError` that says what to do next.
    """
    sock = _socket(endpoint, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        prepare_tcp(sock)
        _bind(sock, endpoint, "TCP", join=join)
        try:
            sock.listen(TCP_BACKLOG)
        except OSError as error:
            _refuse(endpoint, "TCP", error)
    except BaseException:
        sock.close()
        raise
    return sock


def prepare_udp(sock: socket.socket, endpoint: Endpoint) -> None:
    """Set the options of `bind_udp` on a socket that is or will be bound to `endpoint`. Raises `OSError`."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT)
    if endpoint.host in _WILDCARDS:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    _enlarge_receive_buffer(sock)


def prepare_tcp(sock: socket.socket) -> None:
    """Set the options of `bind_tcp` that connections inherit. Raises `OSError`."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # what a client does not read must pile up where it is counted, not in megabytes of kernel memory
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _NOT_SENT_LOW_WATER_BYTES)


def kernel_drops(sock: socket.socket) -> int:
    """How many datagrams the kernel has thrown away because `sock` was not read in time; 0 if that is unknown."""
    try:
        info = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * SK_MEMINFO_VARS)
    except OSError:
        return 0
    return memoryview(info).cast("I")[SK_MEMINFO_DROPS] if len(info) == 4 * SK_MEMINFO_VARS else 0


def has_address(host: str, *, if_unknown: bool) -> bool:
    """Whether this machine has the address `host`, or it is a wildcard: only then can something be bound to it.

    Where net.ipv4.ip_nonlocal_bind is set, all are. `if_unknown` is returned when the machine cannot tell, for
    instance without descriptors.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            found = socket.getaddrinfo(host, 0, probe.family, probe.type, flags=socket.AI_NUMERICHOST)
            probe.bind(found[0][4])
    except socket.gaierror:  # the interface behind the % does not exist
        return False
    except OSError as error:
        return if_unknown and error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV)
    return True


def has_interface(host: str) -> bool:
    """Whether the interface that `host` names behind a % exists; True where it names none. Without it no bind can succeed."""
    zone = host.partition("%")[2]
    try:
        if zone.isdigit():
            socket.if_indextoname(int(zone))
        elif zone:
            socket.if_nametoindex(zone)
    except (OSError, OverflowError):
        return False
    return True


def _socket(endpoint: Endpoint, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        _refuse(endpoint, "UDP" if kind == socket.SOCK_DGRAM else "TCP", error)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return sock


def _bind(sock: socket.socket, endpoint: Endpoint, protocol: str, *, join: bool) -> None:
    try:
        if join:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # numeric, so this asks no resolver; it is what turns %eth0 into a scope
        found = socket.getaddrinfo(endpoint.host, endpoint.port, sock.family, sock.type, flags=socket.AI_NUMERICHOST)
        try:
            sock.bind(found[0][4])
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            _allow_absent_address(sock)
            sock.bind(found[0][4])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        _refuse(endpoint, protocol, error)


def _allow_absent_address(sock: socket.socket) -> None:
    """An address that no interface has yet (a standby's virtual address, a link that is late, an IPv6 address that is still
    being checked) may be bound: it works from the moment when an interface has it. Needs no privilege (ip(7)).
    """
    with suppress(OSError):  # refused: the bind fails, and says so
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)


def _enlarge_receive_buffer(sock: socket.socket) -> None:
    """A burst waits here while the loop does something else. A larger buffer stays as it is."""
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= RECEIVE_BUFFER_BYTES:
        return
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    except OSError:  # that needs CAP_NET_ADMIN; without it net.core.rmem_max is the bound
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def _refuse(endpoint: Endpoint, protocol: str, error: OSError) -> NoReturn:
    raise PdnsError(f"{endpoint} ({protocol}): {_reason(endpoint, protocol, error)}") from error


def _reason(endpoint: Endpoint, protocol: str, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            show = f"ss -{'u' if protocol == 'UDP' else 't'}lnp 'sport = :{endpoint.port}'"
            reason = f"address already in use; `{show}` shows by whom"
            if endpoint.port == 53 and endpoint.host in _WILDCARDS:
                reason += " (systemd-resolved holds 127.0.0.53: list the addresses to listen on one by one)"
            return reason
        case errno.EACCES | errno.EPERM:
            if endpoint.port < 1024:
                return "permission denied; ports below 1024 need CAP_NET_BIND_SERVICE"
            return "permission denied; a security policy of this machine (SELinux, AppArmor) forbids it"
        case errno.EADDRNOTAVAIL:
            return "no interface of this machine has this address; `ip address` lists those it has"
        case errno.EAFNOSUPPORT:
            return f"IPv{6 if ':' in endpoint.host else 4} is switched off on this machine; remove the address from `listen`"
        case errno.EINVAL if endpoint.host.lower().startswith("fe80:") and "%" not in endpoint.host:
            return "a link-local address needs its interface, as in [fe80::1%eth0]:53"
        case errno.EMFILE | errno.ENFILE:
            return "too many open files; raise the limit (LimitNOFILE= in a systemd unit, `ulimit -n` in a shell)"
    return (error.strerror or str(error)).lower()
