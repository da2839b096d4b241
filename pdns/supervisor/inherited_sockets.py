"""Sockets that systemd opened and handed in (sd_listen_fds(3)): they outlive this process, so queries wait in them meanwhile.

Each is matched by the address that it is bound to. Nothing is added to them: they belong to another user than this process, and
the kernel makes groups of SO_REUSEPORT of one user's sockets only.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, MutableMapping
from typing import Final, NamedTuple

from pdns.config.addresses import Endpoint, parse_endpoint
from pdns.config.admin_rules import has_token
from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.net.sockets import TCP_BACKLOG, prepare_tcp, prepare_udp
from pdns.supervisor.encrypted_endpoints import encrypted_endpoints

_FIRST_FD: Final = 3  # SD_LISTEN_FDS_START
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_KINDS: Final = {socket.SOCK_DGRAM: "UDP", socket.SOCK_STREAM: "TCP"}
_PROTOCOLS: Final = (socket.IPPROTO_UDP, socket.IPPROTO_TCP)  # SocketProtocol= has others of the same kinds

_Address = tuple[bytes, int, int]  # packed, scope, port


class _Inherited(NamedTuple):
    sock: socket.socket
    name: str  # FileDescriptorName= of the socket unit
    address: _Address

    @property
    def said(self) -> str:
        host, port = self.sock.getsockname()[:2]
        return f"{Endpoint(host, port)} ({_KINDS[self.sock.type]}, from {self.name})"


class InheritedSockets:
    """The sockets by address. They stay open until this process ends."""

    def __init__(self, sockets: Iterable[tuple[socket.socket, str]] = ()) -> None:
        """`sockets`: each with a name for messages. Raises `PdnsError` for one that is no DNS or HTTP socket."""
        self._all = [_inherited(sock, name) for sock, name in sockets]

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] = os.environ) -> InheritedSockets:
        """Those that the variables LISTEN_* describe, which are then removed; none if they are for another process.

        Raises `PdnsError`.
        """
        pid, count, names = (environ.pop(variable, "") for variable in _VARIABLES)
        if pid != str(os.getpid()):
            return cls()
        if not count.isdecimal():
            raise PdnsError(f"LISTEN_FDS: expected a number, got {count!r}")
        labels = names.split(":") if names else []
        sockets = []
        for index in range(int(count)):
            fd, name = _FIRST_FD + index, labels[index] if index < len(labels) else "unknown"
            try:
                os.set_inheritable(fd, False)
                sockets.append((socket.socket(fileno=fd), name))
            except OSError as error:
                raise PdnsError(f"descriptor {fd} from systemd ({name}) is not a socket: {error.strerror}") from None
        return cls(sockets)

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, sock: object) -> bool:
        return any(one.sock is sock for one in self._all)

    def datagrams(self, endpoint: Endpoint) -> tuple[socket.socket, ...]:
        """The UDP sockets bound to `endpoint`, in the order of the socket unit, ready to use. Raises `PdnsError`."""
        found = self._find(endpoint, socket.SOCK_DGRAM)
        if len(found) > 1 and not all(one.sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) for one in found):
            raise PdnsError(f"{found[0].said} was handed in more than once without ReusePort=yes")
        for one in found:
            prepare_udp(one.sock, endpoint)
        return tuple(one.sock for one in found)

    def stream(self, endpoint: Endpoint) -> socket.socket | None:
        """The TCP socket bound to `endpoint`, ready to use; None without one. Raises `PdnsError`."""
        found = self._find(endpoint, socket.SOCK_STREAM)
        if len(found) > 1:
            raise PdnsError(f"{found[0].said} was handed in more than once; all workers accept from one TCP socket")
        if not found:
            return None
        prepare_tcp(found[0].sock)
        found[0].sock.listen(TCP_BACKLOG)
        return found[0].sock

    def require_all_used(self, config: Config) -> None:
        """Raises `PdnsError` that names a socket without an address in `config`: queries to it would never be answered."""
        datagrams = {_address_of(parse_endpoint(text)) for text in config.server.listen}
        streams = [*config.server.listen, config.metrics.listen, *config.block_page.listen]
        streams += [one.text for one in encrypted_endpoints(config)]
        streams += [config.admin.listen] if has_token(config.admin) else []
        wanted = {socket.SOCK_DGRAM: datagrams, socket.SOCK_STREAM: {_address_of(parse_endpoint(text)) for text in streams}}
        for one in self._all:
            kind = socket.SocketKind(one.sock.type)
            if one.address not in wanted[kind]:
                keys = "server.listen" + ", metrics.listen, admin.listen or block_page.listen (or a [[listener]])" * (
                    kind == socket.SOCK_STREAM
                )
                raise PdnsError(f"systemd handed in a socket for {one.said}, and {keys} does not have this address")

    def _find(self, endpoint: Endpoint, kind: socket.SocketKind) -> list[_Inherited]:
        if not self._all:
            return []
        address = _address_of(endpoint)
        return [one for one in self._all if one.sock.type == kind and one.address == address]


def _inherited(sock: socket.socket, name: str) -> _Inherited:
    """Raises `PdnsError`."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type not in _KINDS or _protocol(sock) not in _PROTOCOLS:
        raise PdnsError(f"the socket that systemd handed in as {name} is neither UDP nor TCP")
    sock.setblocking(False)
    host, port, *rest = sock.getsockname()
    one = _Inherited(sock, name, (ipaddress.ip_address(host.partition("%")[0]).packed, rest[1] if rest else 0, port))
    if sock.type == socket.SOCK_STREAM and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise PdnsError(f"{one.said} does not listen; the socket unit must not have Accept=yes")
    if host == "::" and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        raise PdnsError(f"{one.said} takes IPv4 as well: set BindIPv6Only=ipv6-only in the socket unit")
    return one


def _protocol(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL)


def _address_of(endpoint: Endpoint) -> _Address:
    host, _, zone = endpoint.host.partition("%")
    scope = 0
    if zone:
        try:
            scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
        except OSError:
            scope = -1  # no such interface: nothing is bound to it
    return ipaddress.ip_address(host).packed, scope, endpoint.port
