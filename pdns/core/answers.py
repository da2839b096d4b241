"""Answers that are made here rather than forwarded."""

from __future__ import annotations

from collections.abc import Sequence

from pdns.core import protocol as p
from pdns.core.entry import Ede, Entry

_AT_QNAME = b"\xc0\x0c"  # the question's name, always 12 octets into the message
_MNAME_RNAME = b"\x09localhost\0" + b"\6nobody\7invalid\0"  # RFC 6303, 3
_TIMERS = b"".join(n.to_bytes(4) for n in (1, 3600, 1200, 604800))
_COUNT_ONE_AUTHORITY = b"\0\0\0\1"
_RFC8482 = b"\7RFC8482\0"  # HINFO: CPU "RFC8482", OS ""


def answer_entry(rtype: int, rdatas: Sequence[bytes], source: str, now: float, ttl_s: int) -> Entry:
    """NOERROR with one record of the queried name for each of `rdatas`."""
    head = _AT_QNAME + rtype.to_bytes(2) + b"\0\1" + ttl_s.to_bytes(4)
    body = b""
    ttls = []
    for rdata in rdatas:
        ttls.append((len(body) + 6, ttl_s))
        body += head + len(rdata).to_bytes(2) + rdata
    return Entry(p.NOERROR, source, now, ttl_s, body=body, counts=len(rdatas).to_bytes(2) + b"\0\0", ttls=tuple(ttls))


def negative_entry(rcode: int, apex: bytes, qname: bytes, source: str, now: float, ttl_s: int) -> Entry:
    """NXDOMAIN or NODATA with the SOA that makes it cacheable (RFC 2308, 5). `apex` is at or above `qname`."""
    at = p.HEADER_BYTES + len(qname) - len(apex)
    return _negative(rcode, b"\0" if apex == b"\0" else (0xC000 | at).to_bytes(2), source, now, ttl_s)


def negative_entry_of_itself(rcode: int, source: str, now: float, ttl_s: int) -> Entry:
    """The same for any name, with the SOA at the very name that was asked for."""
    return _negative(rcode, _AT_QNAME, source, now, ttl_s)


def _negative(rcode: int, owner: bytes, source: str, now: float, ttl_s: int) -> Entry:
    rdata = _MNAME_RNAME + _TIMERS + ttl_s.to_bytes(4)
    body = owner + b"\0\6\0\1" + ttl_s.to_bytes(4) + len(rdata).to_bytes(2) + rdata
    return Entry(rcode, source, now, ttl_s, body=body, counts=_COUNT_ONE_AUTHORITY, ttls=((len(owner) + 4, ttl_s),))


def error_entry(rcode: int, source: str, now: float, ttl_s: int, ede: Ede | None, stamp: int = 0) -> Entry:
    """A bare rcode with the reason beside it."""
    return Entry(rcode, source, now, ttl_s, ede=ede, stamp=stamp)


def minimal_any_entry(now: float) -> Entry:
    """The short answer to ANY (RFC 8482, 4.2)."""
    return answer_entry(p.HINFO, [_RFC8482], "local", now, 3600)
