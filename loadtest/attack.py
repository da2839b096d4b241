"""The attackers of `loadtest abuse`: `python -m loadtest.attack KIND PORT CLIENTS RATE SECONDS`, each with an address of its own.

All addresses are of 127.0.0.0/8. It prints how many queries it sent.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from loadtest import steered
from loadtest.packets import query
from pdns.net.descriptors import raise_descriptor_limit

HONEST: Final = "127.0.0.1"  # the generator's
CONNECTIONS_A_CLIENT: Final = 200
_TICK_S: Final = 0.005
_ROUND_S: Final = 0.5  # a busy connection asks again when its query may have been given up
_WORKERS_AIMED_AT: Final = 2
_FORGED: Final = 1000


def client_address(number: int) -> str:
    """The address of an attacker."""
    return f"127.{1 + number // 250}.{number // 16 % 16}.{1 + number % 250}"


def random_names(domain: bytes) -> Iterator[bytes]:
    """Names below `domain` (wire form) that were never asked before."""
    rng = random.Random()
    while True:
        yield b"\x0c" + f"{rng.getrandbits(48):012x}".encode() + domain


def steered_names() -> Iterator[bytes]:
    """Names that are meant for one worker, in every way by turns."""
    ways = (steered.of_known_hash(_WORKERS_AIMED_AT), steered.of_one_start(), steered.with_zero(), steered.of_one_fold())
    return (next(way) for way in itertools.cycle(ways))


_NAMES: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    "hang": lambda: random_names(b"\4hang\3zzz\0"),
    "slow": lambda: random_names(b"\4slow\3zzz\0"),
    "flood": lambda: random_names(b"\5flood\3zzz\0"),
    "hot": lambda: itertools.repeat(b"\3www\3hot\3zzz\0"),
    "steer": steered_names,
    "forged": lambda: itertools.repeat(b"\3www\3hot\3zzz\0"),
    "forged-own": lambda: itertools.repeat(b"\3www\3hot\3zzz\0"),
}


def over_udp(kind: str, port: int, clients: int, rate: float, seconds: float) -> int:
    """Each client asks `rate` times a second."""
    if kind == "forged":
        addresses = [f"127.200.{number // 250}.{1 + number % 250}" for number in range(_FORGED)]
    elif kind == "forged-own":
        addresses = [HONEST]
    else:
        addresses = [client_address(number) for number in range(clients)]
    names = _NAMES[kind]()
    sent = 0
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in addresses]
        for sock, address in zip(sockets, addresses, strict=True):
            sock.bind((address, 0))
            sock.connect(("127.0.0.1", port))
            sock.setblocking(False)
        turns = itertools.cycle(sockets)
        began_s = time.monotonic()
        while (passed_s := time.monotonic() - began_s) < seconds:
            while sent < passed_s * rate * clients:
                with contextlib.suppress(OSError):
                    next(turns).send(query(next(names), query_id=sent & 0xFFFF))
                sent += 1
            time.sleep(_TICK_S)
    return sent


def over_tcp(kind: str, port: int, clients: int, seconds: float) -> int:
    """Each client opens as many connections as it may, again when they are closed.

    Busy ones always have a query that hangs, those of `tcp-unread` send as fast as they can and read nothing, idle ones nothing.
    """
    names = random_names(b"\5flood\3zzz\0" if kind == "tcp-unread" else b"\4hang\3zzz\0")
    raise_descriptor_limit()
    addresses = [client_address(number) for number in range(clients)]
    each = 4 if kind == "tcp-unread" else CONNECTIONS_A_CLIENT
    open_: dict[socket.socket, str] = {}
    missing = [address for address in addresses for _ in range(each)]
    sent = 0
    began_s = time.monotonic()
    while time.monotonic() - began_s < seconds:
        round_ends_s = time.monotonic() + (_TICK_S if kind == "tcp-unread" else _ROUND_S)
        for address in missing:
            if (sock := _connect(address, port)) is not None:
                open_[sock] = address
        missing = []
        for sock in list(open_):
            try:
                if kind != "tcp-unread" and _is_closed(sock):
                    raise ConnectionResetError
                if kind != "tcp-idle":
                    wires = [query(next(names), query_id=sent & 0xFFFF) for _ in range(50 if kind == "tcp-unread" else 1)]
                    sock.send(b"".join(len(wire).to_bytes(2) + wire for wire in wires))
                    sent += len(wires)
            except BlockingIOError:
                continue
            except OSError:
                missing.append(open_.pop(sock))
                sock.close()
        time.sleep(max(0.0, round_ends_s - time.monotonic()))
    for sock in open_:
        sock.close()
    return sent


def _connect(address: str, port: int) -> socket.socket | None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.bind((address, 0))
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", port))
    except OSError:
        sock.close()
        return None
    sock.setblocking(False)
    return sock


def _is_closed(sock: socket.socket) -> bool:
    try:
        return not sock.recv(65536)
    except BlockingIOError:
        return False


def main(kind: str, port: int, clients: int, rate: float, seconds: float) -> int:
    """Plays one kind; returns how many queries it sent."""
    return over_tcp(kind, port, clients, seconds) if kind.startswith("tcp-") else over_udp(kind, port, clients, rate, seconds)


if __name__ == "__main__":
    # elsewhere, attackers would have cores of their own: here they get the time that resolver, upstream and honest client leave
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    print(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])))
