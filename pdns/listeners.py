"""The sockets that clients reach us at. The supervisor holds them: queries wait in the kernel while a worker is replaced."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from pdns.addresses import Endpoint, parse_endpoint
from pdns.control import MAX_LISTENERS, Listener
from pdns.errors import PdnsError
from pdns.net.sockets import bind_tcp, bind_udp

_TRIES: Final = 20


class Pair(NamedTuple):
    """One configured endpoint: UDP and TCP, on the same port."""

    endpoint: Endpoint  # as bound
    udp: socket.socket
    tcp: socket.socket

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()


class ListenerSet:
    """What is bound, by its spelling in the configuration."""

    def __init__(self) -> None:
        self._pairs: dict[str, Pair] = {}

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs.values())

    def changed_to(self, endpoints: Iterable[str]) -> ListenerSet:
        """A set for `endpoints`: those that this set has are shared with it, the others newly bound.

        Then call `close_but(kept)` on the one of the two sets that is not kept. Raises `PdnsError`, with nothing changed.
        """
        wanted = list(dict.fromkeys(endpoints))
        if 2 * len(wanted) > MAX_LISTENERS:
            raise PdnsError(
                f"server.listen: at most {MAX_LISTENERS // 2} addresses; a wildcard such as 0.0.0.0:53 stands for all"
            )
        changed = ListenerSet()
        ports = {pair.endpoint.port for pair in self}
        try:
            for text in wanted:
                changed._pairs[text] = self._pairs.get(text) or _bind(parse_endpoint(text), ports)
        except BaseException:
            changed.close_but(self)
            raise
        return changed

    def close_but(self, kept: ListenerSet) -> None:
        """Close every socket that `kept` does not share."""
        for text, pair in self._pairs.items():
            if kept._pairs.get(text) is not pair:
                pair.close()
        self._pairs = {}

    def listeners(self) -> tuple[tuple[Listener, ...], list[int]]:
        """What a worker is told of them, and their descriptors in the same order."""
        listeners: list[Listener] = []
        fds: list[int] = []
        for pair in self:
            listeners += (Listener("udp", str(pair.endpoint)), Listener("tcp", str(pair.endpoint)))
            fds += (pair.udp.fileno(), pair.tcp.fileno())
        return tuple(listeners), fds


def _bind(endpoint: Endpoint, own_ports: set[int]) -> Pair:
    if endpoint.port:
        return _bind_pair(endpoint, join=False, own_ports=own_ports)
    for _ in range(_TRIES):  # the kernel chooses for TCP; UDP may have that port in use
        tcp = bind_tcp(endpoint)
        chosen = endpoint._replace(port=tcp.getsockname()[1])
        try:
            return Pair(chosen, bind_udp(chosen), tcp)
        except PdnsError as error:
            tcp.close()
            failure = error
    raise failure


def _bind_pair(endpoint: Endpoint, *, join: bool, own_ports: set[int]) -> Pair:
    try:
        udp = bind_udp(endpoint, join=join)
        try:
            return Pair(endpoint, udp, bind_tcp(endpoint, join=join))
        except BaseException:
            udp.close()
            raise
    except PdnsError:
        # From 0.0.0.0:53 to 192.0.2.1:53, or back, without a gap: both are bound for a moment, and both are ours.
        if join or endpoint.port not in own_ports:
            raise
    return _bind_pair(endpoint, join=True, own_ports=own_ports)
