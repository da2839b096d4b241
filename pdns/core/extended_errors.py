"""Extended DNS Errors (RFC 8914) that upstreams send: what of them clients get."""

from __future__ import annotations

import json

from pdns.core.entry import Ede
from pdns.wire import protocol as p
from pdns.wire.message import Message

MAX_ERRORS = 3  # what is sent takes room from the answer, and counts towards amplification
MAX_TEXT_BYTES = 120
MAX_JSON_BYTES = 4096  # longer texts are not read as structured errors
_BLOCKED_THERE = frozenset((p.EDE_BLOCKED, p.EDE_CENSORED, p.EDE_FILTERED, p.EDE_BLOCKED_UPSTREAM))


def errors_of(message: Message) -> tuple[Ede, ...]:
    """At most three errors, in the order of the message, with at most 120 bytes of printable UTF-8 each.

    One that says that the upstream blocks the name becomes "Blocked by Upstream DNS Server": it was not blocked here. Of a
    structured error the text is taken, after the organisation.
    """
    errors: list[Ede] = []
    for code, data in message.options:
        if code == p.EDNS_OPTION_EDE and len(data) >= 2 and len(errors) < MAX_ERRORS:
            info, raw = int.from_bytes(data[:2]), data[2:]
            if info in _BLOCKED_THERE:
                info, raw = p.EDE_BLOCKED_UPSTREAM, _text_in(raw)
            text = raw[:MAX_TEXT_BYTES].decode("utf-8", "ignore")
            errors.append((info, "".join(char for char in text if char.isprintable()).encode()))
    return tuple(errors)


def is_blocked(message: Message) -> bool:
    """Whether an upstream says that it, or a server behind it, blocks the name."""
    return any(
        code == p.EDNS_OPTION_EDE and len(data) >= 2 and int.from_bytes(data[:2]) in _BLOCKED_THERE
        for code, data in message.options
    )


def _text_in(raw: bytes) -> bytes:
    """The text for people in a structured error; `raw` if it is something else."""
    if raw[:1] != b"{" or len(raw) > MAX_JSON_BYTES:
        return raw
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return raw
    texts = [fields[key] for key in ("o", "j") if isinstance(fields.get(key), str) and fields[key]]
    return ": ".join(texts).encode("utf-8", "ignore")
