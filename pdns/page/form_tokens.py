"""Tokens of the report form: a form is accepted from the client and for the host that it was made for, once, for some hours.

Without one, a page of an attacker could have a visitor's browser send reports (CSRF), and a program could send them without
having read a page.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final, Literal

VALID_S: Final = 4 * 3600
MOST_USED: Final = 8192
_MAC_HEX: Final = 32

TokenState = Literal["valid", "used", "invalid"]


class FormTokens:
    """Makes and checks tokens. `now_s` is from a clock that does not jump, the same for all processes with one secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._used: dict[str, int] = {}  # the oldest first; the number of the report

    def make(self, host: str, client: str, now_s: float) -> str:
        """A token for a form that is shown to `client` at `host`."""
        made = f"{int(now_s):x}-{secrets.token_hex(4)}"  # two people behind one NAT get different ones
        return f"{made}.{self._mac(made, host, client)}"

    def check(self, token: str, host: str, client: str, now_s: float) -> TokenState:
        """Whether a form with `token` may be accepted. "used": it was accepted already."""
        made, _, mac = token.partition(".")
        if len(made) > 32 or not token.isascii() or not hmac.compare_digest(mac, self._mac(made, host, client)):
            return "invalid"
        if not 0 <= now_s - int(made.partition("-")[0], 16) <= VALID_S:
            return "invalid"
        return "used" if mac in self._used else "valid"

    def number(self, token: str) -> int:
        """The number of the report that was sent with a token that is used."""
        return self._used[token.partition(".")[2]]

    def use(self, token: str, number: int) -> None:
        """From now on, `token` is used, for report `number`. Only the last `MOST_USED` are remembered."""
        if len(self._used) >= MOST_USED:
            del self._used[next(iter(self._used))]
        self._used[token.partition(".")[2]] = number

    def _mac(self, *parts: str) -> str:
        text = "\n".join(parts).encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:_MAC_HEX]
