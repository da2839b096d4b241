"""What each policy comes to, with all that it inherits and with its schedules: pure functions of a configuration and the time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import UNSET, Struct

from pdns.config import utc_offsets
from pdns.config.policy_schema import PolicySection, Schedule
from pdns.config.schema import Config
from pdns.config.utc_offsets import Offsets
from pdns.config.value_types import Action, PolicyMode, Weekday

DEFAULT_POLICY: Final = "default"
NO_TENANT: Final = "default"  # clients of no tenant
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_S: Final = 86400
_THURSDAY: Final = 3  # the first day of the epoch
_UTC: Final[Offsets] = ((0, 0),)


class NamedEntry(Struct, frozen=True, kw_only=True):
    """A name that is blocked or allowed by the configuration."""

    name: str  # `x`: it and everything below; `*.x`: only what is below
    allow: bool
    reason: str
    source: str  # "block.allow", "policy NAME" or "tenant NAME"


class PolicySettings(Struct, frozen=True, kw_only=True):
    """One policy, with all that it inherits, at one time."""

    name: str
    modes: dict[str, PolicyMode]  # of each configured feed
    action: Action
    actions: dict[str, Action]  # by category, where it is not `action`
    sinkhole: tuple[str, ...]
    sinkholes: dict[str, tuple[str, ...]]  # by category, likewise
    ttl_s: int  # of blocked answers
    ede_code: int
    forwards_unready: bool  # unprotected answers instead of none, while a required feed is missing
    layers: tuple[tuple[NamedEntry, ...], ...]  # its entries, then those of each policy that it inherits from; not the default's
    organisation: str
    contact: tuple[str, ...]  # URIs
    language: str
    help_url: str
    page_text: str

    @property
    def entries(self) -> tuple[NamedEntry, ...]:
        """Its own and inherited ones, but for those of the default policy: they are everyone's."""
        return tuple({entry.name: entry for layer in reversed(self.layers) for entry in layer}.values())

    def action_of(self, category: str) -> Action:
        """What is done about a name that a feed of this category blocks; `local` is the category of entries."""
        return self.actions.get(category, self.action)

    def sinkhole_of(self, category: str) -> tuple[str, ...]:
        """The addresses that blocked names of this category get, at most one of each family."""
        return self.sinkholes.get(category, self.sinkhole)


class Policies(Struct, frozen=True, kw_only=True):
    """All policies at one time."""

    settings: dict[str, PolicySettings]  # by name; "default" is always there
    everyones: tuple[NamedEntry, ...]  # entries that hold for every client
    until_s: float  # when a schedule or the end of an entry changes something; infinity: never


def policies_at(config: Config, now_s: float) -> Policies:
    """What the policies of a settled configuration come to at `now_s`, in seconds since the epoch."""
    sections = {section.name: section for section in config.policy}
    default = sections.setdefault(DEFAULT_POLICY, PolicySection(name=DEFAULT_POLICY))
    everyones = [
        *(NamedEntry(name=name, allow=True, reason="", source="block.allow") for name in config.block.allow),
        *_entries(default, now_s),
    ]
    own = {name: tuple(_entries(section, now_s)) for name, section in sections.items() if name != DEFAULT_POLICY}
    return Policies(
        settings={name: _settings(config, list(chain_of(sections, name)), own, now_s) for name in sections},
        everyones=tuple(everyones),
        until_s=min(_changes(config, now_s), default=math.inf),
    )


def chain_of(sections: Mapping[str, PolicySection], name: str) -> Iterator[PolicySection]:
    """The policy, the one that it inherits from, and so on to the default policy. Ends where a circle closes."""
    seen: set[str] = set()
    while name not in seen:
        seen.add(name)
        yield sections[name]
        name = sections[name].inherits or DEFAULT_POLICY


def is_in_force(schedule: Schedule, offsets: Offsets, now_s: float) -> bool:
    """Whether it is one of the schedule's times. One that ends before it starts goes on after midnight."""
    day, second = divmod(int(now_s) + utc_offsets.offset_s(offsets, now_s), _DAY_S)
    start_s, end_s = _seconds(schedule.start), _seconds(schedule.end)
    if start_s < end_s:
        return _weekday(day) in schedule.days and start_s <= second < end_s
    return (_weekday(day) in schedule.days and second >= start_s) or (_weekday(day - 1) in schedule.days and second < end_s)


