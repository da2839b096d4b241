"""Syslog over a stream, with what TCP and TLS can say about delivery. Blocks: for a thread of its own.

Syslog has no confirmation. What a connection took may still be in a buffer here, or there, when the server dies. With `confirm`,
every `send` is a connection of its own: we end our side, and the server, once it has read up to that end, ends its own. A server
that dies before resets the connection instead, and everything is sent again.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import ssl
import termios
import time
from contextlib import suppress
from typing import Final

from pdns.config.addresses import Endpoint
from pdns.config.sink_schema import SinkSection
from pdns.errors import SinkError

_LOOK_S: Final = 0.01


class SyslogStream:
    """Connections to one server, one at a time."""

    def __init__(self, destination: Endpoint, context: ssl.SSLContext | None, section: SinkSection) -> None:
        self._destination = destination
        self._context = context
        self._timeout_s = section.timeout_s
        self._confirm = section.confirm
        self._socket: socket.socket | None = None

    def send(self, data: bytes) -> None:
        """Send whole messages. With `confirm` the server has read them on return, else its machine has. Raises `SinkError`."""
        until_s = time.monotonic() + self._timeout_s
        try:
            sock = self._connected(until_s)
            self._limit(until_s)
            sock.sendall(data)
            if self._confirm:
                self._end(sock, until_s)
            else:
                self._wait_until_received(sock, until_s)
        except TimeoutError:
            self.close()
            raise SinkError(f"{self._destination}: {self._late()}") from None
        except ssl.SSLError as exc:
            self.close()
            raise SinkError(f"{self._destination}: TLS: {exc.reason or exc}") from exc
        except OSError as exc:
            self.close()
            raise SinkError(f"{self._destination}: {exc.strerror or exc}") from exc

    def abort(self) -> None:
        """Make a `send` in another thread end. May be called from any thread."""
        sock = self._socket
        if sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection. In the thread that sends."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
            self._socket = None

    def _connected(self, until_s: float) -> socket.socket:
        """The open connection, unless the server has ended it; else a new one."""
        if self._socket is not None:
            if not _is_ended(self._socket):
                return self._socket
            self.close()
        host, port = self._destination
        plain = socket.create_connection((host, port), max(0.1, until_s - time.monotonic()))
        self._socket = plain
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if self._context is not None:
            self._limit(until_s)
            self._socket = self._context.wrap_socket(plain, server_hostname=host)
        return self._socket

    def _end(self, sock: socket.socket, until_s: float) -> None:
        """End our side, and wait for the end of the other. Raises `OSError`."""
        if isinstance(sock, ssl.SSLSocket):
            self._limit(until_s)
            with suppress(ssl.SSLEOFError):  # it ends the connection without a farewell, as many do
                sock = sock.unwrap()
            if isinstance(sock, ssl.SSLSocket):
                sock = socket.socket(fileno=sock.detach())
            self._socket = sock
        with suppress(OSError):  # it has ended the connection already; what follows says how
            sock.shutdown(socket.SHUT_WR)
        while True:
            self._limit(until_s)
            if not sock.recv(4096):
                break
        self._wait_until_received(sock, until_s)
        if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # it ended before it had everything
            raise OSError(error, os.strerror(error))
        self.close()

    def _wait_until_received(self, sock: socket.socket, until_s: float) -> None:
        """Wait until the kernel of the other machine has confirmed every byte. Raises `OSError`."""
        unsent = array.array("i", [0])
        while True:
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, unsent)
            if not unsent[0]:
                return
            if time.monotonic() > until_s:
                raise TimeoutError
            time.sleep(_LOOK_S)

    def _limit(self, until_s: float) -> None:
        """Let the next call end in time. Raises `TimeoutError`."""
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if self._socket is not None:
            self._socket.settimeout(left_s)

    def _late(self) -> str:
        waits = " (with confirm = true, it must close a connection that we close)" if self._confirm else ""
        return f"no answer within {self._timeout_s:g} s{waits}"


def _is_ended(sock: socket.socket) -> bool:
    """Whether the server has ended the connection. What it says is not used: syslog has no answers, TLS has tickets."""
    sock.settimeout(0)
    try:
        return not sock.recv(4096)
    except (ssl.SSLWantReadError, BlockingIOError):
        return False
    except OSError:
        return True
