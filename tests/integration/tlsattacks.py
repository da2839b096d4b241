"""Hostile clients of DNS over TLS, and of TLS itself. Each plays for some seconds."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import subprocess
import time
from collections.abc import Mapping
from typing import Final

from tests.integration.hostileclients import PAUSE_S, Clock, Play, again, client_hello, connect, dns, keep_open, shake


def silent(ports: Mapping[str, int], seconds: float) -> int:
    return keep_open(ports["tls"], 2 * seconds + 1.5, lambda _: None)


def dripping_handshake(ports: Mapping[str, int], seconds: float) -> int:
    """A ClientHello, one byte at a time."""
    return keep_open(ports["tls"], 2 * seconds + 1.5, lambda _: None, client_hello())


def idle_after_hello(ports: Mapping[str, int], seconds: float) -> int:
    return keep_open(ports["tls"], 2 * seconds + 1.5, lambda sock: sock.sendall(client_hello()))


def dripping_message(ports: Mapping[str, int], seconds: float) -> int:
    """After the handshake, one byte of a query every tenth of a second."""
    clock, opened = Clock(2 * seconds + 2.0), 0
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(20):
            with contextlib.suppress(OSError):
                held.append(stack.enter_context(shake(ports["tls"], "dot")))
                opened += 1
        data = (b"\xff\xff" + bytes(1000)) if held else b""
        for at in itertools.count():
            if not clock or not held:
                return opened
            for sock in held:
                with contextlib.suppress(OSError):
                    sock.send(data[at : at + 1])
            time.sleep(0.1)
    return opened


def renegotiation(ports: Mapping[str, int], seconds: float) -> int:
    """TLS 1.2: `openssl s_client` asks for it with each line; TLS 1.3: for new keys."""
    clock, count = Clock(seconds), 0
    while clock or count < 2:
        version, line = (("-tls1_2", b"R\n"), ("-tls1_3", b"K\n"))[count % 2]
        with subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{ports['tls']}", "-alpn", "dot", version],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, bufsize=0,
        ) as client:  # fmt: skip
            assert client.stdin is not None
            with contextlib.suppress(OSError):
                for _ in range(1500):
                    client.stdin.write(line)
                    time.sleep(0.003)
                    if client.poll() is not None:
                        break
            with contextlib.suppress(OSError):
                client.stdin.close()
            client.kill()
        count += 1
    return count


def half_closed(ports: Mapping[str, int], seconds: float) -> int:
    """Queries, and the client's side closed without a word of TLS; then it reads nothing."""
    clock, opened = Clock(seconds), 0
    with contextlib.ExitStack() as stack:
        while clock:
            with contextlib.suppress(OSError):
                sock = stack.enter_context(shake(ports["tls"], "dot"))
                sock.sendall(dns(20))
                socket.socket.shutdown(sock, socket.SHUT_WR)
            opened += 1
            time.sleep(0.01)
    return opened


def never_reading(ports: Mapping[str, int], seconds: float) -> int:
    """Queries without end on six connections; no answer is read."""
    clock, opened, held = Clock(2 * seconds + 1.5), 0, []
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            with contextlib.suppress(OSError):
                sock = stack.enter_context(shake(ports["tls"], "dot"))
                sock.setblocking(False)
                held.append(sock)
                opened += 1
        while clock:
            for sock in held:
                with contextlib.suppress(OSError):
                    sock.send(dns(100))
            time.sleep(PAUSE_S)
    return opened


def unlimited_queries(ports: Mapping[str, int], seconds: float) -> int:
    """Queries without end on one connection, whose answers are read (CVE-2025-30193)."""
    return again(ports["tls"], "dot", seconds, lambda: itertools.repeat(dns(200)), reads=True)


def connection_flood(ports: Mapping[str, int], seconds: float) -> int:
    """Connections that are reset at once, from 200 addresses."""
    clock, opened = Clock(seconds), 0
    while clock:
        with contextlib.suppress(OSError), connect(ports["tls"], f"127.0.9.{1 + opened % 200}") as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        opened += 1
    return opened


def handshake_flood(ports: Mapping[str, int], seconds: float) -> int:
    """Whole handshakes as fast as they go, from one address."""
    clock, opened = Clock(seconds), 0
    while clock:
        with contextlib.suppress(OSError), shake(ports["tls"], "dot"):
            pass
        opened += 1
    return opened


def garbage(ports: Mapping[str, int], seconds: float) -> int:
    """Random bytes, HTTP/1.1, plain DNS."""
    clock, opened, chance = Clock(seconds), 0, random.Random(1)
    while clock:
        port = ports[("tls", "https")[opened % 2]]
        with contextlib.suppress(OSError), connect(port, f"127.0.9.{1 + opened % 200}") as sock:
            sock.sendall(
                (chance.randbytes(500), b"GET / HTTP/1.1\r\n\r\n", dns(1), client_hello()[:100] + bytes(400))[opened % 4]
            )
            sock.recv(100)
        opened += 1
    return opened


def http_1(ports: Mapping[str, int], seconds: float) -> int:
    clock, opened = Clock(seconds), 0
    while clock:
        with contextlib.suppress(OSError), shake(ports["https"], ("http/1.1", "")[opened % 2]) as sock:
            sock.sendall(b"POST /dns-query HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n")
            sock.recv(1000)
        opened += 1
    return opened


ATTACKS: Final[dict[str, tuple[Play, set[str]]]] = {
    "silence": (silent, {"encrypted_handshake_timeout"}),
    "a slow handshake": (dripping_handshake, {"encrypted_handshake_timeout"}),
    "silence after ClientHello": (idle_after_hello, {"encrypted_handshake_timeout"}),
    "a slow message": (dripping_message, {"encrypted_unfinished_message"}),
    "renegotiation, new keys": (renegotiation, {"encrypted_key_updates"}),
    "half-closed": (half_closed, set()),
    "no reads": (never_reading, {"encrypted_slow_reader"}),
    "unlimited queries (CVE-2025-30193)": (unlimited_queries, set()),
    "connection flood": (connection_flood, set()),
    "handshake flood": (handshake_flood, {"encrypted_too_many_new"}),
    "garbage": (garbage, {"encrypted_handshake_failed"}),
    "HTTP/1.1 and no ALPN": (http_1, {"h2_http_1"}),
}
