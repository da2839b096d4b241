"""What another configuration would change, by the names that were met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pdns.config.load import from_tables
from pdns.config.schema import Config
from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.policy_diff import NameChange, diff, unloaded
from pdns.state.feed_hits import Hits
from pdns.telemetry.event_ring import name_hash
from pdns.wire.names import from_text
from tests.blocksets import make_blockset

TODAY = 20_800
NOW_S = TODAY * 86400 + 50_000.0
FEEDS: list[dict[str, Any]] = [
    {"name": "alpha", "url": "file:a"},
    {"name": "ads", "url": "file:b", "category": "ads", "mode": "monitor"},
]
TENANTS = [{"name": name, "networks": [f"198.51.100.{number}"]} for number, name in enumerate("abc")]
BLOCKSET = make_blockset({"alpha": "evil.test *.below.test", "ads": "ads.test"})


def config(**tables: Any) -> Config:
    whole = {"upstream": {"servers": ["192.0.2.53"]}, "feed": FEEDS, "tenant": TENANTS, **tables}
    return from_tables(whole, "pdns.toml", Path("/nonexistent"))


def met(days_ago: int = 0, *names: str) -> Hits:
    return Hits(names={name_hash(from_text(name)): TODAY - days_ago for name in names})


def test_who_is_concerned_by_what() -> None:
    """Each name with what is done now and what would be done, for the tenants for whom it is the same."""
    strict = {"name": "strict", "categories": {"ads": "block"}, "actions": {"malware": "nxdomain"}, "allow": ["below.test"]}
    new = config(policy=[strict], tenant=[{**TENANTS[0], "policy": "strict"}, {**TENANTS[1], "policy": "strict"}, TENANTS[2]])
    found = diff(config(), new, BLOCKSET, LocalRules(), met(0, "evil.test", "ads.test", "below.test", "gone.test"), NOW_S)
    both = ("a", "b")
    assert found.changes == (
        NameChange(
            name="ads.test", before="passes (monitored by ads)", after="sinkhole (ads)", tenants=both, last_day=TODAY
        ),
        NameChange(
            name="*.below.test", before="sinkhole (alpha)", after="allowed (policy strict)", tenants=both, last_day=TODAY
        ),
        NameChange(name="evil.test", before="sinkhole (alpha)", after="nxdomain (alpha)", tenants=both, last_day=TODAY),
    )  # fmt: skip
    assert (found.compared, found.unlisted) == (3, 1)


def test_names_below() -> None:
    """A listing for what is below a name is judged by what is below it."""
    new = config(feed=[{**FEEDS[0], "mode": "monitor"}, FEEDS[1]])
    (change,) = diff(config(), new, BLOCKSET, LocalRules(), met(6, "below.test"), NOW_S).changes
    assert (change.name, change.after, change.tenants) == (
        "*.below.test",
        "passes (monitored by alpha)",
        ("default", "a", "b", "c"),
    )


def test_old_names_are_left_out() -> None:
    """Only the last seven days count."""
    new = config(feed=FEEDS[1:])
    assert diff(config(), new, BLOCKSET, LocalRules(), met(7, "evil.test"), NOW_S).compared == 0
    assert diff(config(), new, BLOCKSET, LocalRules(), met(6, "evil.test"), NOW_S).compared == 1


def test_entries_and_unknown_feeds() -> None:
    """Names that people block count as well; a feed that was not loaded is named."""
    local = LocalRules([LocalEntry(from_text("own.test"), False, False, "ticket")])
    new = config(block={"allow": ["own.test"]}, feed=[*FEEDS, {"name": "later", "url": "file:c"}])
    (change,) = diff(config(), new, None, local, met(0, "own.test"), NOW_S).changes
    assert (change.before, change.after) == ("sinkhole (local)", "allowed (block.allow)")
    assert unloaded(new, BLOCKSET) == ["later"]
    assert diff(config(), config(), BLOCKSET, local, met(0, "own.test", "evil.test"), NOW_S).changes == ()
