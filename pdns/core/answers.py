"""Answers that are made here rather than forwarded."""

from __future__ import annotations

from collections.abc import Sequence

from pdns.core.entry import Ede, Entry
from pdns.wire import protocol as p
from pdns.wire.names import ROOT, is_at_or_below

MOST_NAMED = 3  # feeds in one text

_AT_QNAME = b"\xc0\x0c"  # the question's name, always 12 bytes into the message
_MNAME_RNAME = b"\x09localhost\0" + b"\6nobody\7invalid\0"  # RFC 6303, 3
_TIMERS = b"".join(n.to_bytes(4) for n in (1, 3600, 1200, 604800))
_COUNT_ONE_AUTHORITY = b"\0\0\0\1"
_RFC8482 = b"\7RFC8482\0"  # HINFO: CPU "RFC8482", OS ""


def answer_entry(rtype: int, rdatas: Sequence[bytes], source: str, now: float, ttl_s: int, rclass: int = p.CLASS_IN) -> Entry:
    """NOERROR with one record of the queried name for each of `rdatas`."""
    head = _AT_QNAME + rtype.to_bytes(2) + rclass.to_bytes(2) + ttl_s.to_bytes(4)
    body = b""
    ttls = []
    for rdata in rdatas:
        ttls.append((len(body) + 6, ttl_s))
        body += head + len(rdata).to_bytes(2) + rdata
    return Entry(p.NOERROR, source, now, ttl_s, body=body, counts=len(rdatas).to_bytes(2) + b"\0\0", ttls=tuple(ttls))


def negative_entry(rcode: int, apex: bytes, qname: bytes, source: str, now: float, ttl_s: int) -> Entry:
    """NXDOMAIN or NODATA of the zone `apex` with the SOA that makes it cacheable (RFC 2308, 5)."""
    return _negative(rcode, soa_owner(rcode, apex, qname), source, now, ttl_s)


def denial_entry(source: str, now: float, ttl_s: int) -> Entry:
    """NXDOMAIN for any name, by the root."""
    return _negative(p.NXDOMAIN, ROOT, source, now, ttl_s)


def _negative(rcode: int, owner: bytes, source: str, now: float, ttl_s: int) -> Entry:
    body = negative_soa(owner, ttl_s)
    return Entry(rcode, source, now, ttl_s, body=body, counts=_COUNT_ONE_AUTHORITY, ttls=((len(owner) + 4, ttl_s),))


def negative_soa(owner: bytes, ttl_s: int) -> bytes:
    """The SOA record of a negative answer, as it stands in a message. `owner`: a wire name, or a pointer."""
    rdata = _MNAME_RNAME + _TIMERS + ttl_s.to_bytes(4)
    return owner + b"\0\6\0\1" + ttl_s.to_bytes(4) + len(rdata).to_bytes(2) + rdata


def soa_owner(rcode: int, apex: bytes, qname: bytes) -> bytes:
    """The owner of the SOA of a negative answer to `qname`, as a pointer into the question.

    It is the zone `apex`, or `qname` where that is not below `apex`. A name that does not exist has no SOA: NXDOMAIN for the
    owner itself takes the name above it (RFC 2308, 2.1), without which dnsmasq caches it as NODATA.
    """
    above = len(qname) - len(apex) if is_at_or_below(qname, apex) else 0
    if rcode == p.NXDOMAIN and above == 0 and qname != ROOT:
        above = 1 + qname[0]
    return (0xC000 | (p.HEADER_BYTES + above)).to_bytes(2)


def error_entry(rcode: int, source: str, now: float, ttl_s: int, ede: Ede | None, rules_epoch: int = 0) -> Entry:
    """A bare rcode with the reason beside it."""
    return Entry(rcode, source, now, ttl_s, ede=ede, rules_epoch=rules_epoch)


def not_ready_entry(missing: Sequence[str], now: float) -> Entry:
    """SERVFAIL as long as `missing`, the required feeds, are. It is not worth keeping."""
    named = ", ".join(missing[:MOST_NAMED]) + f" and {len(missing) - MOST_NAMED} more" * (len(missing) > MOST_NAMED)
    text = f"required feeds are not loaded yet: {named}".encode() if named else b"the threat feeds are being loaded"
    return error_entry(p.SERVFAIL, "error", now, 0, (p.EDE_NOT_READY, text))


def minimal_any_entry(now: float) -> Entry:
    """The short answer to ANY (RFC 8482, 4.2)."""
    return answer_entry(p.HINFO, [_RFC8482], "local", now, 3600)
