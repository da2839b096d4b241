"""Who may open a connection now: not too many handshakes at a time, not too many a client. No I/O, no clock.

An address is believed only after the client has shown that it receives there (RFC 9000, 8.1): before, refusals of it are not held
against it, for anyone can send in its name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from enum import Enum, auto
from typing import Final, NamedTuple

BAN_S: Final = 10.0
BAN_AFTER: Final = 20  # refusals of a client whose address is proven, in a row
_BURST_S: Final = 5.0  # of the rate a client may open at once
_MOST_CLIENTS: Final = 8192
_RETRY_PART: Final = 0.25  # of the handshakes that may run: with more of them, addresses are proven first


class Admission(Enum):
    """What becomes of a client that wants to connect."""

    ACCEPT = auto()
    RETRY = auto()  # let it prove its address first
    TOO_MANY_HANDSHAKES = auto()
    TOO_MANY_CONNECTIONS = auto()
    TOO_FAST = auto()
    BANNED = auto()


class AdmissionLimits(NamedTuple):
    """What the configuration allows."""

    max_handshakes: int
    new_per_client_per_s: float


class _Opening:
    __slots__ = ("at_s", "banned_until_s", "refused", "tokens")

    def __init__(self, tokens: float, at_s: float) -> None:
        self.tokens = tokens
        self.at_s = at_s
        self.refused = 0
        self.banned_until_s = 0.0


class AdmissionControl:
    """One for each process. Memory is bounded: of more than some thousand clients, those not seen for longest are forgotten."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self.limits = limits
        self._clients: OrderedDict[Hashable, _Opening] = OrderedDict()

    def ask(self, client: Hashable, handshakes: int, now_s: float, *, proven: bool) -> Admission:
        """`client` wants to connect while `handshakes` are not over. `proven`: it has shown that it receives at its address."""
        found = self._clients.get(client)
        if found is not None and now_s < found.banned_until_s:
            return Admission.BANNED
        if handshakes >= self.limits.max_handshakes:
            return Admission.TOO_MANY_HANDSHAKES
        opening = self._refilled(client, found, now_s)
        if opening.tokens < 1.0:
            return self._refused(opening, now_s) if proven else Admission.RETRY
        if not proven and handshakes >= self.limits.max_handshakes * _RETRY_PART:
            return Admission.RETRY
        opening.tokens -= 1.0
        opening.refused = 0
        return Admission.ACCEPT

    def _refused(self, opening: _Opening, now_s: float) -> Admission:
        opening.refused += 1
        if opening.refused >= BAN_AFTER:
            opening.refused, opening.banned_until_s = 0, now_s + BAN_S
        return Admission.TOO_FAST

    def _refilled(self, client: Hashable, opening: _Opening | None, now_s: float) -> _Opening:
        burst = max(1.0, self.limits.new_per_client_per_s * _BURST_S)
        if opening is None:
            opening = self._clients[client] = _Opening(burst, now_s)
            if len(self._clients) > _MOST_CLIENTS:
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(client)
            opening.tokens = min(burst, opening.tokens + (now_s - opening.at_s) * self.limits.new_per_client_per_s)
            opening.at_s = now_s
        return opening
