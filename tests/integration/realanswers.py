"""What tests of real servers look at in an answer."""

from __future__ import annotations

import dns.dnssec
import dns.dnssectypes
import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone


def upstream(port: int) -> dict[str, dict[str, list[str]]]:
    return {"upstream": {"servers": [f"udp://127.0.0.1:{port}"]}}


def records(section: list[dns.rrset.RRset], *types: int) -> list[str]:
    """Owner, type and data of the records of `section`, in no order; with `types` only those."""
    return sorted(
        f"{one.name.canonicalize()} {dns.rdatatype.to_text(one.rdtype)} {one[0]}"
        for one in section
        if not types or one.rdtype in types
    )


def has(message: dns.message.Message, flag: dns.flags.Flag) -> bool:
    return bool(message.flags & flag)


def ede(message: dns.message.Message) -> int | None:
    """The code of the Extended DNS Error."""
    return next((int(option.code) for option in message.options if isinstance(option, dns.edns.EDEOption)), None)


def rcode(message: dns.message.Message) -> str:
    return dns.rcode.to_text(message.rcode())
