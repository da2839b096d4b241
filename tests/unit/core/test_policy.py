"""The decision: every row of `docs/policy.md`, the numbers of policies, and what changes with the time."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest

from pdns.config.load import from_tables
from pdns.config.schema import Config
from pdns.core.local_rules import NO_RULES, EntryTable, LocalEntry, LocalRules
from pdns.core.policy import Policy
from pdns.core.ruleset import RuleSet
from pdns.errors import ConfigErrors
from pdns.wire.names import from_text
from tests.blocksets import make_blockset
from tests.policytable import ENTRIES, KINDS, PolicyRow, decided, kind_of, rows

ROWS = rows()
WEDNESDAY_NOON_S = 1_796_212_800.0  # 2026-12-02 12:00 UTC


def settled(**tables: Any) -> Config:
    return from_tables({"upstream": {"servers": ["192.0.2.53"]}, **tables}, "pdns.toml", Path("/nonexistent"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_the_table(row: PolicyRow) -> None:
    """Each row of the page is what is decided; a combination that cannot be configured is refused."""
    if row.result == "cannot be configured":
        with pytest.raises(ConfigErrors, match="is already policy"):
            decided(row.statements)
    else:
        assert decided(row.statements) == row.result


def test_the_table_has_every_pair() -> None:
    """Each rule, each pair of rules about one name, and each pair of entries of which one is more specific has one row."""
    said = [row.statements for row in ROWS]
    assert len(set(said)) == len(said)
    assert [row.number for row in ROWS] == list(range(1, len(ROWS) + 1))
    kinds = {tuple(map(kind_of, statements)) for statements in said}
    assert [kind for kind in KINDS if (kind,) not in kinds] == []
    assert [pair for pair in itertools.combinations(KINDS, 2) if pair not in kinds] == []
    differing = [(a, b) for a, b in itertools.permutations(ENTRIES, 2) if ENTRIES[a][1] != ENTRIES[b][1]]
    wanted = [(f"{a}: `x.example`", f"{b}: `www.x.example`") for a, b in differing]
    assert [pair for pair in wanted if pair not in said] == []


TENANTS = [
    {"name": "a", "networks": ["198.51.100.0/26"], "policy": "strict"},
    {"name": "b", "networks": ["198.51.100.64/26"], "policy": "strict"},
    {"name": "c", "networks": ["198.51.100.128/26"], "policy": "strict", "allow": ["x.example"]},
    {"name": "d", "networks": ["198.51.100.192/26"]},
]


def test_equal_policies_have_one_number() -> None:
    """Tenants with equal policies share a number, and numbers outlive changes of others."""
    config = settled(policy=[{"name": "strict", "action": "refused"}], tenant=TENANTS)
    policy = Policy(config)
    assert policy.tenant_policies == [1, 1, 2, 0]
    own = LocalRules(tenants={"b": (LocalEntry(from_text("y.example"), False, False, ""),)})
    changed = Policy(config, own, before=policy)
    assert changed.tenant_policies == [1, 3, 2, 0]
    paused = Policy(config, LocalRules(paused=["a"]), before=changed)
    assert paused.tenant_policies == [4, 1, 2, 0]
    again = Policy(config, NO_RULES, before=paused)
    assert again.tenant_policies == [1, 1, 2, 0]
    assert [again.settings(number).action for number in (0, 1, 2, 77)] == ["sinkhole", "refused", "refused", "sinkhole"]


def test_questions_are_decided_by_the_policy_they_were_asked_under() -> None:
    """An answer that comes after the tenant's policy has changed is not decided by everyone's."""
    blockset = make_blockset({"alpha": "x.example"})
    feed = [{"name": "alpha", "url": "file:a", "mode": "monitor"}]
    config = settled(feed=feed, policy=[{"name": "strict", "feeds": {"alpha": "block"}}], tenant=TENANTS[:1])
    policy = Policy(config)
    number, name = policy.tenant_policies[0], from_text("x.example")
    allowed = LocalRules(tenants={"a": (LocalEntry(from_text("y.example"), False, True, ""),)})
    changed = Policy(config, allowed, before=policy)
    assert changed.tenant_policies != [number]
    assert changed.decide(blockset, number, name).verdict is not None
    assert Policy(config, allowed, before=changed).decide(blockset, number, name).verdict is None


def test_inheritance() -> None:
    """Tables are inherited key by key, other settings as a whole; feeds beat categories."""
    config = settled(
        feed=[
            {"name": "alpha", "url": "file:a"},
            {"name": "ads", "url": "file:b", "category": "ads", "mode": "monitor"},
            {"name": "track", "url": "file:c", "category": "tracking", "mode": "monitor"},
        ],
        policy=[
            {"name": "default", "actions": {"ads": "nodata"}, "contact": ["mailto:a@x.example"]},
            {"name": "strict", "categories": {"ads": "block", "tracking": "block"}, "actions": {"malware": "refused"}},
            {
                "name": "young",
                "inherits": "strict",
                "feeds": {"track": "off"},
                "action": "nxdomain",
                "sinkholes": {"ads": ["192.0.2.9"]},
            },
        ],
        tenant=[
            {"name": "s", "networks": ["198.51.100.0/26"], "policy": "strict"},
            {"name": "y", "networks": ["198.51.100.64/26"], "policy": "young"},
        ],
    )
    default, strict, young = (Policy(config).settings(number) for number in (0, 1, 2))
    assert default.modes == {"alpha": "block", "ads": "monitor", "track": "monitor"}
    assert strict.modes == {"alpha": "block", "ads": "block", "track": "block"}
    assert young.modes == {"alpha": "block", "ads": "block", "track": "off"}
    assert [young.action_of(category) for category in ("ads", "malware", "phishing")] == ["nodata", "refused", "nxdomain"]
    assert (young.sinkhole_of("ads"), young.sinkhole_of("c2")) == (("192.0.2.9",), ("192.0.2.1", "2001:db8::1"))
    assert young.contact == ("mailto:a@x.example",)


def test_inherited_entries_are_kept_once() -> None:
    """Policies share what they inherit; of entries with the same name that of the nearest policy decides."""
    said = [
        {"name": "top", "allow": ["x.example", "*.y.example"], "block": ["z.example"]},
        {"name": "middle", "inherits": "top", "block": ["x.example", "y.example", "*.z.example"]},
        {"name": "left", "inherits": "middle", "allow": ["w.x.example", "*.y.example", "z.example"]},
        {"name": "right", "inherits": "middle", "block": ["*.x.example"]},
    ]
    tenants = [
        {"name": name, "networks": [f"192.0.2.{number}"], "policy": name} for number, name in enumerate(("left", "right", "top"))
    ]
    policy = Policy(settled(policy=said, tenant=tenants))
    left, right, top = (policy.settings(number) for number in policy.tenant_policies)
    assert left.layers[-1] is right.layers[-1] is top.layers[0]
    asked = [f"{below}{name}.example" for below in ("", "a.", "w.", "a.w.") for name in "wxyz"]
    for number, settings in zip(policy.tenant_policies, (left, right, top), strict=True):
        spelt = [(from_text(entry.name.removeprefix("*.")), entry.name[0] == "*", entry.allow, "") for entry in settings.entries]
        merged = EntryTable(LocalEntry(*one) for one in spelt)
        for name in map(from_text, asked):
            found, decision = merged.find(name), policy.decide(None, number, name)
            assert decision.rule == (found.rule if found is not None else "")
            assert (decision.verdict is not None) == (found is not None and not found.allow)


def test_schedules_and_ends_are_of_a_time() -> None:
    """The rules say until when they hold, and others hold then; between two changes nothing is made anew."""
    config = settled(
        feed=[{"name": "ads", "url": "file:b", "category": "ads", "mode": "monitor"}],
        policy=[
            {
                "name": "default",
                "entry": [{"name": "y.example", "action": "block", "reason": "exam", "until": "2026-12-02T13:00:00+00:00"}],
                "schedule": [
                    {
                        "days": ["wed"],
                        "start": "22:00",
                        "end": "06:00",
                        "time_zone": "Europe/Paris",
                        "categories": {"ads": "block"},
                    }
                ],
            }
        ],
    )
    blockset = make_blockset({"ads": "x.example"})
    rules = RuleSet.of(config, blockset=blockset, now_s=WEDNESDAY_NOON_S)

    def blocked() -> tuple[float, bool, bool]:
        decisions = [rules.policy.decide(blockset, 0, from_text(name)) for name in ("x.example", "y.example")]
        hours = (rules.policy.until_s - WEDNESDAY_NOON_S) / 3600
        return (hours, *(decision.verdict is not None for decision in decisions))  # type: ignore[return-value]  # two of them

    assert blocked() == (1, False, True)
    rules = rules.at(rules.policy.until_s)
    assert blocked() == (9, False, False)
    rules = rules.at(rules.policy.until_s - 0.001)
    assert blocked() == (9, False, False)
    rules = rules.at(rules.policy.until_s)  # 22:00 in Paris
    assert blocked()[1:] == (True, False)
    rules = rules.at(WEDNESDAY_NOON_S + 17 * 3600 - 0.001)
    assert blocked() == (17, True, False)
    rules = rules.at(rules.policy.until_s)
    assert blocked()[1:] == (False, False)
    assert Policy(settled()).until_s == math.inf


def test_a_clock_that_was_ahead() -> None:
    """When the clock is set back, what has ended by the wrong time holds again: no earlier change was the last one."""
    entry = {"name": "y.example", "action": "block", "until": "2026-12-02T13:00:00Z"}
    config = settled(policy=[{"name": "default", "entry": [entry]}])
    rules = RuleSet.of(config, now_s=WEDNESDAY_NOON_S)
    assert [rules.hold_at(WEDNESDAY_NOON_S + later_s) for later_s in (-0.1, 0, 3599, 3600)] == [False, True, True, False]
    ahead = rules.at(WEDNESDAY_NOON_S + 1e8).with_local(LocalRules(paused=["a"]))
    assert ahead.policy.decide(None, 0, from_text("y.example")).verdict is None
    assert ahead.hold_at(WEDNESDAY_NOON_S + 2e8)
    assert not ahead.hold_at(WEDNESDAY_NOON_S)
    assert ahead.at(WEDNESDAY_NOON_S).policy.decide(None, 0, from_text("y.example")).verdict is not None


def test_a_pause_monitors() -> None:
    """What would be blocked is named as monitored, for the paused tenant alone."""
    config = settled(feed=[{"name": "alpha", "url": "file:a"}], tenant=TENANTS[3:])
    blockset = make_blockset({"alpha": "x.example"})
    policy = Policy(config, LocalRules(paused=["d"]))
    (number,) = policy.tenant_policies
    assert policy.decide(blockset, number, from_text("x.example")).monitored == (("alpha", "malware"),)
    assert policy.decide(blockset, number, from_text("x.example")).verdict is None
    assert policy.decide(blockset, 0, from_text("x.example")).verdict is not None
