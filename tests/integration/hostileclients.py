"""What hostile clients of the encrypted transports have in common. They come from 127.0.0.66, some from 200 other addresses."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from tests.wire import query_wire

ATTACKER: Final = "127.0.0.66"
NAME: Final = "dns.example"
PAUSE_S: Final = 0.001
QUERY: Final = query_wire("www.example.net", query_id=0)

Play = Callable[[Mapping[str, int], float], int]  # ports by transport, seconds -> connections or datagrams


def connect(port: int, address: str = ATTACKER) -> socket.socket:
    """A connection before its handshake. Raises `OSError`."""
    return socket.create_connection(("127.0.0.1", port), timeout=5.0, source_address=(address, 0))


def _context(protocol: str, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocol:
        context.set_alpn_protocols([protocol])
    if version is not None:
        context.maximum_version = version
    return context


def shake(port: int, protocol: str, address: str = ATTACKER) -> ssl.SSLSocket:
    """A connection after its handshake. Raises `OSError`."""
    raw = connect(port, address)
    try:
        return _context(protocol).wrap_socket(raw, server_hostname=NAME)
    except BaseException:
        raw.close()
        raise


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        _context("").wrap_bio(incoming, outgoing, server_hostname=NAME).do_handshake()
    return outgoing.read()


def dns(count: int) -> bytes:
    return (len(QUERY).to_bytes(2) + QUERY) * count


class Clock:
    def __init__(self, seconds: float) -> None:
        self._until_s = time.monotonic() + seconds

    def __bool__(self) -> bool:
        return time.monotonic() < self._until_s


def keep_open(port: int, seconds: float, begin: Callable[[socket.socket], object], drip: bytes = b"", count: int = 80) -> int:
    """Connections that are held; each sends another byte of `drip` now and then. Those that end are opened again."""
    opened, clock = 0, Clock(seconds)
    held: dict[socket.socket, int] = {}
    with contextlib.ExitStack() as stack:
        while clock:
            while len(held) < count and clock:
                with contextlib.suppress(OSError):
                    sock = stack.enter_context(connect(port))
                    begin(sock)
                    held[sock] = 0
                opened += 1
            time.sleep(0.1)
            for sock, at in list(held.items()):
                try:
                    if at < len(drip):
                        sock.send(drip[at : at + 1])
                        held[sock] = at + 1
                    if sock.recv(65536, socket.MSG_DONTWAIT) == b"":
                        raise ConnectionResetError
                except BlockingIOError:
                    continue
                except OSError:
                    sock.close()
                    del held[sock]
    return opened


def _send_until_ended(sock: ssl.SSLSocket, parts: Iterable[bytes], clock: Clock, *, reads: bool) -> None:
    """As much as goes, until the server closes the connection. It is met with silence, or read and thrown away."""
    sock.setblocking(False)
    for part in parts:
        rest = part
        while rest:
            if not clock:
                return
            try:
                rest = rest[sock.send(rest) :]
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                time.sleep(PAUSE_S)
            if reads:
                with contextlib.suppress(ssl.SSLWantReadError):
                    while sock.recv(65536):
                        pass
                    return


def again(
    port: int, protocol: str, seconds: float, parts: Callable[[], Iterable[bytes]], *, reads: bool, wait: bool = False
) -> int:
    """One connection after the other; `wait`: each is held until the server ends it."""
    clock, opened = Clock(seconds), 0
    while clock:
        with contextlib.suppress(OSError), shake(port, protocol) as sock:
            opened += 1
            _send_until_ended(sock, parts(), clock, reads=reads)
            while wait and clock:
                if sock.recv(65536, 0) == b"":
                    break
        time.sleep(PAUSE_S)
    return opened
