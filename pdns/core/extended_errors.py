"""Extended DNS Errors (RFC 8914) that upstreams send: what of them clients get."""

from __future__ import annotations

from pdns.core.entry import Ede
from pdns.wire import protocol as p
from pdns.wire.message import Message

MAX_ERRORS = 3  # what is sent takes room from the answer, and counts towards amplification
MAX_TEXT_BYTES = 120
_BLOCKED_THERE = frozenset((p.EDE_BLOCKED, p.EDE_CENSORED, p.EDE_FILTERED))


def errors_of(message: Message) -> tuple[Ede, ...]:
    """At most three errors, in the order of the message, with at most 120 bytes of printable UTF-8 each.

    One that says that the upstream blocks the name becomes "Blocked by Upstream DNS Server": it was not blocked here.
    """
    errors: list[Ede] = []
    for code, data in message.options:
        if code == p.EDNS_OPTION_EDE and len(data) >= 2 and len(errors) < MAX_ERRORS:
            info = int.from_bytes(data[:2])
            text = data[2 : 2 + MAX_TEXT_BYTES].decode("utf-8", "ignore")
            printable = "".join(c for c in text if c.isprintable()).encode()
            errors.append((p.EDE_BLOCKED_UPSTREAM if info in _BLOCKED_THERE else info, printable))
    return tuple(errors)
