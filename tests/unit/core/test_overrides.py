"""Local entries before feeds, and feeds that are switched off. `docs/policy.md` is the table of who beats whom."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pdns.blockset.reader import Blockset
from pdns.config.schema import Config
from pdns.core.local_rules import NO_RULES, LocalEntry, LocalRules
from pdns.core.policy import CLEAN, Policy
from pdns.wire.names import from_text
from tests.blocksets import make_blockset

BLOCKSET = make_blockset({"alpha": "evil.test @@good.evil.test shared.test", "beta": "shared.test", "watch": "monitored.test"})
RAW: dict[str, Any] = {
    "upstream": {"servers": ["udp://127.0.0.1:9"]},
    "feed": [
        {"name": "alpha", "url": "file:a"},
        {"name": "beta", "url": "file:b"},
        {"name": "watch", "url": "file:w", "mode": "monitor"},
    ],
    "tenant": [{"name": "north", "networks": ["198.51.100.0/24"], "allow": ["north.test"]}],
    "block": {"allow": ["everyone.test"]},
}
EVERYONE, NORTH = 0, 1


def rules(*entries: str, disabled: tuple[str, ...] = ()) -> LocalRules:
    """Entries `+x` (allow) or `-x` (block), `*.` before the name for what is below."""
    made = []
    for entry in entries:
        below = entry[1:].startswith("*.")
        made.append(LocalEntry(from_text(entry[3:] if below else entry[1:]), below, entry[0] == "+", f"because of {entry}"))
    return LocalRules(made, disabled)


def decided(name: str, local: LocalRules, policy: int = EVERYONE, blockset: Blockset | None = BLOCKSET) -> str:
    """The feed that blocks `name`, or "" when none does."""
    decision = Policy(msgspec.convert(RAW, Config), local).decide(blockset, policy, from_text(name))
    return decision.verdict.feed if decision.verdict is not None else ""


@pytest.mark.parametrize(
    ("name", "entries", "feed"),
    [
        ("evil.test", (), "alpha"),
        ("evil.test", ("+evil.test",), ""),  # a local allow beats every feed
        ("x.evil.test", ("+evil.test",), ""),
        ("shared.test", ("+shared.test",), ""),
        ("evil.test", ("+x.evil.test",), "alpha"),
        ("good.evil.test", (), ""),
        ("good.evil.test", ("-good.evil.test",), "local"),  # a local block beats a feed's exception
        ("good.evil.test", ("-test",), "local"),
        ("evil.test", ("-evil.test",), "local"),
        ("a.clean.test", ("-clean.test",), "local"),
        ("clean.test", ("-*.clean.test",), ""),
        ("a.clean.test", ("-*.clean.test",), "local"),
        ("a.clean.test", ("-clean.test", "+a.clean.test"), ""),  # the more specific entry counts
        ("b.clean.test", ("-clean.test", "+a.clean.test"), "local"),
        ("a.clean.test", ("+clean.test", "-a.clean.test"), "local"),
        ("x.everyone.test", ("-everyone.test",), ""),  # an allowlist of the configuration beats a local block
        ("north.test", ("-north.test",), "local"),
        ("xclean.test", ("-clean.test",), ""),
    ],
)
def test_precedence(name: str, entries: tuple[str, ...], feed: str) -> None:
    """An allowlist of the configuration for the same name, then the most specific local entry, then feeds."""
    assert decided(name, rules(*entries)) == feed


def test_a_tenants_allowlist_beats_a_local_block() -> None:
    """For its clients alone."""
    local = rules("-north.test")
    assert decided("a.north.test", local, NORTH) == ""
    assert decided("a.north.test", local, EVERYONE) == "local"


def test_the_reason_goes_with_the_decision() -> None:
    """Who is blocked learns why."""
    decision = Policy(msgspec.convert(RAW, Config), rules("-clean.test")).decide(BLOCKSET, EVERYONE, from_text("a.clean.test"))
    assert decision.verdict is not None
    assert (decision.verdict.listed, decision.reason) == (from_text("clean.test"), "because of -clean.test")


def test_a_feed_that_is_switched_off_says_nothing() -> None:
    """It blocks nothing, excepts nothing, and is not counted as what would have blocked; others go on."""
    assert decided("evil.test", rules(disabled=("alpha",))) == ""
    assert decided("shared.test", rules(disabled=("alpha",))) == "beta"
    policy = Policy(msgspec.convert(RAW, Config), rules(disabled=("watch",)))
    assert policy.decide(BLOCKSET, EVERYONE, from_text("monitored.test")) == CLEAN


def test_local_blocks_need_no_blockset() -> None:
    """Without any feed a local block blocks."""
    assert decided("a.clean.test", rules("-clean.test"), blockset=None) == "local"
    assert decided("evil.test", rules("-clean.test"), blockset=None) == ""


def test_rules_are_true_where_there_are_any() -> None:
    """An entry or a feed that is switched off counts; nothing at all does not."""
    entry = LocalEntry(from_text("x.test"), True, False, "ticket 7")
    assert [bool(rules) for rules in (NO_RULES, LocalRules([entry]), LocalRules(disabled=["alpha"]))] == [False, True, True]
