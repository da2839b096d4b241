"""How the processes of one `pdns serve` communicate: small messages over a SOCK_SEQPACKET socketpair, with file descriptors.

A channel never blocks its process. A child that finds its peer gone exits too.
"""

from __future__ import annotations

import array
import logging
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from pdns.ipc.messages import MAX_FDS, Message

MAX_MESSAGE_BYTES: Final = 65536


_log = logging.getLogger(__name__)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Message).decode


class Loop(Protocol):
    """The methods of an event loop that a channel needs."""

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> object: ...
    def remove_reader(self, fd: int, /) -> object: ...


class Channel:
    """One end of a channel. Sending never waits; receiving is a callback on a loop."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock: socket.socket | None = sock
        self._loop: Loop | None = None
        self._on_message: Callable[[Message, list[int]], None] | None = None
        self._on_gone: Callable[[], None] | None = None

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """A channel, and the other end as a socket to hand to a child. Neither is inherited unless asked for."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    @classmethod
    def from_fd(cls, fd: int) -> Channel:
        """The channel inherited as `fd`, which it owns from then on. Children of this process do not inherit it."""
        os.set_inheritable(fd, False)
        return cls(socket.socket(fileno=fd))

    @property
    def closed(self) -> bool:
        return self._sock is None

    def send(self, message: Message, fds: Sequence[int] = ()) -> bool:
        """Send `message` and copies of `fds`. False when the peer is gone or has stopped reading. Never waits or raises."""
        if self._sock is None:
            return False
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._sock.sendmsg([_encode(message)], ancillary, socket.MSG_NOSIGNAL)
        except OSError as error:  # the peer is gone, or its queue is full: the reader callback or the heartbeat finds out which
            _log.debug("control message %s not sent: %s", type(message).__name__, error)
            return False
        return True

    def attach(self, loop: Loop, on_message: Callable[[Message, list[int]], None], on_gone: Callable[[], None]) -> None:
        """Call `on_message(message, fds)` for each message, whose descriptors it then owns; `on_gone()` once, at the end."""
        if self._sock is None:
            return
        self._loop, self._on_message, self._on_gone = loop, on_message, on_gone
        loop.add_reader(self._sock.fileno(), self.read)

    def wait(self) -> tuple[Message, list[int]] | None:
        """Wait for the next message and its descriptors; None when the peer is gone. For a process without a loop yet."""
        while self._sock is not None:
            poll = select.poll()
            poll.register(self._sock, select.POLLIN)
            poll.poll()
            try:
                received = _receive(self._sock)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                return None
            if received is None:
                return None
            try:
                return _decode(received[0]), received[1]
            except msgspec.DecodeError as error:
                _log.warning("control message not understood: %s", error)
                close_all(received[1])
        return None

    def close(self) -> None:
        """Close this end. The peer sees that; `on_gone` is not called here."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        if self._loop is not None:
            self._loop.remove_reader(sock.fileno())
        self._loop = self._on_message = self._on_gone = None
        sock.close()

    def read(self) -> None:
        """Receive what has arrived. The loop calls this; the owner may call it for the last messages of a peer that is gone."""
        while self._sock is not None:
            try:
                received = _receive(self._sock)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                received = None
            if received is None:
                on_gone = self._on_gone
                self.close()
                if on_gone is not None:
                    on_gone()
                return
            data, fds = received
            try:
                message = _decode(data)
            except msgspec.DecodeError as error:  # a peer of another version, after an upgrade under a running supervisor
                _log.warning("control message not understood: %s", error)
                close_all(fds)
                continue
            if self._on_message is None:
                close_all(fds)
            else:
                self._on_message(message, fds)


def _receive(sock: socket.socket) -> tuple[bytes, list[int]] | None:
    """One message and its descriptors; None at the end. Raises `OSError`."""
    data, ancillary, flags, _ = sock.recvmsg(
        MAX_MESSAGE_BYTES, socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
    )
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if not data and not fds:
        return None
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close_all(fds)
        return b"", []  # reported as not understood
    return data, fds.tolist()


def close_all(fds: Sequence[int]) -> None:
    """Close each of `fds`."""
    for fd in fds:
        os.close(fd)
