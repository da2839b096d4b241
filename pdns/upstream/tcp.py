"""Queries over TCP (RFC 7766) and TLS (RFC 7858)."""

from __future__ import annotations

import asyncio
import ssl
from typing import ClassVar, Final, cast

from pdns.clock import boottime_s
from pdns.upstream.streams import StreamConnection, StreamPool
from pdns.upstream.tls import UpstreamTls
from pdns.wire.framing import Deframer, frame

SHUTDOWN_S: Final = 1.0  # for the server to confirm the end of TLS


class TcpConnection(StreamConnection, asyncio.Protocol):
    """A connection over TCP, with TLS when there is a context for it."""

    numbered: ClassVar[bool] = True

    def __init__(self, pool: StreamPool, tls: UpstreamTls | None = None) -> None:
        self._tls = tls
        self._transport: asyncio.Transport | None = None
        self._deframer = Deframer()
        self._has_session = False
        super().__init__(pool)

    async def _open(self) -> None:
        address = self.server.address
        await self.pool.loop.create_connection(
            lambda: self,
            address.host,
            address.port,
            ssl=self._tls,
            server_hostname=(address.server_name or address.host) if self._tls else None,
            ssl_shutdown_timeout=SHUTDOWN_S if self._tls else None,
        )

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._ended:
            self._transport.abort()
            return
        resumed = None
        if self._tls is not None:
            tls = self._ssl_object()
            if unproven := self._tls.unproven(tls):
                self._end(unproven)
                self._transport.abort()
                return
            resumed = bool(tls.session_reused)
        if refusal := self._begun():
            self._end(refusal)
            return
        self._opened(str((transport.get_extra_info("sockname") or ("",))[0]), resumed=resumed)

    def data_received(self, data: bytes) -> None:
        self._last_received_s = boottime_s()
        if self._tls is not None and not self._has_session:
            self._has_session = True  # servers send tickets before their first answer
            self._tls.keep_session(self._ssl_object())
        self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.pool.closing.discard(self)
        self._end(str(exc or "closed by the upstream"))

    # What another protocol over it replaces

    def _begun(self) -> str:
        """The connection is made, and nothing is written yet. Returns why it cannot be used, "" if it can."""
        return ""

    def _received(self, data: bytes) -> None:
        for wire in self._deframer.feed(data):
            if self._ended:
                return
            self.pool.events.arrived(self, wire)

    def _flush(self) -> None:
        assert self._transport is not None
        self._transport.write(b"".join([frame(message) for _, message in self._unsent]))
        self._unsent.clear()

    def _shut(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self.pool.closing.add(self)
            self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _ssl_object(self) -> ssl.SSLObject:
        assert self._transport is not None
        return cast("ssl.SSLObject", self._transport.get_extra_info("ssl_object"))
