"""Clients over TLS for tests: one connection that asks again and again, and what certificate a server shows."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from typing import Self

import dns.message
import dns.rcode

NAME = "local.example"  # a local record, answered without an upstream
_PATIENCE_S = 60.0


def context() -> ssl.SSLContext:
    """Without verification: tests compare fingerprints."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


class DotClient:
    """A connection over TLS. Queries one after the other."""

    def __init__(self, port: int, *, session: ssl.SSLSession | None = None, with_context: ssl.SSLContext | None = None) -> None:
        raw = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self._tls = (with_context or context()).wrap_socket(raw, server_hostname="dns.example", session=session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._tls.close()

    @property
    def sha256(self) -> str:
        """Of the certificate that the server showed."""
        shown = self._tls.getpeercert(binary_form=True)
        assert shown is not None
        return hashlib.sha256(shown).hexdigest()

    @property
    def session(self) -> ssl.SSLSession | None:
        """What a later connection can resume; there once an answer has been read."""
        return self._tls.session

    @property
    def was_resumed(self) -> bool | None:
        return self._tls.session_reused

    def ask(self, name: str = NAME) -> dns.message.Message:
        """The answer to one query. Raises `OSError`."""
        query = dns.message.make_query(name, "A").to_wire()
        self._tls.sendall(len(query).to_bytes(2, "big") + query)
        return dns.message.from_wire(self._exactly(int.from_bytes(self._exactly(2), "big")))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not (chunk := self._tls.recv(size - len(data))):
                raise ConnectionResetError("the server closed the connection")
            data += chunk
        return data


def shown_by(port: int) -> str:
    """The SHA-256 of the certificate that a new connection gets, once that has had an answer."""
    with DotClient(port) as client:
        assert client.ask().rcode() == dns.rcode.NOERROR
        return client.sha256


class OpenConnections:
    """Connections of several threads that ask all the time. `failures` says what went wrong."""

    def __init__(self, port: int, count: int) -> None:
        self.failures: list[str] = []
        self.answers = [0] * count
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(index,), daemon=True) for index in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def wait_for_answers(self) -> None:
        """Return when each connection has had an answer since this call. Fails when one of them has failed."""
        before, until_s = list(self.answers), time.monotonic() + _PATIENCE_S
        while not all(now > then for now, then in zip(self.answers, before, strict=True)):
            assert not self.failures, self.failures
            assert time.monotonic() < until_s, "no answers"
            time.sleep(0.02)

    def _ask(self, index: int) -> None:
        try:
            with DotClient(self._port) as client:
                while not self._stop.wait(0.02):
                    if client.ask().rcode() == dns.rcode.NOERROR:
                        self.answers[index] += 1
        except OSError as error:
            self.failures.append(f"connection {index}: {error}")
