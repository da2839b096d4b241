"""Rule sets: what each change makes anew, what it shares, and when queries are answered."""

from __future__ import annotations

import msgspec

from pdns.core.enrolled import CredentialRules
from pdns.core.entry import Verdict
from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.core.ruleset import RuleSet
from pdns.wire.names import from_text
from tests.blocksets import make_blockset
from tests.unit.core.conftest import FEEDS, make_config

REQUIRED = [{"name": "alpha", "url": "file:a", "required": True}]


def test_a_new_blockset_keeps_what_it_does_not_concern() -> None:
    """Policies, block answers and special names are the same objects: many tenants cost nothing at a new blockset."""
    before = RuleSet.of(make_config())
    after = before.with_blockset(make_blockset(FEEDS))
    assert after.blockset is not None
    assert before.blockset is None
    for part in ("config", "local", "policy", "block_answers", "special", "undelegated"):
        assert getattr(after, part) is getattr(before, part)


def test_local_rules_keep_the_blockset_and_make_another_policy() -> None:
    """What an administrator says takes part in the policy; listings and special names stay."""
    before = RuleSet.of(make_config(), blockset=make_blockset(FEEDS))
    entry = LocalEntry(from_text("shop.example"), below_only=False, allow=False, reason="ticket 7")
    after = before.with_local(LocalRules([entry]))
    found = after.policy.decide_here(0, entry.name, entry.name)
    assert found is not None
    assert (found.verdict, found.reason) == (Verdict("local", "local", entry.name, "sinkhole"), "ticket 7")
    assert before.policy.decide_here(0, entry.name, entry.name) is None
    assert (after.blockset, after.special, after.ready) == (before.blockset, before.special, before.ready)


def test_a_configuration_keeps_blockset_and_local_rules() -> None:
    """A reload forgets neither the listings nor the administrator."""
    before = RuleSet.of(make_config(), blockset=make_blockset(FEEDS), local=LocalRules(disabled=["alpha"]))
    after = before.with_config(make_config(block={"action": "nxdomain"}))
    assert (after.blockset, after.local) == (before.blockset, before.local)
    assert after.policy.settings(0).action == "nxdomain"


def test_ready_once_no_required_feed_is_missing() -> None:
    """A blockset of the feed counts only if it was made with the present settings."""
    config = make_config(feed=REQUIRED)
    empty = RuleSet.of(config)
    assert (empty.ready, empty.missing) == (False, ("alpha",))
    other = empty.with_blockset(make_blockset({"alpha": "bad.example"}))  # made with other settings
    assert (other.ready, other.missing) == (False, ("alpha",))
    loaded = other.with_blockset(make_blockset({"alpha": "bad.example"}, configured=config.feed))
    assert (loaded.ready, loaded.missing) == (True, ())


def test_once_ready_always_ready() -> None:
    """A required feed that is added is missing, and stops nothing; without any blockset nothing is answered unprotected."""
    config = make_config(feed=REQUIRED)
    loaded = RuleSet.of(config, blockset=make_blockset({"alpha": "bad.example"}, configured=config.feed))
    more = msgspec.structs.replace(config, feed=(*config.feed, msgspec.structs.replace(config.feed[0], name="beta")))
    assert (loaded.with_config(more).ready, loaded.with_config(more).missing) == (True, ("beta",))
    assert not loaded.with_config(more).with_blockset(None).ready


def test_nothing_required_is_ready_at_once() -> None:
    """A program whose feeds are not required answers before it has a blockset."""
    assert RuleSet.of(make_config()).ready


def test_only_a_blockset_makes_rules_that_differ_in_feeds_alone() -> None:
    """Answers in the cache then stay without Python. Anything else, another time included, has them decided again."""
    rules = RuleSet.of(make_config(), blockset=make_blockset(FEEDS))
    other = make_blockset(FEEDS)
    assert rules.with_blockset(other).with_blockset(None).differs_only_in_feeds(rules)
    for changed in (
        rules.with_local(LocalRules(disabled=["a"])),
        rules.with_config(make_config()),
        rules.with_credentials(CredentialRules()),
        rules.at(rules.now_s + 1.0),
    ):
        assert not changed.differs_only_in_feeds(rules)
        assert not changed.with_blockset(other).differs_only_in_feeds(rules)
