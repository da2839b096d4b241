"""The worker's end of the way from the quic process: its queries in, their answers out."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from pdns.core.credentials import Credential
from pdns.errors import RelayError
from pdns.ipc.packets import arrived
from pdns.ipc.relay_frames import H3, MAX_PACKET_BYTES, NO_ANSWER, QUIC, RelayClient, RelayQuery, pack_answer, queries_in
from pdns.net.edge import EdgeStats, MessageHandler
from pdns.wire.doh import max_age_s
from pdns.wire.transport import Transport

_READS: Final = 32  # packets of one turn of the loop
_PACKET_BYTES: Final = 32768
_MOST_BACKLOG: Final = 4096  # packets that the quic process has not taken
_TRANSPORTS: Final = {QUIC: Transport.QUIC, H3: Transport.H3}
_TOO_MANY: Final = 429  # RFC 6585
_BAD: Final = 400
_NUMBER_BITS: Final = (1 << 32) - 1
_NOT_FOUND: Final = 404

Pad = Callable[[bytes], bytes]


class RelayedService(MessageHandler, Protocol):
    """Answers messages, and knows tokens."""

    def admits(self, client: str, credential: Credential) -> bool:
        """Whether the token of `credential` is valid, if it has one."""


class RelayServers:
    """All sockets of one worker: one, and two while the quic process is replaced."""

    def __init__(self, service: RelayedService, loop: asyncio.AbstractEventLoop, stats: EdgeStats) -> None:
        self._service, self._loop, self._stats = service, loop, stats
        self._servers: list[RelayServer] = []
        self._pad: Pad = bytes
        self._stopped = False

    def add(self, sock: socket.socket) -> None:
        """Answer what comes from `sock`, which is owned from here on."""
        if self._stopped:
            sock.close()
            return
        self._servers = [server for server in self._servers if server.is_open]
        self._servers.append(RelayServer(sock, self._service, self._loop, self._stats, self._pad))

    def pad(self, pad: Pad) -> None:
        """From now on, `pad` makes answers longer."""
        self._pad = pad
        for server in self._servers:
            server.pad = pad

    def stop(self) -> None:
        """Take no more queries; answer those in flight."""
        self._stopped = True
        for server in self._servers:
            server.stop()

    def close(self) -> None:
        """Send what there is, and close all of them."""
        self._stopped = True
        for server in self._servers:
            server.finish()


class RelayServer:
    """Answers what comes from one socket, which it owns."""

    def __init__(
        self, sock: socket.socket, service: RelayedService, loop: asyncio.AbstractEventLoop, stats: EdgeStats, pad: Pad
    ) -> None:
        """`pad` makes an answer longer, so that its length says less."""
        sock.setblocking(False)
        self.pad = pad
        self.in_flight = 0  # queries without an answer
        self._socket: socket.socket | None = sock
        self._service, self._loop, self._stats = service, loop, stats
        self._frames: list[bytes] = []
        self._frame_bytes = 0
        self._backlog: deque[bytes] = deque()
        self._is_flush_due = False
        self._stopped = False
        loop.add_reader(sock.fileno(), self.read)

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def read(self) -> None:
        """Take what has arrived."""
        if self._socket is None:
            return
        for packet in arrived(self._socket, MAX_PACKET_BYTES, _READS):
            if not packet:
                self._ended()
                return
            try:
                queries = queries_in(packet)
            except RelayError:  # the quic process is another program by now, or not itself
                self._stats.dropped("relay_malformed")
                self.close()
                return
            for query in queries:
                self._take(query)
        self._flush()

    def stop(self) -> None:
        """Read what has arrived, and no more: the quic process asks elsewhere. What is in flight is still answered."""
        if self._socket is None or self._stopped:
            return
        self._stopped = True
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            self.close()
            return
        self.read()
        if not self.in_flight:
            self.close()

    def finish(self) -> None:
        """Send what there is, and close the socket."""
        self._flush()
        self.close()

    def close(self) -> None:
        """Close the socket: queries without an answer are asked elsewhere."""
        sock, self._socket = self._socket, None
        if sock is not None:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            sock.close()

    def answer(self, query: RelayQuery, message: bytes, *, refused: bool) -> None:
        """For `_RelayReply`."""
        self.in_flight -= 1
        if self._socket is None:
            return
        if message:
            message = self.pad(message)
            age_s = max_age_s(message) if query.transport == H3 else 0
            self._send(pack_answer(query.number, message, max_age_s=age_s))
        else:
            self._send(pack_answer(query.number, NO_ANSWER, status=_TOO_MANY if refused else _BAD))

    def _take(self, query: RelayQuery) -> None:
        client, credential = query.client, _credential(query.client)
        if client.token and not self._service.admits(client.address, credential):
            self._send(pack_answer(query.number, NO_ANSWER, status=_NOT_FOUND))
            return
        reply = _RelayReply(self, query)
        self.in_flight += 1
        transport = _TRANSPORTS[query.transport]
        port = client.port | (query.number & _NUMBER_BITS) << 16  # all messages of DoQ have id 0: each is a query of its own
        reply.refused = self._service.on_message(query.message, client.address, port, transport, reply, credential)

    def _send(self, frame: bytes) -> None:
        if self._frame_bytes + len(frame) > _PACKET_BYTES:
            self._flush()
        self._frames.append(frame)
        self._frame_bytes += len(frame)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._is_flush_due = False
        self._flush()
        if self._stopped and not self.in_flight and not self._backlog:
            self.close()

    def _flush(self) -> None:
        if not self._frames or self._socket is None:
            return
        packet = b"".join(self._frames)
        self._frames, self._frame_bytes = [], 0
        if self._backlog:
            if len(self._backlog) < _MOST_BACKLOG:
                self._backlog.append(packet)
            else:
                self._stats.dropped("relay_full")
        elif not self._write(packet):
            self._backlog.append(packet)
            self._loop.add_writer(self._socket.fileno(), self._writable)

    def _write(self, packet: bytes) -> bool:
        """False: later."""
        if self._socket is None:
            return True
        try:
            self._socket.send(packet, socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self.close()
        return True

    def _writable(self) -> None:
        while self._backlog:
            if not self._write(self._backlog[0]):
                return
            self._backlog.popleft()
        if self._socket is not None:
            self._loop.remove_writer(self._socket.fileno())

    def _ended(self) -> None:
        if self._stopped and self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            if not self.in_flight:
                self._flush()
                if not self._backlog:
                    self.close()
        else:
            self.close()


class _RelayReply:
    """Answers one query, once. If it is dropped unused, the quic process is told that there is no answer."""

    __slots__ = ("_query", "_server", "refused")

    def __init__(self, server: RelayServer, query: RelayQuery) -> None:
        self._server: RelayServer | None = server
        self._query = query
        self.refused = False

    def __call__(self, message: bytes) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.answer(self._query, message, refused=False)

    def __del__(self) -> None:
        if self._server is not None:
            self._server.answer(self._query, NO_ANSWER, refused=self.refused)


def _credential(client: RelayClient) -> Credential:
    return Credential(client.certificate_sha256, client.token, client.server_name, client.admits_by_name)
