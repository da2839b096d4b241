"""Cached answers as people read them."""

from __future__ import annotations

from typing import Any, Final

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from pdns.ipc.messages import CachedAnswer
from pdns.wire import names

_CLASS_IN: Final = b"\0\1"


def fields_of(one: CachedAnswer) -> dict[str, Any]:
    """The answer with its numbers in words and its records as text."""
    return {
        "name": names.to_text(one.name),
        "qtype": dns.rdatatype.to_text(dns.rdatatype.RdataType.make(one.qtype)),
        "rcode": dns.rcode.to_text(dns.rcode.Rcode.make(one.rcode)),
        "source": one.source,
        "policy": one.policy,
        "dnssec": one.dnssec,
        "unchecked": one.unchecked,
        "expires_in_s": one.expires_in_s,
        "age_s": one.age_s,
        "hits": one.hits,
        "recheck": one.recheck,
        "answer": _records(one),
    }


def _records(one: CachedAnswer) -> list[str]:
    """The answer section as text; [] when it cannot be shown. TTLs are those that were cached."""
    question = one.name + one.qtype.to_bytes(2) + _CLASS_IN
    counts = (0, int(dns.flags.QR), 1, one.answers, one.authority, 0)
    message = b"".join(number.to_bytes(2) for number in counts) + question + one.body
    if not one.body:
        return []
    try:
        sections = dns.message.from_wire(message, ignore_trailing=True).answer
    except Exception:  # noqa: BLE001 (whatever the library finds, the rest is still worth showing)
        return []
    return [line for rrset in sections for line in rrset.to_text().splitlines()]
