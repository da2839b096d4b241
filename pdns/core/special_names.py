"""Names that are never forwarded: answered here, whatever an upstream would say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pdns.core.answers import answer_entry, negative_entry
from pdns.core.discovery import OwnNames
from pdns.core.entry import Entry
from pdns.wire import names
from pdns.wire import protocol as p

TTL_S = 10800  # RFC 6303, 3: as the built-in zones of others

_LOCALHOST_V4 = bytes([127, 0, 0, 1])
_LOCALHOST_V6 = bytes(15) + b"\1"
_LOCALHOST = names.from_text("localhost")
_OF_HOSTS = frozenset((p.A, p.AAAA, p.HTTPS))  # other types of one label are what resolvers ask about top-level domains


class SpecialZone(NamedTuple):
    """A locally served name and what stands at and below it."""

    apex: bytes
    absent: bool = False  # not even the apex exists
    nodata: bool = False  # every name exists, no type does (RFC 9462, 6.4)
    localhost: bool = False  # RFC 6761, 6.3
    pointer: bytes = b""  # this name has PTR localhost


def _zones(text: str, *, absent: bool = False) -> list[SpecialZone]:
    return [SpecialZone(names.from_text(name), absent=absent) for name in text.split()]


_REVERSE = _zones(
    "10.in-addr.arpa 168.192.in-addr.arpa 0.in-addr.arpa 254.169.in-addr.arpa 2.0.192.in-addr.arpa "  # RFC 6303, 4
    "100.51.198.in-addr.arpa 113.0.203.in-addr.arpa 255.255.255.255.in-addr.arpa "
    + " ".join(f"{byte}.172.in-addr.arpa" for byte in range(16, 32))
    + " "
    + " ".join(f"{byte}.100.in-addr.arpa" for byte in range(64, 128))  # RFC 7793
    + f" {'0.' * 32}ip6.arpa d.f.ip6.arpa 8.e.f.ip6.arpa 9.e.f.ip6.arpa a.e.f.ip6.arpa b.e.f.ip6.arpa 8.b.d.0.1.0.0.2.ip6.arpa"
)
_LOOPBACK = [
    SpecialZone(names.from_text("127.in-addr.arpa"), pointer=names.from_text("1.0.0.127.in-addr.arpa")),
    SpecialZone(loopback6 := names.from_text(f"1.{'0.' * 31}ip6.arpa"), pointer=loopback6),
]
SPECIAL_ZONES = (
    SpecialZone(_LOCALHOST, localhost=True),
    *_zones("use-application-dns.net", absent=True),  # Mozilla's canary
    *_zones("home.arpa"),  # RFC 8375
    SpecialZone(names.from_text("resolver.arpa"), nodata=True),
    *_LOOPBACK,
    *_REVERSE,
)
# These are not forwarded either, but a feed may list names in them, and a client that asks for one is worth knowing:
# RFC 6761, 6.2 and 6.4; RFC 7686; RFC 9476; RFC 6762; ICANN's resolution of 29 July 2024, by which `internal` is never delegated.
UNDELEGATED_ZONES = tuple(_zones("test invalid onion alt local internal", absent=True))


class SpecialNames:
    """Answers for one table of zones."""

    def __init__(
        self,
        zones: Iterable[SpecialZone],
        forward: Iterable[bytes],
        never_forward: Iterable[str] = (),
        *,
        single_labels: bool = False,
        own: OwnNames | None = None,
    ) -> None:
        """`forward`: names in wire form that are left to an upstream all the same, with everything below them: it knows them.

        `never_forward`: further names that do not exist, with everything below them. The most specific name of both decides.
        `single_labels`: addresses of names of one label do not exist either. `own`: about this resolver, before all else.
        """
        self._exempt = frozenset(forward)
        self._above = {name for apex in self._exempt for name in names.ancestors(apex)} - self._exempt
        self._zones = {zone.apex: zone for zone in zones if self._exempt.isdisjoint(names.ancestors(zone.apex))}
        self._zones |= {zone.apex: zone for zone in _zones(" ".join(never_forward), absent=True)}
        self._single_labels = single_labels
        self._own = own
        self.filter_keys = frozenset(names.filter_key(apex) for apex in self._zones)
        if single_labels:
            self.filter_keys |= {names.ROOT}
        if own is not None:
            self.filter_keys |= own.filter_keys

    def may_answer(self, filter_key: bytes) -> bool:
        """False when no name whose last two labels are `filter_key` is answered here, which is so for nearly all."""
        return filter_key in self.filter_keys or filter_key[1 + filter_key[0] :] in self.filter_keys

    def answer(self, qname: bytes, qtype: int, now: float, *, do: bool = False) -> Entry | None:
        """What the zone of `qname` says, or None when it lies in none of them.

        With `do`, a name of one label lies in none: a client that validates believes nothing unsigned there.

        A DS query at an apex belongs to the parent zone (RFC 4035, 3.1.4.1), and is left to it where that zone delegates the name
        without a signature, so that validating clients may believe what is answered here. The root delegates none.
        """
        if self._own is not None and (entry := self._own.answer(qname, qtype, now, do=do)) is not None:
            return entry
        zones = self._zones
        for ancestor in names.ancestors(qname):
            if (zone := zones.get(ancestor)) is not None:
                if qtype == p.DS and qname == ancestor and not _is_top_level(ancestor):
                    return None
                if qname in self._above:  # a name that has others below it exists: caches take NXDOMAIN for all below (RFC 8020)
                    return negative_entry(p.NOERROR, zone.apex, qname, "local", now, TTL_S)
                return _answer_from(zone, qname, qtype, now)
            if ancestor in self._exempt:
                return None
        if self._single_labels and not do and qtype in _OF_HOSTS and _is_top_level(qname) and qname not in self._above:
            return negative_entry(p.NXDOMAIN, names.ROOT, qname, "local", now, TTL_S)
        return None

    def is_own(self, qname: bytes, qtype: int) -> bool:
        """Whether the answer is about this resolver."""
        return self._own is not None and self._own.answer(qname, qtype, 0.0) is not None

    def denied_by_root(self, qname: bytes) -> bytes | None:
        """The zone of `qname`, if it is one that the signed root says does not exist, and there is nothing below that zone.
        A validator would conclude from the root's proof that other names below do not exist (RFC 8198).
        """
        for ancestor in names.ancestors(qname):
            if ancestor in self._exempt:
                return None
            if ancestor in self._zones:
                return ancestor if _is_top_level(ancestor) and ancestor not in self._above else None
        return None


def _is_top_level(name: bytes) -> bool:
    return name[0] > 0 and names.parent(name) == names.ROOT


def _answer_from(zone: SpecialZone, qname: bytes, qtype: int, now: float) -> Entry:
    if zone.localhost:
        if qtype == p.A:
            return answer_entry(p.A, [_LOCALHOST_V4], "local", now, TTL_S)
        if qtype == p.AAAA:
            return answer_entry(p.AAAA, [_LOCALHOST_V6], "local", now, TTL_S)
    if qname == zone.pointer:
        if qtype == p.PTR:
            return answer_entry(p.PTR, [_LOCALHOST], "local", now, TTL_S)
        return negative_entry(p.NOERROR, zone.apex, qname, "local", now, TTL_S)
    exists = zone.localhost or zone.nodata or (not zone.absent and qname == zone.apex) or _leads_to(zone.pointer, qname)
    return negative_entry(p.NOERROR if exists else p.NXDOMAIN, zone.apex, qname, "local", now, TTL_S)


def _leads_to(pointer: bytes, qname: bytes) -> bool:
    return bool(pointer) and names.is_at_or_below(pointer, qname)
