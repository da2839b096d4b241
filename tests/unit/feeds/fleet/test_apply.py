"""Texts of a release: the shortest way, the other ways when something is damaged, and nothing else than what was signed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from feeds.fleet.apply import Applier, UnusableRelease, chains
from feeds.fleet.node_record import NodeDirectory, policy_text
from feeds.fleet.packed import path_of
from feeds.fleet.release import Release
from feeds.fleet.stored import NotFound
from tests.unit.feeds.fleet.smallpublisher import SmallPublisher, text_of

FIRST, SECOND, THIRD = (text_of(*(f"n{number}.example" for number in range(size))) for size in (50, 51, 53))


class Directory:
    """The objects of a publisher, read without a store."""

    def __init__(self, publisher: SmallPublisher) -> None:
        self.root = publisher.store
        self.asked: list[str] = []

    async def object(self, path: str, size_bytes: int) -> bytes:
        self.asked.append(path)
        try:
            return (self.root / path).read_bytes()[: size_bytes + 1]
        except FileNotFoundError:
            raise NotFound(path) from None


class Node:
    def __init__(self, tmp_path: Path, publisher: SmallPublisher) -> None:
        self.directory = NodeDirectory(tmp_path / "node")
        (tmp_path / "node").mkdir(exist_ok=True)
        self.directory.prepare()
        self.source = Directory(publisher)

    def bring(self, release: Release) -> list[str]:
        """The objects that were fetched for it."""
        self.source.asked.clear()
        asyncio.run(Applier(self.directory, self.source).bring(release))
        for feed in release.feeds:
            assert self.directory.is_sound(feed.text)
        return list(self.source.asked)


@pytest.fixture
def publisher(tmp_path: Path) -> SmallPublisher:
    return SmallPublisher(tmp_path / "publisher")


@pytest.fixture
def node(tmp_path: Path, publisher: SmallPublisher) -> Node:
    return Node(tmp_path, publisher)


def test_a_change_costs_one_difference(publisher: SmallPublisher, node: Node) -> None:
    """The first release comes whole, the next ones as lines; the policy comes once."""
    first = publisher.publish({"a": FIRST})
    assert first.policy is not None
    assert node.bring(first) == [path_of(first.feeds[0].full.sha256), path_of(first.policy.sha256)]
    assert node.directory.text(policy_text(first)).read_text() == publisher.policy
    second = publisher.publish({"a": SECOND})
    assert node.bring(second) == [path_of(second.feeds[0].deltas[0].object.sha256)]
    assert node.bring(second) == []
    assert node.directory.text(second.feeds[0].text).read_bytes() == SECOND


def test_a_node_that_was_away_takes_the_chain(tmp_path: Path, publisher: SmallPublisher, node: Node) -> None:
    """From whatever text it has; without any, from the full one."""
    node.bring(publisher.publish({"a": FIRST}))
    publisher.publish({"a": SECOND})
    third = publisher.publish({"a": THIRD})
    deltas = [path_of(delta.object.sha256) for delta in third.feeds[0].deltas]
    assert node.bring(third) == deltas
    (tmp_path / "fresh").mkdir()
    fresh = Node(tmp_path / "fresh", publisher)
    assert fresh.bring(third)[:3] == [path_of(third.feeds[0].full.sha256), *deltas]


def test_a_full_text_ends_old_chains(publisher: SmallPublisher, node: Node) -> None:
    """A node takes the new full text when no difference leads from what it has, or when that costs more."""
    node.bring(publisher.publish({"a": FIRST}))
    publisher.publish({"a": text_of(*(f"other{number}.example" for number in range(5000)))})
    third = publisher.publish({"a": SECOND}, full=True)
    assert node.bring(third) == [path_of(third.feeds[0].full.sha256)]


def test_a_damaged_difference_is_replaced_by_the_full_text(publisher: SmallPublisher, node: Node) -> None:
    """Whatever is wrong with an object on the shortest way, the others are tried; so is a missing one."""
    node.bring(publisher.publish({"a": FIRST}))
    second = publisher.publish({"a": SECOND})
    delta = path_of(second.feeds[0].deltas[0].object.sha256)
    full = publisher.put(SECOND)
    feed = replace(second.feeds[0], full=full, full_text=second.feeds[0].text)
    second = replace(second, feeds=[feed])
    publisher.write(delta, b"<html>not found</html>")
    assert node.bring(second) == [delta, path_of(full.sha256)]


def test_nothing_else_than_what_was_signed_gets_in(publisher: SmallPublisher, node: Node) -> None:
    """An object that is damaged, of other content, or larger than signed is refused; what is here stays."""
    first = publisher.publish({"a": FIRST})
    full = path_of(first.feeds[0].full.sha256)
    whole = (publisher.store / full).read_bytes()
    for damaged in (whole[:-1], whole + b"x", b"", bytes((whole[0] ^ 1,)) + whole[1:]):
        publisher.write(full, damaged)
        with pytest.raises(UnusableRelease, match=r"feed a: object .*not the bytes that the release names"):
            node.bring(first)
    publisher.write(full, whole)
    assert node.bring(first)
    assert [path.name for path in node.directory.path.glob("texts/*.tmp*")] == []


def test_a_text_that_was_damaged_on_the_disk_is_fetched_anew(publisher: SmallPublisher, node: Node) -> None:
    """Its hash is compared before it is used again."""
    first = publisher.publish({"a": FIRST})
    node.bring(first)
    node.directory.text(first.feeds[0].text).write_bytes(b"damaged")
    assert path_of(first.feeds[0].full.sha256) in node.bring(first)


def test_ways_are_ordered_by_cost(publisher: SmallPublisher) -> None:
    """Each way ends at the text; the cheapest one is first; without any text here there is only the one from the full text."""
    for text in (FIRST, SECOND, THIRD):
        release = publisher.publish({"a": text})
    (feed,) = release.feeds
    assert [len(way) for way in chains(feed, set())] == [3]
    ways = chains(feed, {feed.deltas[0].after})
    assert [len(way) for way in ways] == [1]
    assert all(way[-1].after == feed.text for way in ways)
    assert chains(feed, {feed.text}) == []
