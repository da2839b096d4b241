"""Whether clients should be sent here: asks `/readyz` and the resolver itself, each within a time limit. Reads no configuration
and imports little, so that it is cheap.
"""

from __future__ import annotations

import os
import secrets
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

UP: Final = "up"
DEGRADED: Final = "degraded"
DOWN: Final = "down"

_LOCAL_NAME: Final = "localhost"  # answered without upstreams (RFC 6761, section 6.3)
_NOERROR: Final = 0
_NXDOMAIN: Final = 3
_REFUSED: Final = 5
_RCODES: Final = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", _REFUSED: "REFUSED: add the address to access.networks"}
_MOST_REPLY_BYTES: Final = 65535

Address = tuple[str, int]


class ProbeResult(NamedTuple):
    """UP, DEGRADED or DOWN, and why it is not UP."""

    state: str
    reason: str = ""


class Probe(NamedTuple):
    """What is asked."""

    server: Address | None  # None: ask no queries
    metrics: Address | None  # None: do not ask `/readyz`
    timeout_s: float  # for each of the questions; upstreams get twice as long
    forwarded: str = ""  # names below it are asked of upstreams
    maintenance: Path | None = None  # a file that means DEGRADED
    as_client: bool = True  # REFUSED is no answer

    def run(self) -> ProbeResult:
        """Ask now. DOWN: clients get no answers, or answers without protection. DEGRADED: others are to be preferred, because
        upstreams do not answer here, or because of maintenance.
        """
        if self.metrics is not None and (reason := _not_ready(self.metrics, self.timeout_s)):
            return ProbeResult(DOWN, f"/readyz: {reason}")
        reason = _unanswered(self.server, _LOCAL_NAME, self.timeout_s) if self.server is not None else ""
        if reason and (self.as_client or reason != _RCODES[_REFUSED]):
            return ProbeResult(DOWN, f"{_LOCAL_NAME}: {reason}")
        if self.maintenance is not None and os.path.lexists(self.maintenance):
            return ProbeResult(DEGRADED, f"maintenance: {self.maintenance} exists")
        if self.server is not None and self.forwarded:
            name = f"{secrets.token_hex(8)}.{self.forwarded}"  # in no cache
            if reason := _unanswered(self.server, name, 2 * self.timeout_s):
                return ProbeResult(DEGRADED, f"names below {self.forwarded}: {reason}")
        return ProbeResult(UP)


class Steady:
    """The state after verdicts that change all the time: it gets worse after `fall` worse ones in a row, and better after `rise`
    better ones.
    """

    def __init__(self, rise: int, fall: int) -> None:
        """It is DOWN at first."""
        self.state = DOWN
        self._rise, self._fall = rise, fall
        self._other: list[str] = []  # verdicts in a row that were all better, or all worse

    def add(self, state: str) -> bool:
        """Whether the verdict `state` changes the state. It becomes the least of the change that all those in a row agree on."""
        if state == self.state:
            self._other = []
            return False
        if self._other and _better(self._other[0], self.state) != _better(state, self.state):
            self._other = []
        self._other.append(state)
        better = _better(state, self.state)
        if len(self._other) < (self._rise if better else self._fall):
            return False
        order = sorted(self._other, key=(DOWN, DEGRADED, UP).index)
        self.state, self._other = order[0] if better else order[-1], []
        return True


def follow(
    verdict: Callable[[], ProbeResult],
    steady: Steady,
    interval_s: float,
    say: Callable[[ProbeResult], None],
    sleep: Callable[[float], None] = time.sleep,
    *,
    repeat_s: float = 0.0,
) -> None:
    """Call `say` with the first state, and with each change from then on. `verdict` is called every `interval_s` seconds.

    `repeat_s`: say the state again, without a reason, if it is as long ago; 0.0: never.
    """
    said_s: float | None = None
    while True:
        began_s = time.monotonic()
        now = verdict()
        if steady.add(now.state) or said_s is None:
            said_s = began_s
            say(ProbeResult(steady.state, now.reason))
        elif repeat_s and began_s - said_s >= repeat_s:
            said_s = began_s
            say(ProbeResult(steady.state))
        sleep(max(0.0, began_s + interval_s - time.monotonic()))


def _better(state: str, than: str) -> bool:
    order = (DOWN, DEGRADED, UP)
    return order.index(state) > order.index(than)


def _not_ready(address: Address, timeout_s: float) -> str:
    """Why `/readyz` at `address` does not say yes; "" if it does."""
    until_s = time.monotonic() + timeout_s
    received = b""
    try:
        with socket.create_connection(address, timeout_s) as sock:
            host = f"[{address[0]}]" if ":" in address[0] else address[0]
            sock.sendall(f"GET /readyz HTTP/1.1\r\nHost: {host}:{address[1]}\r\nConnection: close\r\n\r\n".encode())
            while len(received) < _MOST_REPLY_BYTES:
                sock.settimeout(max(0.001, until_s - time.monotonic()))
                if not (part := sock.recv(4096)):
                    break
                received += part
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    head, _, body = received.partition(b"\r\n\r\n")
    if head.split(b" ")[1:2] == [b"200"]:
        return ""
    return body.decode("utf-8", "replace").partition("\n")[0].strip() or "unexpected answer"


def _unanswered(server: Address, name: str, timeout_s: float) -> str:
    """Why the A records of `name` are not answered by `server` over UDP; "" if they are, or do not exist."""
    query = _query(name)
    until_s = time.monotonic() + timeout_s
    try:
        with socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(server)
            sock.send(query)
            while (left_s := until_s - time.monotonic()) > 0:
                sock.settimeout(left_s)
                reply = sock.recv(_MOST_REPLY_BYTES)
                if len(reply) >= 12 and reply[:2] == query[:2] and reply[2] & 0x80:
                    rcode = reply[3] & 0x0F
                    return "" if rcode in (_NOERROR, _NXDOMAIN) else _RCODES.get(rcode, f"rcode {rcode}")
    except TimeoutError:
        pass
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return f"no answer within {timeout_s:g} s"


def _query(name: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label for label in name.encode("ascii").split(b".") if label)
    return struct.pack("!6H", secrets.randbits(16), 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
