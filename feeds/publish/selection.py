"""What a published zone is made of: the feeds that block, and what the configuration and administrators say of names.

It gives the verdicts of `pdns.core.policy` for clients with that policy. It has no local records: a secondary has its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from feeds.publish.blocking_feeds import BLOCK, PASS, UNDECIDED
from pdns.config.addresses import parse_allowed
from pdns.config.policies import NamedEntry, PolicySettings
from pdns.config.schema import Config, Zone
from pdns.errors import InvalidAddress
from pdns.state.overrides import Overrides

Layer = list[tuple[bytes, bool, int]]


def blocking_feeds(config: Config, settings: PolicySettings, overrides: Overrides) -> list[str]:
    """The feeds whose names are blocked, in the order of the configuration."""
    return [feed.name for feed in config.feed if settings.modes[feed.name] == "block" and feed.name not in overrides.disabled]


def layers(config: Config, settings: PolicySettings, everyones: Sequence[NamedEntry], overrides: Overrides) -> list[Layer]:
    """What is said of names apart from feeds; the first layer that decides counts."""
    said_here = [(one.name, one.action == "allow") for one in overrides.indicators if not one.tenant]
    return [
        [entry for zone in config.zone for entry in _zone(zone)],
        _entries((one.name, one.allow) for one in settings.entries),
        _entries((*((one.name, one.allow) for one in everyones), *said_here)),
    ]


def _entries(named: Iterable[tuple[str, bool]]) -> Layer:
    return [entry for name, allow in named for entry in _entry(name, PASS if allow else BLOCK)]


def _zone(zone: Zone) -> Layer:
    """Names below a zone with `block = false` are not checked; those of a zone within it that is, are."""
    texts = zone.names or ((zone.name,) if zone.name else ())
    return [entry for text in texts for entry in _entry(text, UNDECIDED if zone.block else PASS)]


def _entry(text: str, verdict: int) -> Iterator[tuple[bytes, bool, int]]:
    try:
        name, below_only = parse_allowed(text)
    except InvalidAddress:  # from a later version
        return
    yield name, below_only, verdict
