"""What another configuration would change: for the names that were blocked lately, by the decision that workers make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from pdns.blockset.reader import Blockset
from pdns.config.policies import NO_TENANT
from pdns.config.schema import Config
from pdns.core.local_rules import LocalRules
from pdns.core.policy import Decision, Policy
from pdns.state.feed_hits import Hits
from pdns.telemetry.event_ring import name_hash
from pdns.wire import names

DAYS: Final = 7
_DAY_S: Final = 86400
_BELOW: Final = b"\1x"  # stands for any name below a listed one


class NameChange(msgspec.Struct, frozen=True, kw_only=True):
    """One name for the tenants for whom the same changes."""

    name: str  # `*.x` where only names below x are concerned
    before: str  # in words
    after: str
    tenants: tuple[str, ...]
    last_day: int  # on which it was last met, since the epoch


class PolicyDiff(msgspec.Struct, frozen=True, kw_only=True):
    """All changes, sorted by name."""

    compared: int  # names that were met and are listed
    unlisted: int  # names that were met, and that no feed or entry lists any more: nothing is known of them but their hash
    changes: tuple[NameChange, ...]


def candidates(
    blockset: Blockset | None, local: LocalRules, policies: Iterable[Policy], hits: Hits, now_s: float
) -> dict[bytes, int]:
    """The listed names that were met in the last days, each with the day, in wire form."""
    first_day = int(now_s // _DAY_S) - DAYS + 1
    lately = {hashed: day for hashed, day in hits.names.items() if day >= first_day}
    listed: list[Iterable[bytes]] = [local.everyones.names(), *(policy.entry_names() for policy in policies)]
    if blockset is not None:
        listed.append(names.from_reversed_key(key) for key, _ in blockset.combinations())
    found: dict[bytes, int] = {}
    for some in listed:
        for name in some:
            if (day := lately.get(name_hash(name))) is not None:
                found[name] = day
    return found


def diff(
    old: Config,
    new: Config,
    blockset: Blockset | None,
    local: LocalRules,
    hits: Hits,
    now_s: float,
    advanced: Callable[[int, int], object] = lambda _done, _all: None,
) -> PolicyDiff:
    """What `new` would change. Names are judged by what the feeds list now. `advanced` is told how many names are done."""
    before, after = Policy(old, local, now_s), Policy(new, local, now_s)
    found = candidates(blockset, local, (before, after), hits, now_s)
    pairs = _pairs(old, new, before, after)
    changes: list[NameChange] = []
    for done, (name, day) in enumerate(sorted(found.items(), key=lambda item: names.to_text(item[0]).split(".")[::-1])):
        changes += _of_name(name, day, blockset, before, after, pairs)
        advanced(done + 1, len(found))
    first_day = int(now_s // _DAY_S) - DAYS + 1
    met = sum(day >= first_day for day in hits.names.values())
    return PolicyDiff(compared=len(found), unlisted=met - len(found), changes=tuple(changes))


def in_words(decision: Decision) -> str:
    """What is done about a name, and who says so."""
    if decision.verdict is not None:
        return f"{decision.verdict.action} ({decision.by})"
    if decision.monitored:
        return f"passes (monitored by {', '.join(feed for feed, _ in decision.monitored)})"
    return f"allowed ({decision.by})" if decision.by else "passes"


def _pairs(old: Config, new: Config, before: Policy, after: Policy) -> dict[tuple[int, int], list[str]]:
    """Policy numbers before and after, and the tenants that have them."""
    numbers_before = {tenant.name: number for tenant, number in zip(old.tenant, before.tenant_policies, strict=True)}
    numbers_after = {tenant.name: number for tenant, number in zip(new.tenant, after.tenant_policies, strict=True)}
    pairs: dict[tuple[int, int], list[str]] = {(0, 0): [NO_TENANT]}
    for tenant in sorted(numbers_before.keys() | numbers_after.keys()):
        pairs.setdefault((numbers_before.get(tenant, 0), numbers_after.get(tenant, 0)), []).append(tenant)
    return pairs


def _of_name(
    name: bytes, day: int, blockset: Blockset | None, before: Policy, after: Policy, pairs: dict[tuple[int, int], list[str]]
) -> Iterator[NameChange]:
    reported: dict[tuple[str, str], list[str]] = {}
    for asked, prefix in ((name, ""), (_BELOW + name, "*.")):
        changes: dict[tuple[str, str], list[str]] = {}
        for (number_before, number_after), tenants in pairs.items():
            was, will_be = before.decide(blockset, number_before, asked), after.decide(blockset, number_after, asked)
            said = in_words(was), in_words(will_be)
            if said[0] != said[1] and (_is_counted(was) or _is_counted(will_be)):
                changes.setdefault(said, []).extend(tenants)
        for said, concerned in changes.items():
            if reported.get(said) != concerned:  # what is below a name mostly changes as the name does
                yield NameChange(
                    name=prefix + names.to_text(name), before=said[0], after=said[1], tenants=tuple(concerned), last_day=day
                )
        reported = changes


def _is_counted(decision: Decision) -> bool:
    """Whether it is more than an answer of an upstream."""
    return decision.verdict is not None or bool(decision.monitored)


def unloaded(new: Config, blockset: Blockset | None) -> list[str]:
    """Feeds of a configuration whose names are not known yet."""
    loaded = blockset.feeds if blockset is not None else {}
    return [feed.name for feed in new.feed if feed.name not in loaded]
