"""A published zone gives the verdicts of the resolver that publishes it, and its differences lead from version to version."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.publish.blocking_feeds import BlockingFeeds
from feeds.publish.differences import differences
from feeds.publish.records import RecordWriter, data_of, sort_key, split
from feeds.publish.selection import blocking_feeds, layers
from feeds.publish.sorting import sorted_keys
from feeds.publish.verdicts import LayerEntry, VerdictWalk
from feeds.publish.zone_file import RecordBlock, blocks_of
from pdns.blockset.reader import Blockset
from pdns.config.policies import policies_at
from pdns.config.policy_schema import PolicySection, Tenant
from pdns.config.schema import Block, Config, Feed, Zone
from pdns.core.policy import Policy
from pdns.core.routes import Routes
from pdns.state.overrides import Disabled, Indicator, Overrides
from pdns.wire.names import ROOT, ancestors, from_labels, from_text, to_text
from tests.effort import examples
from tests.property.test_blockset import make
from tests.unit.feeds.publish import reading
from tests.unit.feeds.publish.reading import BLOCKED, PASSED

LABEL = st.sampled_from([b"a", b"b", b"ab"])
NAME = st.lists(LABEL, min_size=1, max_size=4).map(from_labels)
BITS = st.integers(1, 15)
FEEDS = st.lists(st.dictionaries(NAME | st.just(ROOT), BITS, max_size=8), min_size=1, max_size=3)
ENTRY = st.builds(lambda star, name: "*." * star + to_text(name), st.booleans(), NAME)
INDICATORS = st.dictionaries(ENTRY, st.sampled_from(["block", "allow"]), max_size=4)
ZONES = st.dictionaries(NAME, st.booleans(), max_size=3)
SCHOOLS = 1  # the number of the policy that the zone is of
READERS = [reading.longest, reading.closest]


def published(blockset: Blockset, config: Config, overrides: Overrides, *, passes: bool) -> dict[bytes, str]:
    """The records of the zone: owner without the zone -> verdict."""
    policies = policies_at(config, 0.0)
    settings = policies.settings["schools"]
    given = [feed.name for feed in config.feed if feed.rpz_action == "given"]
    feeds = BlockingFeeds(blocking_feeds(config, settings, overrides), given, blockset.actions)
    masks = [feeds.of_name(blockset.combination(number)) for number in range(len(blockset.counts))]
    said = layers(config, settings, policies.everyones, overrides)
    walk = VerdictWalk(masks, [[LayerEntry(*entry) for entry in layer] for layer in said], passes=passes)
    writer = RecordWriter(from_text("rpz.example"), 60, data_of("nxdomain"), blockset.actions)
    with tempfile.TemporaryDirectory() as folder:
        records = [
            record
            for entry in walk.entries(sorted_keys(blockset.combinations(), blockset.names, Path(folder)))
            for record in writer.of_name(entry)
        ]
    assert records == sorted(records, key=sort_key), "out of order"
    assert len(set(records)) == len(records), "twice"
    return {record[: record.index(b"\xc0")] + ROOT: PASSED if b"rpz-passthru" in record else BLOCKED for record in records}


def is_blocked(blockset: Blockset, config: Config, policy: Policy, qname: bytes) -> bool:
    """What the resolver says."""
    zone = Routes(config).find(qname)
    return (zone is None or zone[1].block) and policy.decide(blockset, SCHOOLS, qname).verdict is not None


@pytest.mark.parametrize("passes", [False, True])
@pytest.mark.parametrize("read", READERS)
@examples(300)
@given(FEEDS, st.lists(ENTRY, max_size=3), INDICATORS, INDICATORS, ZONES, st.sets(st.sampled_from(["f0", "f1"])), st.booleans())
def test_verdicts_are_those_of_the_publisher(
    read: Callable[[Mapping[bytes, str], bytes], str],
    passes: bool,
    feeds: list[dict[bytes, int]],
    allow: list[str],
    said: dict[str, str],
    own: dict[str, str],
    zones: dict[bytes, bool],
    disabled: set[str],
    monitored: bool,
) -> None:
    """For any lists, entries, unchecked zones and switched-off feeds, with both readings of wildcards.

    With `passes`, a name that is allowed has a record, so that addresses it leads to are not looked at.
    """
    entries = tuple(Indicator(name=name, action=action, reason="", author="", added_s=0) for name, action in said.items())  # type: ignore[arg-type]
    overrides = Overrides(
        indicators=entries, disabled={name: Disabled(reason="", author="", since_s=0, until_s=9e9) for name in disabled}
    )
    config = Config(
        feed=tuple(
            Feed(name=f"f{number}", url="", mode="monitor" if monitored and number == 2 else "block")
            for number in range(len(feeds))
        ),
        block=Block(allow=tuple(allow)),
        policy=(
            PolicySection(
                name="schools",
                allow=tuple(name for name, action in own.items() if action == "allow"),
                block=tuple(name for name, action in own.items() if action == "block"),
            ),
        ),
        tenant=(Tenant(name="north", networks=("192.0.2.0/24",), policy="schools"),),
        zone=tuple(Zone(names=(to_text(name),), group="g", block=block) for name, block in zones.items()),
    )
    policy = Policy(config, overrides.rules(0))
    with tempfile.TemporaryDirectory() as folder:
        blockset = make(feeds, {}, folder)
        records = published(blockset, config, overrides, passes=passes)
        named = {name for feed in feeds for name in feed} | set(zones)
        named |= {from_text(text.removeprefix("*.")) for text in (*allow, *said, *own)}
        for name in {above for low in named for above in ancestors(low)}:
            for qname in (name, b"\1a" + name, b"\1z" + name, b"\1z\1z" + name):
                if qname != ROOT:
                    found = read(records, qname)
                    assert (found == BLOCKED) == is_blocked(blockset, config, policy, qname), to_text(qname)
                    if passes and policy.allows(SCHOOLS, qname) and found != BLOCKED:
                        assert found == PASSED, to_text(qname)


RECORD = st.builds(
    lambda star, name: b"\x01*" * star + name[:-1] + b"\xc0\x0c\0\x05\0\1\0\0\0\x3c\0\1\0", st.booleans(), NAME
)  # fmt: skip
ZONE = st.sets(RECORD, max_size=40).map(lambda records: sorted(records, key=sort_key))


def in_blocks(records: list[bytes], size: int) -> list[RecordBlock]:
    return [RecordBlock(len(part), b"".join(part)) for part in (records[at : at + size] for at in range(0, len(records), size))]


@examples(300)
@given(ZONE, ZONE, st.integers(1, 9), st.integers(1, 9))
def test_differences_lead_from_one_version_to_the_other(old: list[bytes], new: list[bytes], before: int, after: int) -> None:
    """However the two are divided into blocks: what is removed was there, what is added was not, each once and in order."""
    removed: list[bytes] = []
    added: list[bytes] = []
    for _ in differences(in_blocks(old, before), in_blocks(new, after), removed.append, added.append):
        pass
    assert removed == [record for record in old if record not in new]
    assert added == [record for record in new if record not in old]


@examples(100)
@given(st.lists(ZONE, min_size=2, max_size=6))
def test_blocks_hold_all_records(zones: list[list[bytes]]) -> None:
    """Records divided into blocks are the same records."""
    for zone in zones:
        assert [record for block in blocks_of(zone * 50) for record in split(block.data)] == zone * 50


@examples(50)
@given(st.dictionaries(NAME, st.integers(0, 2**31), max_size=60), st.integers(1, 7))
def test_more_keys_than_fit_are_sorted(keys: dict[bytes, int], run: int) -> None:
    """In runs of a few keys: all keys in order, each with its number, and no file stays."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("feeds.publish.sorting.RUN_KEYS", run)
        assert list(sorted_keys(keys.items(), len(keys), Path(folder))) == sorted(keys.items())
        assert list(Path(folder).iterdir()) == []
