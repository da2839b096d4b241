"""What clients reach us by: its value, and its sockets."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from typing import NamedTuple

from pdns.config.addresses import Endpoint
from pdns.errors import PdnsError
from pdns.net.sockets import bind_tcp, bind_udp
from pdns.net.steering import Steering
from pdns.wire.transport import Transport

_log = logging.getLogger(__name__)


class Listener(NamedTuple):
    """One transport at one endpoint. What a listener needs besides, such as a certificate, becomes a field here."""

    transport: Transport
    endpoint: Endpoint
    steering: Steering | None = None  # of datagrams to several sockets

    def bind(self, *, join: bool = False) -> tuple[socket.socket, ...]:
        """Its sockets, in the order of binding: one, or as many as it steers to. `join` adds them to a group that is bound.

        Raises `PdnsError` that says what to do next.
        """
        if self.transport.is_stream:
            return (bind_tcp(self.endpoint, join=join),)
        sockets: list[socket.socket] = []
        try:
            for _ in range(1 if self.steering is None else self.steering.sockets):
                sockets.append(bind_udp(self.endpoint, join=join or bool(sockets)))
        except BaseException:
            close_sockets(sockets)
            raise
        if self.steering is not None:
            steer(sockets[0], self.endpoint, self.steering)
        return tuple(sockets)


def steer(first: socket.socket, endpoint: Endpoint, steering: Steering, *, needed: bool = False) -> None:
    """Apply `steering` to the group of `first`, which is bound to `endpoint`, if the kernel can do it.

    Raises `PdnsError` if it cannot and it is `needed`.
    """
    try:
        steering.apply(first)
    except OSError as error:  # then the kernel goes by the client's address: every worker caches what it is asked
        if needed:
            raise PdnsError(f"{endpoint} (UDP): queries cannot be steered to the workers: {error.strerror}") from error
        _log.warning("%s (UDP): queries are not steered by name: %s", endpoint, error.strerror)


def close_sockets(sockets: Iterable[socket.socket]) -> None:
    """Close each of `sockets`."""
    for sock in sockets:
        sock.close()