def expires_s(until: str) -> float:
    """The end of an entry, in seconds since the epoch; infinity for none. Raises `ValueError` for a time without a zone."""
    if not until:
        return math.inf
    parsed = datetime.fromisoformat(until)
    if parsed.tzinfo is None:
        raise ValueError("no time zone")
    return parsed.timestamp()


def _settings(
    config: Config, chain: Sequence[PolicySection], own: Mapping[str, tuple[NamedEntry, ...]], now_s: float
) -> PolicySettings:
    feeds: dict[str, PolicyMode] = {}
    categories: dict[str, PolicyMode] = {}
    actions: dict[str, Action] = {}
    sinkholes: dict[str, tuple[str, ...]] = {}
    for section in reversed(chain):
        scheduled = [one for one in section.schedule if is_in_force(one, _offsets(config, one), now_s)]
        parts: list[PolicySection | Schedule] = [section, *scheduled]
        for part in parts:
            feeds |= part.feeds
            categories |= part.categories
        actions |= section.actions
        sinkholes |= section.sinkholes
    return PolicySettings(
        name=chain[0].name,
        modes={feed.name: feeds.get(feed.name) or categories.get(feed.category) or feed.mode for feed in config.feed},
        action=next((one.action for one in chain if one.action), config.block.action),
        actions=actions,
        sinkhole=next((one.sinkhole for one in chain if one.sinkhole), config.block.sinkhole),
        sinkholes=sinkholes,
        ttl_s=config.block.ttl_s,
        ede_code=config.block.ede_code,
        forwards_unready=next((one.not_ready for one in chain if one.not_ready), "") == "forward",
        layers=tuple(own[one.name] for one in chain if own.get(one.name)),
        organisation=next((one.organisation for one in chain if one.organisation), ""),
        contact=next((one.contact for one in chain if one.contact), ()),
        language=next((one.language for one in chain if one.language), "en"),
        help_url=next((one.help_url for one in chain if one.help_url), ""),
        page_text=next((one.page_text for one in chain if one.page_text), ""),
    )


def _entries(section: PolicySection, now_s: float) -> Iterator[NamedEntry]:
    source = f"policy {section.name}"
    for names, allow in ((section.block, False), (section.allow, True)):
        for name in names:
            yield NamedEntry(name=name, allow=allow, reason="", source=source)
    for entry in section.entry:
        if now_s < expires_s(entry.until):
            yield NamedEntry(name=entry.name, allow=entry.action == "allow", reason=entry.reason, source=source)


def _changes(config: Config, now_s: float) -> Iterator[float]:
    """Times after `now_s` at which something may change; the first of them is exact."""
    for section in config.policy:
        for entry in section.entry:
            if now_s < (end_s := expires_s(entry.until)):
                yield end_s
        for schedule in section.schedule:
            offsets = _offsets(config, schedule)
            offset_s = utc_offsets.offset_s(offsets, now_s)
            midnight_s = int(now_s + offset_s) // _DAY_S * _DAY_S - offset_s
            for boundary_s in (_seconds(schedule.start), _seconds(schedule.end)):
                yield from (at_s for days in (0, 1) if (at_s := midnight_s + days * _DAY_S + boundary_s) > now_s)
            yield from (at_s for at_s, _ in utc_offsets.changes_after(offsets, now_s)[:1])


def _offsets(config: Config, schedule: Schedule) -> Offsets:
    return _UTC if config.utc_offsets is UNSET else config.utc_offsets.get(schedule.time_zone, _UTC)


def _seconds(time_of_day: str) -> int:
    return int(time_of_day[:2]) * 3600 + int(time_of_day[3:]) * 60


def _weekday(day: int) -> Weekday:
    """Of a number of days since the epoch."""
    return WEEKDAYS[(day + _THURSDAY) % 7]
