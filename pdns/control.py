"""How the processes of one `pdns serve` talk: small messages over a SOCK_SEQPACKET socketpair, with descriptors beside them.

A channel never blocks its process, and the end of one is the end of the other: who finds the peer gone leaves too.
"""

from __future__ import annotations

import array
import logging
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

import msgspec

from pdns.config.schema import Config
from pdns.files.sealed import sealed_memory

MAX_MESSAGE_BYTES: Final = 65536
MAX_FDS: Final = 253  # SCM_MAX_FD of the kernel
MAX_LISTENERS: Final = MAX_FDS - 5  # beside configuration, counters, sightings, arena and limits

Transport = Literal["udp", "tcp"]

_log = logging.getLogger(__name__)


class Listener(msgspec.Struct, frozen=True):
    """One listening socket: what arrives there, and where ("127.0.0.1:5300", "[::]:53")."""

    transport: Transport
    address: str


class Apply(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: run by this configuration.

    Descriptors: configuration, counters, sightings, the arena if there is one, the rate limits' memory if `limits`, one for each
    listener.
    """

    generation: int  # of this message; `Ready` and `Refused` name it
    listeners: tuple[Listener, ...]  # all of them; one that is missing is to be closed
    config_file: str
    index: int = 0  # of this worker
    workers: int = 1
    arena: int = 0  # its number; 0: stand by, another worker has it still
    cookie_secret: str = ""  # in hexadecimal; all workers have the same
    limits: bool = False
    blocksets: bool = False  # the supervisor hands them out; else the worker looks for them itself


class TakeBlockset(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: decide by this blockset. Before the first `Apply` and after it. Descriptors: its sealed copy."""

    generation: int
    needed: bool = False  # names are blocked by now: refuse to start rather than answer without a blockset


class Cover(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: read these sockets of another worker, which is away, as well as your own; none: no longer.

    Descriptors: one for each listener.
    """

    worker: int
    listeners: tuple[Listener, ...]


class Configure(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to feeds: run by this configuration. Descriptors: configuration."""

    generation: int
    config_file: str
    blockset: int = 0  # the generation that workers have in memory, whatever becomes of its files; 0: none


class Distrust(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to feeds: the blockset of this generation cannot be used. Make another one."""

    generation: int


class HandOver(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: read nothing more, and let go of the arena; the next worker waits for both."""


class HandedOver(msgspec.Struct, frozen=True, tag=True):
    """Worker to supervisor: that is done. What is in flight is still answered."""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: accept nothing more, answer what is in flight, leave."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Worker to supervisor: it has done as `Apply` number `generation` says."""

    generation: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Worker to supervisor: the configuration of that `Apply` cannot be run by; the one before stays live."""

    generation: int
    reason: str
    other_format: bool = False  # it needs the blockset that it was given, and only another version of the program reads that


class Drained(msgspec.Struct, frozen=True, tag=True):
    """Worker to supervisor: nothing is in flight any more; it leaves now."""

    unanswered: int = 0  # queries given up at the end of `drain_s`


Message = Apply | TakeBlockset | Cover | Configure | Distrust | HandOver | HandedOver | Drain | Ready | Refused | Drained

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Message).decode


class Loop(Protocol):
    """What a channel needs of an event loop."""

    def add_reader(self, fd: int, callback: Callable[[], object], /) -> object: ...
    def remove_reader(self, fd: int, /) -> object: ...


class Channel:
    """One end. Sending never waits; receiving is a callback on a loop."""

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
        """The channel that was inherited as `fd`, which it owns from here on. Children of this process do not get it."""
        os.set_inheritable(fd, False)
        return cls(socket.socket(fileno=fd))

    @property
    def closed(self) -> bool:
        return self._sock is None

    def send(self, message: Message, fds: Sequence[int] = ()) -> bool:
        """Pass `message` and copies of `fds` on. False when the peer is gone or has stopped reading; never waits or raises."""
        if self._sock is None:
            return False
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._sock.sendmsg([_encode(message)], ancillary, socket.MSG_NOSIGNAL)
        except OSError as error:  # its end, or its queue full: the reader callback or the heartbeat will tell which
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
        """The next message and its descriptors, waited for; None when the peer is gone. For a process that has no loop yet."""
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
        """Leave. The peer sees the end; `on_gone` is not called here."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        if self._loop is not None:
            self._loop.remove_reader(sock.fileno())
        self._loop = self._on_message = self._on_gone = None
        sock.close()

    def read(self) -> None:
        """Take what has arrived. The loop calls this; so may who knows that the peer is gone, to hear its last words."""
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


def share_config(config: Config) -> int:
    """`config` in a sealed memfd: nobody who gets the descriptor can change it. The caller closes it."""
    return sealed_memory("pdns-config", [msgspec.json.encode(config)])


def read_config(fd: int) -> Config:
    """The configuration in `fd`, which stays open. Raises `msgspec.DecodeError` and `OSError`."""
    size = os.fstat(fd).st_size
    data = b""
    while len(data) < size and (chunk := os.pread(fd, size - len(data), len(data))):  # the file offset is shared
        data += chunk
    return msgspec.json.decode(data, type=Config)
