"""A connection over HTTP/2 that stays open, and a query over DoT, with a server name and a client certificate."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Self

import dns.message
import dns.query

from tests.http2frames import ACK, DATA, END_STREAM, SETTINGS, Responses, frame, frames, headers, post, start


def trusting(ca_file: Path, certificate: Path | None = None, *, protocol: str = "") -> ssl.SSLContext:
    """A context that accepts certificates of this authority for any name, and shows `certificate`, a file with its key."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.check_hostname = False
    if protocol:
        context.set_alpn_protocols([protocol])
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


class DohConnection:
    """Asks one query after the other."""

    def __init__(self, port: int, context: ssl.SSLContext, server_name: str) -> None:
        raw = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._sock = context.wrap_socket(raw, server_hostname=server_name)
        self._sock.sendall(start())
        self._responses, self._rest, self._stream = Responses(), b"", -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._sock.close()

    def ask(self, path: str, name: str) -> tuple[int, dns.message.Message | None]:
        """The status and the answer to a query for the address of `name`."""
        query = dns.message.make_query(name, "A").to_wire()
        self._stream += 2
        fields = [*post(path.encode()), (b"content-length", str(len(query)).encode())]
        self._sock.sendall(headers(self._stream, fields, ends=False) + frame(DATA, END_STREAM, self._stream, query))
        while self._stream not in self._responses.ended:
            self._receive()
        status = self._responses.status(self._stream)
        body = self._responses.bodies.get(self._stream, b"")
        return status, dns.message.from_wire(body) if status == 200 else None

    def _receive(self) -> None:
        got = self._sock.recv(65536)
        assert got, "the server has closed the connection"
        self._rest += got
        size = 0
        while len(self._rest) - size >= 9 and (end := size + 9 + int.from_bytes(self._rest[size : size + 3])) <= len(self._rest):
            size = end
        whole, self._rest = self._rest[:size], self._rest[size:]
        self._responses.take(whole)
        if any(one.kind == SETTINGS and not one.flags & ACK for one in frames(whole)):
            self._sock.sendall(frame(SETTINGS, ACK))


def over_dot(port: int, context: ssl.SSLContext, server_name: str, name: str) -> dns.message.Message:
    """The answer to a query on a connection of its own."""
    query = dns.message.make_query(name, "A")
    return dns.query.tls(
        query, "127.0.0.1", port=port, timeout=60, ssl_context=context, server_hostname=server_name, verify=False
    )
