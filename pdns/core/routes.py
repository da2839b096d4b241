"""Which upstreams answer for which names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple
from zlib import crc32

from pdns.config.groups import DEFAULT, ServerGroup, group_of, server_groups
from pdns.config.schema import Config, Zone
from pdns.wire import names
from pdns.wire import protocol as p


class Route(NamedTuple):
    """Where questions go, and what holds for their answers."""

    group: str = DEFAULT  # of upstreams
    block: bool = True  # feeds and blocks have a say
    dnssec: bool = True  # DO is passed on
    private_answers: bool = False  # addresses of private networks are expected
    mark: int = 0  # of answers that took this course; 0 for that of all names
    zone: str = ""  # its label in metrics

    def answers_with(self, other: Route) -> bool:
        """Whether the servers of this route are also those of `other`: then one answer may speak for names of both.

        A group whose servers have changed is another one.
        """
        mine = self.group, self.mark, self.block, self.private_answers
        return mine == (other.group, other.mark, other.block, other.private_answers)


DEFAULT_ROUTE = Route()
MOST_LABELS: Final = 200  # zones with a label of their own; the others share one
OTHER: Final = "other"

_USUAL_DNSSEC: Final = ", dnssec='trust-ad'"  # left out of marks: those of earlier versions, in the memory of answers, stay good


class Routes:
    """The route of every name. The most specific zone decides; names of no zone take the default."""

    def __init__(self, config: Config) -> None:
        """`config` is settled."""
        groups = server_groups(config) if config.zone else {}
        self._zones = {
            names.from_text(name): _route(zone, groups, zone.names[0] if number < MOST_LABELS else OTHER)
            for number, zone in enumerate(config.zone)
            for name in zone.names
        }
        self._above = {name for apex in self._zones for name in names.ancestors(apex) if name != names.ROOT} - self._zones.keys()
        self.filter_keys = frozenset(names.filter_key(apex) for apex in self._zones)
        self.some_unchecked = any(not route.block for route in self._zones.values())

    def __bool__(self) -> bool:
        return bool(self._zones)

    def of(self, qname: bytes, qtype: int = 0) -> Route:
        """The route of a question. DS at the apex of a zone belongs to the zone above (RFC 4035, 3.1.4.1)."""
        found = self.find(qname, qtype)
        return DEFAULT_ROUTE if found is None else found[1]

    def find(self, qname: bytes, qtype: int = 0) -> tuple[bytes, Route] | None:
        """The zone of a question, as the name that was configured, and its route."""
        for ancestor in names.ancestors(qname) if self._zones else ():
            route = self._zones.get(ancestor)
            if route is not None and not (qtype == p.DS and ancestor == qname):
                return ancestor, route
        return None

    def exists(self, name: bytes, qtype: int) -> bool:
        """Whether a zone is below `name`, or at it where the zone above answers for it: then it exists, whatever others say."""
        return name in self._above or (qtype == p.DS and name in self._zones)

    def mark(self, chain: Iterable[bytes], qtype: int) -> int:
        """What an answer whose names are `chain` is marked with: another number when one of its names takes another route.

        0 when all take the default.
        """
        if not self._zones:
            return 0
        marks = [self.of(name, qtype).mark or int(self.exists(name, qtype)) for name in chain]
        return crc32(repr(marks).encode()) or 1 if any(marks) else 0

    @property
    def apexes(self) -> Iterable[bytes]:
        """The name of each zone."""
        return self._zones.keys()


def _route(zone: Zone, groups: Mapping[str, ServerGroup], label: str) -> Route:
    group = group_of(zone)
    private = group != DEFAULT if zone.private_answers == "auto" else zone.private_answers
    route = Route(group, zone.block, bool(zone.dnssec), private)
    if route == DEFAULT_ROUTE:
        return route
    told = repr((group, zone.dnssec, *_course(group, groups))).replace(_USUAL_DNSSEC, "")
    mark = 0 if group == DEFAULT and zone.dnssec else crc32(told.encode()) or 1
    return route._replace(mark=mark, zone=label)


def _course(group: str, groups: Mapping[str, ServerGroup]) -> Iterator[ServerGroup]:
    """The servers that may answer: those of the group and of its fallbacks."""
    while (own := groups.get(group)) is not None:
        yield own
        group = own.fallback
