"""NOTIFY (RFC 1996) at the addresses for clients: how a worker answers a primary and informs the feeds process.

The feeds process has a datagram socket in the state directory. A worker sends the name of a feed to it, and never waits.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdns.config.addresses import zone_of
from pdns.config.schema import Feed
from pdns.core.query import error_reply
from pdns.errors import WireError
from pdns.files.safe_files import appearance, bind
from pdns.wire import protocol as p
from pdns.wire.names import from_text

SOCKET_FILE: Final = "zone-changes.sock"
_OFTEN_S: Final = 1.0  # each zone is reported once in that time at most: a primary's address can be forged
_MOST_WAITING: Final = 100
_NAME_BYTES: Final = 64
_SOA_IN: Final = p.SOA.to_bytes(2) + p.CLASS_IN.to_bytes(2)


class Primaries:
    """Answers the NOTIFY of a configured primary. It is refused for a feed with a TSIG key, because a worker has no keys."""

    def __init__(self, feeds: Sequence[Feed], pass_on: Callable[[str], object]) -> None:
        """`pass_on` is called with the name of each feed whose zone has changed."""
        self._feeds: dict[tuple[str, bytes], list[str]] = {}
        self._next_s: dict[tuple[str, bytes], float] = {}
        self._pass_on = pass_on
        for feed in feeds:
            primary = zone_of(feed.url)
            if primary is not None and not feed.tsig_name:
                self._feeds.setdefault((primary.host, from_text(primary.zone)), []).append(feed.name)

    def __bool__(self) -> bool:
        return bool(self._feeds)

    def answer(self, wire: bytes, address: str, now: float) -> bytes | None:
        """The answer to a message whose opcode is not QUERY; None unless it is NOTIFY from a primary for its zone."""
        opcode = int.from_bytes(wire[2:4]) & p.OPCODE_MASK
        end = wire.find(_SOA_IN, p.HEADER_BYTES) + len(_SOA_IN)
        key = address, wire[p.HEADER_BYTES : end - len(_SOA_IN)].lower()
        if opcode != p.NOTIFY << 11 or wire[4:6] != b"\0\1" or key not in self._feeds:
            return None
        if now >= self._next_s.get(key, now):
            self._next_s[key] = now + _OFTEN_S
            for name in self._feeds[key]:
                self._pass_on(name)
        reply = error_reply(wire, WireError("", p.NOERROR, wire[p.HEADER_BYTES : end]))
        return None if reply is None else reply[:2] + bytes([reply[2] | p.AA >> 8]) + reply[3:]


class Sender:
    """Informs the feeds process of this state directory. While that process is away, the message is lost."""

    def __init__(self, state_dir: Path) -> None:
        self._path = str(state_dir / SOCKET_FILE)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def tell(self, feed: str) -> None:
        """The zone of `feed` has changed. Never waits or raises."""
        with suppress(OSError):  # the zone is still checked at its usual interval
            self._socket.sendto(feed.encode(), self._path)

    def close(self) -> None:
        self._socket.close()


class ZoneChangeReceiver:
    """The receiving socket of the feeds process. Raises `OSError` when it cannot be created."""

    def __init__(self, state_dir: Path, loop: asyncio.AbstractEventLoop, changed: Callable[[str], object]) -> None:
        """`changed` is called with the name of a feed."""
        self._path = state_dir / SOCKET_FILE
        self._loop, self._changed = loop, changed
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            bind(self._path, self._socket)
        except OSError:
            self._socket.close()
            raise
        self._looks = appearance(self._path)
        loop.add_reader(self._socket, self._read)

    @property
    def lost(self) -> bool:
        """Whether the socket's path was replaced or removed: another socket is needed."""
        return appearance(self._path) != self._looks

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(_MOST_WAITING):
            try:
                name = self._socket.recv(_NAME_BYTES)
            except OSError:
                return
            self._changed(name.decode("ascii", "replace"))
