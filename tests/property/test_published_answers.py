"""A published zone gives the answers of feeds that have answers of their own, and no feed's say on what another excepts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from feeds.jobs import Published, PublishJob
from feeds.publish import make
from feeds.publish.records import PolicyRecord, data_of, given_data, parts, split
from feeds.publish.selection import blocking_feeds, layers
from feeds.publish.zone_file import ZoneReader
from pdns.blockset.reader import Blockset
from pdns.config.policies import policies_at
from pdns.config.schema import Block, Config, Feed
from pdns.core.given import EVERY_FEED
from pdns.core.listing import BLOCK_BELOW, BLOCK_NAME, ListedAction
from pdns.core.policy import Decision, Policy
from pdns.state.overrides import Overrides
from pdns.wire.names import from_text, to_text
from tests.blocksets import compile_parsed
from tests.effort import examples
from tests.property.test_actions import ACTION, LISTED, Listed, Networks, parsed_of
from tests.rpz import rpz_feed
from tests.unit.feeds.publish import reading
from tests.unit.feeds.publish.reading import CLEAN, PASSED

SETTINGS = ["given", "given", "policy", "nodata", "monitor", "off"]
NETWORK = st.sampled_from([b"\xc0\0\2\0\x18", b"\xc0\0\2\0\x19", b"\xc0\0\2\1\x20", b"\xc0\0\2\2\x20"])
LISTS = st.lists(
    st.tuples(st.sampled_from(SETTINGS), LISTED, st.dictionaries(NETWORK, st.none() | ACTION)), min_size=1, max_size=3
)
NAMES = ["test", "a.test", "b.a.test", "c.b.a.test", "d.c.b.a.test", "x.a.test", "x.b.a.test", "b.test", "x.b.test", "x.test"]
PASSTHRU = ListedAction("passthru")
BOTH = BLOCK_NAME | BLOCK_BELOW


def written(directory: Path, config: Config, *, addresses: bool) -> list[PolicyRecord]:
    """The records of the zone of everyone's policy."""
    policies = policies_at(config, 0.0)
    settings = policies.settings["default"]
    job = PublishJob(
        directory=str(directory), zone="rpz.example", serial=1, settings="", blockset=str(directory / "blockset"),
        feeds=blocking_feeds(config, settings, Overrides()),
        given=[feed.name for feed in config.feed if feed.rpz_action == "given"],
        layers=layers(config, settings, policies.everyones, Overrides()),
        addresses=addresses, action="nxdomain", sinkhole=[], ttl_s=60, refresh_s=60, expire_s=600, text=True,
    )  # fmt: skip
    assert isinstance(make.publish(job), Published)
    zone = ZoneReader(directory / make.ZONE)
    try:
        return [parts(record) for block in zone.blocks() for record in split(block.data)][1:]  # without the NS record
    finally:
        zone.close()


def answers(records: list[PolicyRecord]) -> dict[bytes, str]:
    """Owner -> all that is said at it."""
    found: dict[bytes, list[tuple[int, bytes]]] = {}
    for owner, rtype, data in records:
        found.setdefault(owner, []).append((rtype, data))
    return {owner: PASSED if said == [(5, b"\x0crpz-passthru\0")] else str(sorted(said)) for owner, said in found.items()}


def expected(decision: Decision) -> str:
    if decision.verdict is None:
        return CLEAN
    given = decision.given
    honoured = given is not None and decision.verdict.feed.startswith("given")
    return str(sorted(set(given_data(given) if given is not None and honoured else data_of("nxdomain"))))


@pytest.mark.parametrize("addresses", [False, True])
@pytest.mark.parametrize("read", [reading.longest, reading.closest])
@examples(150)
@given(LISTS, st.booleans())
@example(
    [
        ("given", {from_text("a.test"): (BLOCK_NAME, PASSTHRU, None)}, {}),
        ("policy", {from_text("a.test"): (BOTH, None, None)}, {}),
    ],
    False,
)
@example([("policy", {}, {b"\xc0\0\2\0\x18": None, b"\xc0\0\2\1\x20": PASSTHRU})], False)
def test_answers_are_those_of_the_publisher(
    read: Callable[[Mapping[bytes, str], bytes], str],
    addresses: bool,
    lists: list[tuple[str, Listed, Networks]],
    excepts: bool,
) -> None:
    """Of names and of addresses, for any feeds, whether their answers count or not, with both readings of wildcards."""
    feeds = tuple(
        Feed(
            name=f"{how}{number}", url="file:///zone", format="rpz", addresses=True,
            rpz_action="policy" if how in ("monitor", "off") else how,  # type: ignore[arg-type]
            mode="monitor" if how == "monitor" else "block",
        )
        for number, (how, _, _) in enumerate(lists) if how != "off"
    )  # fmt: skip
    config = Config(feed=feeds, block=Block(action="nxdomain", allow=("c.b.a.test",) if excepts else ()))
    policy = Policy(config, Overrides().rules(0))
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        parsed = [
            (rpz_feed(f"{how}{number}"), parsed_of(listed, networks)) for number, (how, listed, networks) in enumerate(lists)
        ]
        compile_parsed(parsed, directory / "blockset", generation=1, created_s=0.0)
        blockset = Blockset.open(directory / "blockset")
        records = answers(written(directory, config, addresses=addresses))
        for name in map(from_text, NAMES):
            decision = policy.decide(blockset, 0, name)
            found = read(records, name)
            assert (CLEAN if found == PASSED else found) == expected(decision), to_text(name)
            if decision.stops_at != EVERY_FEED and decision.verdict is None and any(b"rpz-ip" in owner for owner in records):
                assert found == PASSED, to_text(name)
        for last in (0, 1, 2, 3, 127, 128, 255) if addresses else ():
            decision = policy.decide_address(blockset, 0, bytes((192, 0, 2, last)), from_text("free.example"))
            found = of_address(records, f"192.0.2.{last}")
            assert (CLEAN if found == PASSED else found) == expected(decision), last


def of_address(records: Mapping[bytes, str], address: str) -> str:
    """What the longest network says that holds `address`."""
    for bits in range(32, -1, -1):
        network = ip_network(f"{address}/{bits}", strict=False)
        owner = f"{bits}.{'.'.join(reversed(str(network.network_address).split('.')))}.rpz-ip"
        if (found := records.get(from_text(owner))) is not None:
            return found
    return CLEAN
