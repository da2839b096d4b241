"""One TCP connection that carries DNS (RFC 7766): messages behind their lengths, answered in any order."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, Final, Protocol, cast

from pdns.errors import WireError
from pdns.net.edge import BugLog, EdgeStats, MessageHandler
from pdns.net.tcp_limits import TcpLimits
from pdns.wire.framing import MAX_MESSAGE_BYTES, Deframer, frame
from pdns.wire.protocol import HEADER_BYTES
from pdns.wire.proxy_header import UNFINISHED, header_bytes, parse_header
from pdns.wire.transport import Transport

MAX_UNSENT_BYTES: Final = 512 * 1024  # of answers that one client does not read
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class StreamTable(Protocol):
    """What a stream asks of the connections that it is one of: `pdns.net.tcp.TcpConnections`."""

    limits: TcpLimits

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...
    @property
    def stats(self) -> EdgeStats: ...
    @property
    def clock(self) -> Callable[[], float]: ...
    @property
    def bugs(self) -> BugLog: ...
    @property
    def read_buffer(self) -> memoryview: ...

    def mark(self, stream: Stream, *, busy: bool) -> None: ...
    def move(self, stream: Stream, key: Hashable) -> bool: ...
    def grant(self, stream: Stream, wanted: int) -> int: ...
    def wait(self, stream: Stream) -> None: ...
    def refused(self, stream: Stream) -> bool: ...
    def left(self, stream: Stream) -> None: ...


class Stream(asyncio.BufferedProtocol):
    """Reads messages as fast as they can be answered, and no faster.

    Nothing is read while messages wait for their turn, while too many queries wait for their answers, while the peer
    does not read its own, or while its client rests because it was refused too often. A peer
    that has said all (half-closed), or that talks nonsense, still gets the answers to what it asked before.

    What a load balancer sends begins with a PROXY protocol header, and everything behind it is the client's that it names.
    """

    __slots__ = (
        "_active", "_active_s", "_asked", "_busy", "_client", "_connections", "_deframer", "_finishing", "_finishing_soon",
        "_handling", "_has_asked", "_header", "_means", "_open", "_over", "_port", "_reading", "_reset", "_resting", "_service",
        "_stalled_since_s", "_transport", "_waiting", "key",
    )  # fmt: skip

    def __init__(self, service: MessageHandler, connections: StreamTable, key: Hashable, *, awaits_header: bool = False) -> None:
        """`key` is what its client is known by. `connections` has counted it in, and may `reset` or `finish` it from now on.
        `awaits_header`: it is a load balancer's.
        """
        self.key = key
        self._service = service
        self._connections = connections
        self._deframer = Deframer()
        self._header = bytearray() if awaits_header else None  # what has come of it, while one is awaited
        self._means = Transport.TCP  # how the client asks
        self._waiting: deque[bytes] = deque()  # messages read, not yet handed over
        self._asked = 0  # messages handed over, not yet answered
        self._busy = False
        self._reading = True
        self._resting = False  # until the others had their turn
        self._handling = False
        self._finishing = False  # nothing more will be read
        self._finishing_soon = False  # nothing behind the next messages
        self._has_asked = False
        self._open = False  # there is a transport
        self._reset = False  # it has ended, and whatever is left of it is to go at once
        self._over = True  # nothing more will be written, or even counted
        self._stalled_since_s: float | None = None  # the peer does not read
        self._active_s = 0.0  # when a whole message last came in or went out
        self._active = False  # whether one did since the table of connections was told

    # what the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open = True
        peer = transport.get_extra_info("peername")
        if not peer or self._reset:  # its client has gone, or it had to make room before there was a transport
            self._connections.left(self)
            self._abort()
            return
        self._client, self._port = peer[0], peer[1]
        self._active_s = self._connections.clock()
        self._over = False
        self._settle()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (why does not matter)
        self._over = True
        self._waiting.clear()
        self._connections.left(self)

    def get_buffer(self, sizehint: int) -> Any:  # noqa: ARG002 (its size is a bound; a Buffer, which 3.11 cannot spell)
        return self._connections.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._over or self._finishing:
            return
        if nbytes == len(self._connections.read_buffer):
            self._rest()  # there is more, but others want something too
        received = self._connections.read_buffer[:nbytes]
        messages = self._deframer.feed(received if self._header is None else self._read_header(received))
        if not messages:
            return
        self._note_activity()
        for message in messages:
            if len(message) < HEADER_BYTES:
                self._connections.stats.dropped("tcp_no_header")  # not DNS, so what follows is not either
                self._finishing = True
                break
            self._waiting.append(message)
        self._has_asked = True
        self._finishing |= self._finishing_soon
        self._go_on()

    def eof_received(self) -> bool:
        self._reading = False
        if self._header:
            self.reset(UNFINISHED)
            return True
        self.finish()
        return True

    def pause_writing(self) -> None:
        self._stalled_since_s = self._connections.clock()

    def resume_writing(self) -> None:
        self._stalled_since_s = None
        self._connections.loop.call_soon(self._go_on)  # a transport must not be closed from in here

    # what the service says

    def answer(self, message: bytes) -> None:
        """Send the answer to one of the messages handed over."""
        if self._over:
            return
        self._asked -= 1
        if len(message) > MAX_MESSAGE_BYTES:
            self._connections.stats.dropped("tcp_answer_too_long")
        elif not self._transport.is_closing():
            self._transport.write(frame(message))
            if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                self.reset("tcp_slow_reader")
                return
        self._note_activity()
        self._go_on()

    def abandon(self) -> None:
        """One of the messages handed over will never be answered. May be called from any thread: a garbage collector does."""
        if not self._over:
            with suppress(RuntimeError):  # the loop is closed
                self._connections.loop.call_soon_threadsafe(self._abandoned)

    # what the table of connections says

    def finish_soon(self) -> None:
        """`finish`, but read its first messages before if none has come."""
        self._finishing_soon = True
        if self._has_asked:
            self.finish()

    def finish(self) -> None:
        """Read no more; close when everything asked has been answered."""
        self._finishing = True
        self._go_on()

    def go_on(self, most: int) -> None:
        """It is its turn: hand over so many of the messages that wait."""
        if not self._over:
            self._hand_over(most)
            self._settle_unless_over()

    def reset(self, reason: str) -> None:
        """End it now, leaving nothing in the kernel either; count why."""
        self._connections.stats.dropped(reason)
        self._over = self._reset = True
        self._waiting.clear()
        self._connections.left(self)
        if self._open:
            self._abort()

    def check(self, now_s: float, idle_limit_s: float) -> None:
        """End it if it is idle for too long. Only whole messages count as activity, not single bytes."""
        if not self._open:
            return
        limits = self._connections.limits
        quiet_s = now_s - self._active_s
        if self._stalled_since_s is not None:
            if now_s - self._stalled_since_s >= limits.idle_timeout_s:
                self.reset("tcp_slow_reader")
        elif self._busy:
            if quiet_s >= limits.answer_deadline_s:
                self.reset("tcp_unanswered")
        elif self._transport.get_write_buffer_size():
            if quiet_s >= limits.idle_timeout_s:
                self.reset("tcp_slow_reader")
        elif quiet_s >= idle_limit_s and not self._over:
            if self._header:
                self._connections.stats.dropped(UNFINISHED)
            elif self._deframer.pending_bytes:
                self._connections.stats.dropped("tcp_unfinished_message")
            self._close()

    # what it makes of all that

    def _read_header(self, received: memoryview) -> bytes:
        """Take up what has come of the header. Returns what stands behind it: nothing before it is whole, or if it is wrong."""
        assert self._header is not None
        self._header += received
        try:
            size = header_bytes(self._header)
            if not size or len(self._header) < size:
                return b""
            header = parse_header(self._header)
        except WireError as error:
            self._header = None
            self.reset(error.reason)
            return b""
        rest, self._header = bytes(self._header[size:]), None
        if header.datagrams:
            self._means = Transport.UDP  # its address is not proven, and its answers have to fit
        if header.client:
            self._client = header.client
        return rest if self._connections.move(self, client_key(self._client)) else b""

    def _go_on(self) -> None:
        """Hand over what waits, as far as the bounds allow; then see whether to read, to wait, or to close."""
        if self._handling or self._over:
            return  # `on_message` replied at once: the loop of `_hand_over` goes on
        if self._waiting and self._may_hand_over:
            self._hand_over(self._connections.grant(self, len(self._waiting)))
        self._settle_unless_over()

    @property
    def _may_hand_over(self) -> bool:
        return self._asked < self._connections.limits.max_outstanding and self._stalled_since_s is None

    def _hand_over(self, most: int) -> None:
        """Hand over at most so many, and wait for the next turn if there are more."""
        self._handling = True
        connections = self._connections
        waiting = self._waiting
        while waiting and self._may_hand_over:
            if most <= 0:
                connections.wait(self)
                break
            most -= 1
            self._asked += 1
            try:
                refused = self._service.on_message(waiting.popleft(), self._client, self._port, self._means, _Reply(self))
            except Exception as error:  # noqa: BLE001 (the next message may be a good one)
                connections.bugs.caught(error, "the answer to a message over TCP")
                continue
            if refused and connections.refused(self):
                most = 0
        self._handling = False

    def _settle_unless_over(self) -> None:
        if not self._over:
            self._settle()

    def _settle(self) -> None:
        unanswered = bool(self._asked or self._waiting)
        if self._finishing and not unanswered:
            self._close()
            return
        # who does not read is no busier than who does not ask
        busy = unanswered and self._stalled_since_s is None
        if busy != self._busy or (self._active and not busy):
            self._busy = busy
            self._connections.mark(self, busy=busy)
        self._active = False
        self._set_reading(
            not self._finishing
            and not self._resting
            and not self._waiting
            and self._stalled_since_s is None
            and self._asked < self._connections.limits.max_outstanding
        )

    def _note_activity(self) -> None:
        self._active_s = self._connections.clock()
        self._active = True  # a clock may stand still from one message to the next

    def _set_reading(self, wanted: bool) -> None:
        if wanted == self._reading or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _rest(self) -> None:
        if not self._resting:
            self._resting = True
            self._set_reading(False)
            self._connections.loop.call_soon(self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._go_on()

    def _abandoned(self) -> None:
        if not self._over:
            self._asked -= 1
            self._go_on()

    def _close(self) -> None:
        """Close in peace. While the peer has not read everything it stays in the count."""
        self._over = True
        if self._busy:
            self._busy = False
            self._connections.mark(self, busy=False)
        if not self._transport.get_write_buffer_size():
            self._connections.left(self)
        self._transport.close()

    def _abort(self) -> None:
        with suppress(OSError):  # without this the kernel would keep unread answers, and the ports, for a minute
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()


def client_key(host: str) -> str | bytes:
    """What connections are counted by: an IPv4 address, or the /64 of an IPv6 address."""
    return socket.inet_pton(socket.AF_INET6, host)[:8] if ":" in host else host


class _Reply:
    """Answers one message, once. If it is dropped unused it reports that, so that an unanswered query does not stay busy."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream: Stream | None = stream

    def __call__(self, message: bytes) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.answer(message)

    def __del__(self) -> None:
        if self._stream is not None:
            self._stream.abandon()
