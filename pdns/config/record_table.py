"""The local records as one block of bytes: what the configuration hands to workers, which look names up in it where it stands.

    header      four numbers of 32 bits: slots of the index, names, bytes of the filter keys, version
    index       a hash table of offsets, 32 bits each; 0 is empty
    filter keys one wire name after the other
    nodes       name, flags (8 bits), source (16), number of RRsets (8), then for each RRset its type (16), TTL (32) and number of
                records (16), then for each record its length (16) and RDATA

A node is a name that exists: one with records, or one above such a name (an empty non-terminal, RFC 4592, 2.2.2).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from pdns.errors import ConfigError
from pdns.wire import names

VERSION: Final = 1
INSIDE: Final = 1  # a flag: there are records at a name above, or a wildcard below one
_HEADER: Final = Struct("!4I")
_OFFSET: Final = Struct("!I")
_NODE: Final = Struct("!BHB")
_RRSET: Final = Struct("!HIH")
_LENGTH: Final = Struct("!H")
_WILDCARD: Final = b"\1*"


class Rrset(NamedTuple):
    """Records of one name and type. Names in their RDATA are uncompressed."""

    rtype: int
    ttl_s: int
    rdatas: tuple[bytes, ...]


class Node(NamedTuple):
    """A name that exists."""

    name: bytes
    inside: bool  # a name above it has records, or a wildcard below it
    source: int  # which of `LoadedRecords.sources` gave its first record; of a name without records 0
    rrsets: tuple[Rrset, ...]  # none at an empty non-terminal

    def rrset(self, rtype: int) -> Rrset | None:
        return next((rrset for rrset in self.rrsets if rrset.rtype == rtype), None)


class Origin(NamedTuple):
    """The records of one name, and where the first came from."""

    source: int
    rrsets: Sequence[Rrset]


def wildcard_of(name: bytes) -> bytes:
    """The name `*` below `name`."""
    return _WILDCARD + name


def is_wildcard(name: bytes) -> bool:
    return name.startswith(_WILDCARD)


def filter_key_of(name: bytes) -> bytes:
    """The filter key of a name with records, and of all that it answers."""
    return names.filter_key(names.parent(name) if is_wildcard(name) else name)


def build(data: Mapping[bytes, Origin]) -> bytes:
    """The table of these names."""
    if not data:
        return b""
    empty = empty_nonterminals(data)
    keys = b"".join(sorted({filter_key_of(name) for name in data}))
    slots = 1 << (2 * (len(data) + len(empty))).bit_length()
    index = bytearray(slots * _OFFSET.size)
    nodes = bytearray()
    first = _HEADER.size + len(index) + len(keys)
    for name in (*data, *empty):
        _enter(index, slots, name, first + len(nodes))
        source, rrsets = data.get(name, Origin(0, ()))
        nodes += name + _NODE.pack(INSIDE if _is_inside(name, data) else 0, source, len(rrsets))
        for rtype, ttl_s, rdatas in rrsets:
            nodes += _RRSET.pack(rtype, ttl_s, len(rdatas))
            nodes += b"".join(_LENGTH.pack(len(rdata)) + rdata for rdata in rdatas)
    return b"".join((_HEADER.pack(slots, len(data), len(keys), VERSION), index, keys, nodes))


def empty_nonterminals(data: Collection[bytes]) -> dict[bytes, None]:
    """The names above those with records that have none themselves."""
    found: dict[bytes, None] = {}
    for name in data:
        above = names.parent(name)
        while above != names.ROOT and above not in found:
            if above not in data:
                found[above] = None
            above = names.parent(above)
    return found


def _is_inside(name: bytes, data: Mapping[bytes, Origin]) -> bool:
    return any(above in data or (wildcard_of(above) in data and wildcard_of(above) != name) for above in _proper(name))


def _proper(name: bytes) -> Iterator[bytes]:
    ancestors = names.ancestors(name)
    next(ancestors)
    return ancestors


def _enter(index: bytearray, slots: int, name: bytes, offset: int) -> None:
    slot = crc32(name) & (slots - 1)
    while _OFFSET.unpack_from(index, slot * _OFFSET.size)[0]:
        slot = (slot + 1) & (slots - 1)
    _OFFSET.pack_into(index, slot * _OFFSET.size, offset)


class RecordTable:
    """Looks names up. The memory that it needs is the block's."""

    def __init__(self, block: bytes) -> None:
        """`block` is what `build` returned, or empty. Raises `ConfigError` for one of another version of the program."""
        self._block = block
        self.count: int
        self._slots, self.count, self._keys_bytes, version = _HEADER.unpack_from(block) if block else (0, 0, 0, VERSION)
        if version != VERSION:
            raise ConfigError("", "record", "local records are kept in the way of another version: restart the service")

    def filter_keys(self) -> Iterable[bytes]:
        """The filter key of every name that may be answered."""
        at = _HEADER.size + self._slots * _OFFSET.size
        end = at + self._keys_bytes
        while at < end:
            start = at
            while length := self._block[at]:
                at += 1 + length
            at += 1
            yield self._block[start:at]

    def __iter__(self) -> Iterator[bytes]:
        """Every name that exists, in no order."""
        for slot in range(self._slots):
            if start := _OFFSET.unpack_from(self._block, _HEADER.size + slot * _OFFSET.size)[0]:
                at = start
                while length := self._block[at]:
                    at += 1 + length
                yield self._block[start : at + 1]

    def __contains__(self, name: bytes) -> bool:
        """Whether `name`, in lower case, exists."""
        return self._find(name) > 0

    def get(self, name: bytes) -> Node | None:
        """The node of `name`, in lower case; None for a name that does not exist."""
        at = self._find(name)
        return self._node(name, at) if at else None

    def _find(self, name: bytes) -> int:
        if not self._slots:
            return 0
        slot = crc32(name) & (self._slots - 1)
        while at := _OFFSET.unpack_from(self._block, _HEADER.size + slot * _OFFSET.size)[0]:
            if self._block.startswith(name, at):  # no name is the beginning of another: each ends in the root label
                return int(at)
            slot = (slot + 1) & (self._slots - 1)
        return 0

    def _node(self, name: bytes, at: int) -> Node:
        block = self._block
        at += len(name)
        flags, source, count = _NODE.unpack_from(block, at)
        at += _NODE.size
        rrsets = []
        for _ in range(count):
            rtype, ttl_s, records = _RRSET.unpack_from(block, at)
            at += _RRSET.size
            rdatas = []
            for _ in range(records):
                (length,) = _LENGTH.unpack_from(block, at)
                at += _LENGTH.size
                rdatas.append(block[at : at + length])
                at += length
            rrsets.append(Rrset(rtype, ttl_s, tuple(rdatas)))
        return Node(name, bool(flags & INSIDE), source, tuple(rrsets))
