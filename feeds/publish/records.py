"""The records of a policy zone, as they stand in every message: the name of the zone is a pointer to the question.

A record is its owner without the zone, the pointer, type, class, TTL and data. So a message is made of blocks of the zone's file
as they are, and a transfer costs no work for each record.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from struct import Struct
from typing import Final, NamedTuple

import dns.rdata
import dns.rdataclass
import dns.rdatatype

from feeds.publish.blocking_feeds import BLOCK, GIVEN, PASS
from feeds.publish.verdicts import ZoneEntry
from pdns.core.listing import LOCAL_DATA, ListedAction
from pdns.wire.names import MAX_NAME_BYTES, reversed_key, to_text

ORIGIN: Final = b"\xc0\x0c"  # a pointer to the name of the question, which follows the header
HEAD_BYTES: Final = 10  # type, class, TTL, length of the data
A, NS, CNAME, SOA, AAAA = 1, 2, 5, 6, 28
IN: Final = 1
_FIXED: Final = Struct("!HHIH")
_TIMERS: Final = Struct("!IIIII")
_WILDCARD: Final = b"\x01*"
_ADDRESSES: Final = b"\x06rpz-ip"
_LOCALHOST: Final = b"\x09localhost\0"
_CONTACT: Final = b"\x0ahostmaster\x09localhost\0"
_RETRY_S: Final = 60
_TRIGGERS: Final = tuple(bytes((len(word),)) + word for word in (b"rpz-ip", b"rpz-client-ip", b"rpz-nsdname", b"rpz-nsip"))
PASSTHRU: Final = (CNAME, b"\x0crpz-passthru\0")
_TARGETS: Final = {
    "nxdomain": b"\0", "refused": b"\0", "nodata": b"\x01*\0", "drop": b"\x08rpz-drop\0", "tcp-only": b"\x0crpz-tcp-only\0",
}  # fmt: skip

RData = tuple[int, bytes]  # type, data


class PolicyRecord(NamedTuple):
    """One record, taken apart."""

    owner: bytes  # wire form, without the zone
    rtype: int
    data: bytes


class SortKey(NamedTuple):
    """Records of a zone are in this order, which is that of the entries they are made of."""

    key: bytes
    wildcard: bool
    rest: bytes


def data_of(action: str, sinkhole: Iterable[str] = ()) -> tuple[RData, ...]:
    """The data of records that block with `action` (`pdns.config.schema.Action`). Policy zones have no REFUSED: NXDOMAIN."""
    if action == "zero":
        sinkhole = ("0.0.0.0", "::")  # noqa: S104 (an answer)
    elif action != "sinkhole":
        return ((CNAME, _TARGETS[action]),)
    addresses = [ipaddress.ip_address(text) for text in sinkhole]
    return tuple((A if address.version == 4 else AAAA, address.packed) for address in addresses)


def given_data(action: ListedAction) -> tuple[RData, ...]:
    """The data of records with an answer that a feed gives."""
    if action.kind != LOCAL_DATA:
        return data_of(action.kind)
    return tuple((rtype, rdata) for rtype, rdatas in action.data for rdata in rdatas)


class RecordWriter:
    """Makes records of entries; names that no policy zone can hold are left out, and counted."""

    def __init__(self, origin: bytes, ttl_s: int, blocked: Sequence[RData], actions: Sequence[ListedAction | None] = ()) -> None:
        """`origin`: the name of the zone, wire form; `actions`: the answers that feeds give, by number."""
        self._room = MAX_NAME_BYTES - len(origin)
        self._ttl_s = ttl_s
        self._actions = actions
        self._known = {BLOCK: self._made(blocked), PASS: self._made([PASSTHRU])}
        self.left_out = 0

    def of_name(self, entry: ZoneEntry) -> list[bytes]:
        """The records of `entry`."""
        key, itself, below = entry
        owner = reversed_key(key + b"\0")
        if key.startswith(_TRIGGERS) or owner.startswith(_WILDCARD) or len(owner) + len(_WILDCARD) * bool(below) > self._room:
            self.left_out += 1
            return []
        records = []
        if itself and owner:
            records += [owner + tail for tail in self._tails(itself)]
        if below:
            records += [_WILDCARD + owner + tail for tail in self._tails(below)]
        return records

    def of_network(self, packed: bytes, prefix_bits: int, verdict: int) -> list[bytes]:
        """The records of a network."""
        owner = _network_owner(packed, prefix_bits)
        if len(owner) > self._room:
            self.left_out += 1
            return []
        return [owner + tail for tail in self._tails(verdict)]

    def _tails(self, verdict: int) -> list[bytes]:
        if (tails := self._known.get(verdict)) is None:
            action = self._actions[verdict - GIVEN]
            assert action is not None
            tails = self._known[verdict] = self._made(given_data(action))
        return tails

    def _made(self, data: Iterable[RData]) -> list[bytes]:
        return sorted({_tail(rtype, self._ttl_s, rdata) for rtype, rdata in data})


def soa(serial: int, ttl_s: int, refresh_s: int, expire_s: int) -> bytes:
    """The SOA record of a zone."""
    timers = _TIMERS.pack(serial, refresh_s, min(_RETRY_S, refresh_s), expire_s, ttl_s)
    return _tail(SOA, ttl_s, _LOCALHOST + _CONTACT + timers)


def name_server(ttl_s: int) -> bytes:
    """The NS record of a zone: every zone must have one, and no one asks this one."""
    return _tail(NS, ttl_s, _LOCALHOST)


def split(block: bytes) -> Iterator[bytes]:
    """The records of `block`, which this program has written."""
    at = 0
    while at < len(block):
        end = _end_of_owner(block, at) + len(ORIGIN)
        end += HEAD_BYTES + int.from_bytes(block[end + 8 : end + 10])
        yield block[at:end]
        at = end


def sort_key(record: bytes) -> SortKey:
    """Where `record` stands in its zone."""
    end = _end_of_owner(record, 0)
    owner, rest = record[:end], record[end:]
    if owner.endswith(_ADDRESSES):
        return SortKey(b"\xff" + owner, False, rest)  # behind all names: no label is so long
    if owner.startswith(_WILDCARD):
        return SortKey(reversed_key(owner[2:] + b"\0"), True, rest)
    return SortKey(reversed_key(owner + b"\0"), False, rest)


def parts(record: bytes) -> PolicyRecord:
    """`record`, taken apart."""
    end = _end_of_owner(record, 0)
    rtype = _FIXED.unpack_from(record, end + len(ORIGIN))[0]
    return PolicyRecord(record[:end] + b"\0", rtype, record[end + len(ORIGIN) + HEAD_BYTES :])


def network_order(key: bytes) -> bytes:
    """What networks (address, one byte of prefix length) are sorted by."""
    return _network_owner(key[:-1], key[-1])


def text_of(record: bytes, *, targets: Mapping[bytes, str] = {}) -> str:
    """`record` as a line of a zone file with that `$ORIGIN`."""
    wire, rtype, data = parts(record)
    owner = to_text(wire) if wire != b"\0" else "@"
    ttl_s = _FIXED.unpack_from(record, len(wire) - 1 + len(ORIGIN))[2]
    known = dns.rdatatype.RdataType.make(rtype)
    if rtype in (CNAME, NS):
        value = targets.get(data) or to_text(data).rstrip(".") + "."
    else:
        value = dns.rdata.from_wire(dns.rdataclass.IN, known, data, 0, len(data)).to_text()
    return f"{owner} {ttl_s} IN {dns.rdatatype.to_text(known)} {value}\n"


def soa_text(serial: int, ttl_s: int, refresh_s: int, expire_s: int) -> str:
    """The SOA record as a line of a zone file."""
    timers = f"{serial} {refresh_s} {min(_RETRY_S, refresh_s)} {expire_s} {ttl_s}"
    return f"@ {ttl_s} IN SOA localhost. hostmaster.localhost. {timers}\n"


def _tail(rtype: int, ttl_s: int, data: bytes) -> bytes:
    return ORIGIN + _FIXED.pack(rtype, IN, ttl_s, len(data)) + data


def _end_of_owner(wire: bytes, at: int) -> int:
    while (length := wire[at]) < 0xC0:
        at += 1 + length
    return at


def _network_owner(packed: bytes, prefix_bits: int) -> bytes:
    """`24.0.2.0.192.rpz-ip`: the prefix length, then the address backwards, `zz` for the longest run of zeros."""
    if len(packed) == 4:
        words = [str(byte) for byte in packed]
    else:
        text = str(ipaddress.IPv6Address(packed))
        head, gap, tail = text.partition("::")
        words = [*(head.split(":") if head else []), *(["zz"] if gap else []), *(tail.split(":") if tail else [])]
    labels = [str(prefix_bits), *reversed(words)]
    return b"".join(bytes((len(label),)) + label.encode() for label in labels) + _ADDRESSES
