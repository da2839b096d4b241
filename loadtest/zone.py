"""A root zone that answers a file of queries: most names exist, some have no such data, some do not exist, some are aliases."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from loadtest.replay import Question
from pdns.wire import names
from pdns.wire import protocol as p

SOA = "a.root. hostmaster.root. 2026010100 3600 900 604800 300"
_NXDOMAIN, _NODATA, _ALIAS, _LONG = 8, 14, 26, 29  # per cent, each counted on from the one before
_ALIASES = 20


def lines(questions: Iterable[Question]) -> Iterator[str]:
    """The zone `.` in master file format (RFC 1035, 5). The same questions give the same zone.

    What becomes of a name depends on a hash of it alone: 8 % do not exist, 6 % hold another type than the one asked
    for, 12 % are aliases (of one to three hops), 3 % hold more text than a datagram takes.
    """
    yield f". 3600 IN SOA {SOA}"
    yield ". 3600 IN NS a.root."
    yield "a.root. 3600 IN A 198.18.0.1"
    yield ". 300 IN A 198.18.0.2"
    for number in range(_ALIASES):
        yield from _alias_target(number)
    asked: dict[bytes, set[int]] = {}
    for question in questions:
        asked.setdefault(question.name, set()).add(question.qtype)
    for name in sorted(asked, key=names.reversed_key):
        labels = names.labels_of(name)
        if labels and b"*" not in labels:  # a wildcard would answer for names that this function never saw
            yield from _records(names.to_text(name) + ".", zlib.crc32(name), asked[name])


def _alias_target(number: int) -> Iterator[str]:
    """Every third target is itself an alias, of a name that is not an alias or of the next alias."""
    name = f"target-{number}.alias-targets."
    if number % 3 == 2:
        yield f"{name} 120 IN CNAME target-{number - 1 if number % 2 else (number + 3) % _ALIASES}.alias-targets."
        return
    yield f"{name} 60 IN A 198.18.1.{number}"
    if number % 2:
        yield f"{name} 60 IN AAAA 2001:2::1:{number:x}"


def _records(owner: str, hashed: int, types: set[int]) -> Iterator[str]:
    percent, salt = hashed % 100, hashed // 100 % 65536
    if percent < _NXDOMAIN:
        return
    if percent < _NODATA:
        yield f'{owner} 600 IN HINFO "nothing" "that was asked for"'
        return
    if percent < _ALIAS:
        yield f"{owner} 300 IN CNAME target-{salt % _ALIASES}.alias-targets."
        return
    ttl_s = 30 + salt % 3600
    for number in range(1 + salt % 3):
        yield f"{owner} {ttl_s} IN A 198.18.{2 + number}.{salt % 256}"
    if salt % 4:
        yield f"{owner} {ttl_s} IN AAAA 2001:2::{salt:x}"
    if percent < _LONG or p.TXT in types:
        yield from (f'{owner} {ttl_s} IN TXT "{number} {"x" * (200 if percent < _LONG else 20)}"' for number in range(9))
    if p.PTR in types:
        yield f"{owner} {ttl_s} IN PTR host-{salt}.example-hosts."
    if p.SRV in types:
        yield f"{owner} {ttl_s} IN SRV 0 5 {1 + salt % 1000} host-{salt}.example-hosts."
    if p.MX in types or salt % 8 == 0:
        yield f"{owner} {ttl_s} IN MX 10 host-{salt}.example-hosts."
    if p.HTTPS in types:
        yield f"{owner} {ttl_s} IN TYPE65 \\# 10 00010000010003026832"  # 1 . alpn=h2
