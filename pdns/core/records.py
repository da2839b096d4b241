"""Local records: what the administrator says of single names, laid over the rest of the DNS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Self
from zlib import crc32

from msgspec import UNSET

from pdns.config.record_table import Node, RecordTable, Rrset, wildcard_of
from pdns.config.schema import Config, LoadedRecords
from pdns.core.answers import negative_soa
from pdns.core.entry import MAX_TURNS, NO_ROTATION, Entry, Rotation
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.message import HEADER, Message, parse_message

MAX_NEGATIVE_TTL_S = 300  # a record that is added must not be missed for longer
_MAX_CHAIN = 32  # the configuration allows 16
_ADDRESS_TYPES = (p.A, p.AAAA)


class LocalAnswer(NamedTuple):
    """What the local records say about a question."""

    rrsets: tuple[tuple[bytes, Rrset], ...]  # with their owners: the CNAME records of the chain, then what answers
    end: bytes  # the name that the chain leads to
    outside: bool  # the chain leads to `end`, of which no local record speaks: the outside answers the rest
    left: bool  # the name exists only by what is below it, or its DS record is asked for: the outside answers, if it may be asked
    negative_ttl_s: int = MAX_NEGATIVE_TTL_S

    def message(self, qname: bytes, qtype: int) -> Message:
        """The same as an upstream would say it."""
        return message_of(self.entry(qname, 0.0), qname + qtype.to_bytes(2) + p.CLASS_IN.to_bytes(2))

    def entry(self, qname: bytes, now: float, rules_epoch: int = 0) -> Entry:
        """The answer: the records, or NODATA. Of a chain that leads outside the records of the chain."""
        body = bytearray()
        ttls: list[tuple[int, int]] = []
        rotation = NO_ROTATION
        answers = 0
        for owner, rrset in self.rrsets:
            start = len(body)
            head = _owner(owner, qname) + rrset.rtype.to_bytes(2) + b"\0\1" + rrset.ttl_s.to_bytes(4)
            for rdata in rrset.rdatas:
                ttls.append((len(body) + len(head) - 4, rrset.ttl_s))
                body += head + len(rdata).to_bytes(2) + rdata
            answers += len(rrset.rdatas)
            rotation = _rotation(rrset, start, len(body))
        authorities = 0
        if not self.outside and (not self.rrsets or self.rrsets[-1][0] != self.end):
            owner_bytes = _owner(self.end, qname)
            ttls.append((len(body) + len(owner_bytes) + 4, self.negative_ttl_s))
            body += negative_soa(owner_bytes, self.negative_ttl_s)
            authorities, rotation = 1, NO_ROTATION
        return Entry(
            p.NOERROR,
            "local",
            now,
            min(ttl_s for _, ttl_s in ttls),
            body=bytes(body),
            counts=answers.to_bytes(2) + authorities.to_bytes(2),
            ttls=tuple(ttls),
            rotation=rotation,
            rules_epoch=rules_epoch,
        )


class LocalRecords:
    """Answers from one `LoadedRecords`. Its memory is that of the table; only the filter keys are kept beside it."""

    def __init__(self, data: LoadedRecords) -> None:
        self._table, self._sources = RecordTable(data.table), data.sources
        self.filter_keys = frozenset(self._table.filter_keys())

    @classmethod
    def of(cls, config: Config) -> Self:
        """The local records of a settled configuration."""
        return cls(config.loaded_records if config.loaded_records is not UNSET else LoadedRecords())

    def __len__(self) -> int:
        """How many names have records."""
        return self._table.count

    def names(self) -> Iterator[bytes]:
        """Every name that has records, in no order."""
        for name in self._table:
            node = self._table.get(name)
            if node is not None and node.rrsets:
                yield name

    def may_answer(self, filter_key: bytes) -> bool:
        """False when no name whose last two labels are `filter_key` is answered here, which is so for nearly all.

        Names of one label that have no records themselves are found if `query.skips_local` did not leave them out before: a
        record of `www.example.com` costs other names in `com` nothing.
        """
        keys = self.filter_keys
        return bool(keys) and (filter_key in keys or names.parent(filter_key) in keys or filter_key in self._table)

    def exists(self, name: bytes) -> bool:
        """Whether `name` has records, or names below it have."""
        return name in self._table

    def mark(self, name: bytes, qtype: int) -> int:
        """A number that changes with what the records say about a question; 0 while they say nothing."""
        node = self._node(name)
        if node is None:
            return 0
        return 1 if _is_left(node, qtype) else crc32(repr((node.rrset(qtype), node.rrset(p.CNAME))).encode()) or 1

    def answers(self, qname: bytes, qtype: int) -> bool:
        """Whether the local records, not the outside, answer for a name: also with NODATA, or the beginning of a chain."""
        node = self._node(qname)
        return node is not None and not _is_left(node, qtype)

    def answer(self, qname: bytes, qtype: int) -> LocalAnswer | None:
        """What the records say of a name in lower case, wildcards as in RFC 4592; None for a name that they do not cover."""
        node = self._node(qname)
        if node is None:
            return None
        chain: list[tuple[bytes, Rrset]] = []
        at, left = qname, _is_left(node, qtype)
        while len(chain) < _MAX_CHAIN:
            rrset = node.rrset(qtype)
            if rrset is not None:
                return LocalAnswer((*chain, (at, rrset)), at, outside=False, left=left)
            alias = node.rrset(p.CNAME)
            if alias is None:
                ttl_s = min((rrset.ttl_s for rrset in node.rrsets), default=MAX_NEGATIVE_TTL_S)
                return LocalAnswer(tuple(chain), at, outside=False, left=left, negative_ttl_s=min(ttl_s, MAX_NEGATIVE_TTL_S))
            chain.append((at, alias))
            at = alias.rdatas[0]
            following = self._node(at)
            if following is None or _is_left(following, qtype):
                return LocalAnswer(tuple(chain), at, outside=True, left=left)
            node = following
        return LocalAnswer(tuple(chain), at, outside=True, left=left)

    def source(self, qname: bytes) -> tuple[bytes, str]:
        """The name whose records answer for `qname`, a wildcard perhaps, and where it is written. (b"", "") without one."""
        node = self._node(qname)
        if node is None or not node.rrsets:
            return b"", ""
        return node.name, self._sources[node.source]

    def _node(self, qname: bytes) -> Node | None:
        node = self._table.get(qname)
        if node is not None or not self.filter_keys:
            return node
        for encloser in _above(qname):
            if encloser in self._table:
                return self._table.get(wildcard_of(encloser))
        return None


def message_of(entry: Entry, question: bytes) -> Message:
    """The message that an upstream would have sent to get `entry` into the cache."""
    counts = int.from_bytes(entry.counts[:2]), int.from_bytes(entry.counts[2:])
    return parse_message(HEADER.pack(0, p.QR | entry.rcode, 1, *counts, 0) + question + entry.body)


def _above(name: bytes) -> Iterator[bytes]:
    ancestors = names.ancestors(name)
    next(ancestors)
    return ancestors


def _is_left(node: Node, qtype: int) -> bool:
    """Whether the outside is to answer. A DS record belongs to the zone above (RFC 4035, 3.1.4.1)."""
    return not node.inside and (not node.rrsets or (qtype == p.DS and node.rrset(p.DS) is None))


def _owner(owner: bytes, qname: bytes) -> bytes:
    return b"\xc0\x0c" if owner == qname else owner


def _rotation(rrset: Rrset, start: int, end: int) -> Rotation:
    count = len(rrset.rdatas)
    if rrset.rtype not in _ADDRESS_TYPES or not 1 < count <= MAX_TURNS:
        return NO_ROTATION
    return start, (end - start) // count, count
