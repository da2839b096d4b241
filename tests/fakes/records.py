"""A client of DNS over TLS that chooses its TLS records, and when their bytes are sent: OpenSSL through ctypes."""

from __future__ import annotations

import asyncio
from ctypes import CDLL, c_char_p, c_int, c_void_p, create_string_buffer
from functools import cache
from typing import Final

from pdns.wire.framing import frame
from tests.fakes.tcp import PATIENCE_S, Peer

_WANT_READ: Final = 2
_ROOM: Final = 65536
_DOT: Final = b"\x03dot"


@cache
def _openssl() -> CDLL:
    library = CDLL("libssl.so.3")
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new", "BIO_s_mem", "BIO_new"):
        getattr(library, name).restype = c_void_p
    for name, arguments in {
        "SSL_CTX_new": [c_void_p], "SSL_CTX_free": [c_void_p], "SSL_new": [c_void_p], "SSL_free": [c_void_p],
        "BIO_new": [c_void_p],
        "SSL_set_bio": [c_void_p] * 3, "SSL_set_connect_state": [c_void_p], "SSL_set_alpn_protos": [c_void_p, c_char_p, c_int],
        "SSL_do_handshake": [c_void_p], "SSL_get_error": [c_void_p, c_int],
        "SSL_read": [c_void_p, c_char_p, c_int], "SSL_write": [c_void_p, c_char_p, c_int],
        "BIO_read": [c_void_p, c_char_p, c_int], "BIO_write": [c_void_p, c_char_p, c_int],
    }.items():  # fmt: skip
        getattr(library, name).argtypes = arguments
    return library


class RecordClient:
    """Its handshake is begun; what is to be sent is given as bytes."""

    def __init__(self, peer: Peer) -> None:
        """`peer` is a connection without TLS."""
        self._peer, self._library = peer, _openssl()
        self._context = self._library.SSL_CTX_new(self._library.TLS_client_method())
        self._ssl = self._library.SSL_new(self._context)
        self._in, self._out = (self._library.BIO_new(self._library.BIO_s_mem()) for _ in range(2))
        self._library.SSL_set_bio(self._ssl, self._in, self._out)
        self._library.SSL_set_connect_state(self._ssl)
        self._library.SSL_set_alpn_protos(self._ssl, _DOT, len(_DOT))
        self._plain = b""

    def close(self) -> None:
        self._library.SSL_free(self._ssl)
        self._library.SSL_CTX_free(self._context)

    def hello(self) -> bytes:
        """The ClientHello."""
        assert self._library.SSL_do_handshake(self._ssl) != 1
        return self._encrypted()

    async def finish(self) -> None:
        """The rest of the handshake, once the ClientHello was sent."""
        while (result := self._library.SSL_do_handshake(self._ssl)) != 1:
            assert self._library.SSL_get_error(self._ssl, result) == _WANT_READ
            await self._receive()
        self._peer.writer.write(self._encrypted())

    def records(self, *messages: bytes) -> bytes:
        """Each message in a record of its own."""
        for message in messages:
            framed = frame(message)
            assert self._library.SSL_write(self._ssl, framed, len(framed)) == len(framed)
        return self._encrypted()

    async def receive(self) -> bytes:
        """The next message."""
        while len(self._plain) < 2 or len(self._plain) < 2 + int.from_bytes(self._plain[:2]):
            room = create_string_buffer(_ROOM)
            if (got := self._library.SSL_read(self._ssl, room, _ROOM)) > 0:
                self._plain += room.raw[:got]
            else:
                await self._receive()
        end = 2 + int.from_bytes(self._plain[:2])
        message, self._plain = self._plain[2:end], self._plain[end:]
        return message

    async def _receive(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            heard = await self._peer.reader.read(_ROOM)
        assert heard, "the server has closed the connection"
        self._library.BIO_write(self._in, heard, len(heard))

    def _encrypted(self) -> bytes:
        room = create_string_buffer(_ROOM)
        size = self._library.BIO_read(self._out, room, _ROOM)
        return room.raw[: max(0, size)]
