"""A node that follows a real publisher, each in this process: what it compiles, what it counts, where it goes back to."""

from __future__ import annotations

import asyncio
import io
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from feeds.annotations import NameAnnotation
from feeds.fleet.entries_text import NAME, Said, TextEntry, write_text
from feeds.fleet.release import Urgent
from pdns.config.schema import Config
from pdns.core.listing import BLOCK_SUBTREE
from pdns.state import feed_status, overrides
from pdns.state.overrides import Disabled, Indicator
from pdns.wire.names import from_text, reversed_key
from tests.unit.feeds.configs import blockers
from tests.unit.feeds.fleet.publishing import Fleet, Publisher
from tests.unit.feeds.fleet.smallnode import SmallNode
from tests.unit.feeds.fleet.smallpublisher import SmallPublisher, text_of

NAMES = tuple(f"host{at}.example" for at in range(40))


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


@pytest.fixture
def node(fleet: Fleet) -> SmallNode:
    return SmallNode(fleet.directory / "node", fleet.store.as_uri(), fleet.keys / "root.json")


@asynccontextmanager
async def both(fleet: Fleet, node: SmallNode, config: Config) -> AsyncIterator[Publisher]:
    """The node has release 1 of the publisher."""
    async with fleet.publisher(config) as publisher, node.started():
        await publisher.released(1)
        await node.until(lambda: node.status.release == 1)
        yield publisher


async def follows(publisher: Publisher, node: SmallNode, number: int) -> None:
    """The publisher has made release `number`, and the node uses it."""
    await publisher.released(number)
    await publisher.role.promote(number, "all")
    await node.until(lambda: node.status.release == number)


@pytest.mark.long
def test_a_node_compiles_the_files_of_its_publisher(fleet: Fleet, node: SmallNode) -> None:
    """So it is with each release, also with one more feed, after it went back, and after its process has started anew."""
    lists = fleet.list("a", *NAMES), fleet.list("b", "b.example", NAMES[3])
    config = fleet.config("state", *lists)

    async def run() -> None:
        async with both(fleet, node, config) as publisher:
            assert not node.status.compiled_differs
            fleet.list("a", *NAMES[:-5], "new.example")
            await publisher.scheduler.refresh_once()
            await follows(publisher, node, 2)
            assert not node.status.compiled_differs
            compiled = node.status.compiled_sha256
            fleet.list("b", "other.example", NAMES[7])
            await publisher.use(fleet.config("state", fleet.list("c", "c.example", NAMES[9]), *lists))
            await follows(publisher, node, 3)
            assert blockers(node.state_dir, NAMES[9]) == {"a", "c"}
            assert not node.status.compiled_differs
            role = node.member._node
            assert role is not None
            role._harm = "a test"
            role._now.set()
            await node.until(lambda: node.status.release == 2)
            assert blockers(node.state_dir, "new.example") == {"a"}
            assert blockers(node.state_dir, "other.example") == set()
            assert (node.status.compiled_sha256, node.status.compiled_differs) == (compiled, False)
        async with node.started():
            await node.until(lambda: node.status.polls.get("unchanged", 0) > 0)
            assert (node.status.release, node.status.compiled_sha256, node.status.compiled_differs) == (2, compiled, False)

    asyncio.run(run())


def test_updates_are_timed_from_the_publishers_fetcher(fleet: Fleet, node: SmallNode) -> None:
    """A feed whose text is another one counts, from when the publisher's fetcher saw it; others and a first release do not."""
    config = fleet.config("state", fleet.list("a", *NAMES), fleet.list("b", "b.example"))

    async def run() -> None:
        async with both(fleet, node, config) as publisher:
            assert _timed(node) == []
            fleet.list("a", *NAMES, "new.example")
            await publisher.scheduler.refresh_once()
            (seen,) = publisher.scheduler.updates.latest
            await follows(publisher, node, 2)
            ((feed, generation, seen_boot_s),) = _timed(node)
            assert (feed, generation) == ("a", node.scheduler.live.generation)
            assert abs(seen_boot_s - seen.seen_boot_s) < 1.0

    asyncio.run(run())


def _timed(node: SmallNode) -> list[tuple[str, int, float]]:
    status = feed_status.read(node.state_dir)
    assert status is not None
    return [(one.feed, one.generation, one.seen_boot_s) for one in status.updates]


def test_what_has_expired_since_makes_no_difference(tmp_path: Path) -> None:
    """Names that have expired since the publisher compiled them are not listed here; that is no sign of another program."""
    publisher = SmallPublisher(tmp_path / "publisher")
    node = SmallNode(tmp_path / "node", publisher.store.as_uri(), publisher.root_file)
    out, said = io.BytesIO(), Said(BLOCK_SUBTREE, 20_000, NameAnnotation(expires_s=time.time() - 60.0))
    write_text(out, [TextEntry(NAME, reversed_key(from_text("gone.example")), said)])

    async def run() -> None:
        async with node.started():
            publisher.publish({"a": text_of("one.example")}, compiled="0" * 64)
            await node.until(lambda: node.status.release == 1)
            assert node.status.compiled_differs
            publisher.publish({"a": out.getvalue()}, compiled="0" * 64)
            await node.until(lambda: node.status.release == 2)
            assert blockers(node.state_dir, "gone.example") == set()
            assert not node.status.compiled_differs

    asyncio.run(run())


def test_pin_and_unpin(tmp_path: Path) -> None:
    """A pinned node stays at its release, also after a restart, and takes entries all the same; then it follows again."""
    publisher = SmallPublisher(tmp_path / "publisher")
    node = SmallNode(tmp_path / "node", publisher.store.as_uri(), publisher.root_file)
    entry = Indicator(name="urgent.example", action="block", reason="seen", author="alice", added_s=time.time())

    async def run() -> None:
        async with node.started():
            publisher.publish({"a": text_of("one.example")})
            await node.until(lambda: node.status.release == 1)
            assert "not pinned" in await node.command("fleet-unpin")
            assert "stays at release 1" in await node.command("fleet-pin", reason="exams")
            assert "on the publisher" in await node.command("fleet-promote", fleet_release=1, ring="all")
            publisher.urgent = Urgent(revision=1, indicators=(entry,))
            publisher.publish({"a": text_of("two.example")})
            await node.until(lambda: node.status.sequence == 2)
            assert (node.status.release, node.status.wanted_release, node.status.pinned_reason) == (1, 2, "exams")
        async with node.started():
            await node.until(lambda: node.status.polls.get("changed", 0) > 0)
            assert node.status.release == 1
            assert [one.name for one in overrides.read(node.state_dir).indicators] == ["urgent.example"]
            assert "follows the publisher again" in await node.command("fleet-unpin")
            await node.until(lambda: node.status.release == 2)
            assert blockers(node.state_dir, "two.example") == {"a"}

    asyncio.run(run())


@pytest.mark.long
def test_a_server_changes_its_part(tmp_path: Path, fleet: Fleet) -> None:
    """A node becomes a server of its own, a node again, a publisher, and a node again, on one state directory: its lists are
    always those of its part, and what the publisher decided ends with it.
    """
    publisher = SmallPublisher(tmp_path / "publisher")
    node = SmallNode(tmp_path / "node", publisher.store.as_uri(), publisher.root_file)
    entry = Indicator(name="urgent.example", action="block", reason="seen", author="alice", added_s=time.time())
    publisher.urgent = Urgent(revision=1, indicators=(entry,))
    (tmp_path / "node/own.txt").write_text("own.example\n")
    own = '[[feed]]\nname = "own"\nurl = "file:own.txt"\nguard = "off"\n'

    async def as_node() -> None:
        node.configure("node")
        await node.load()
        await node.until(lambda: node.scheduler.live.generation > 0 and blockers(node.state_dir, "one.example") == {"a"})
        await node.until(lambda: [one.name for one in overrides.read(node.state_dir).indicators] == ["urgent.example"])
        assert blockers(node.state_dir, "own.example") == set()
        assert "decides what lists say" in await node.command("hold", feed="a", reason="x")

    async def as_itself(role: str, more: str = "") -> None:
        node.configure(role, more + own)
        await node.load()
        await node.until(lambda: blockers(node.state_dir, "own.example") == {"own"})
        assert blockers(node.state_dir, "one.example") == set()
        assert overrides.read(node.state_dir).indicators == ()
        assert "decides what lists say" not in await node.command("hold", feed="a", reason="x")

    async def run() -> None:
        publisher.publish({"a": text_of("one.example")})
        async with node.started():
            await as_node()
            await as_itself("standalone")
            assert "no fleet" in await node.command("fleet-pin", reason="x")
            await as_node()
            keys = f'keys_dir = "{fleet.keys}"\n'
            node.store = fleet.store.as_uri()
            await as_itself("publisher", keys)
            await node.until(lambda: node.status.role == "publisher" and node.status.release == 1)
            node.store = publisher.store.as_uri()
            await as_node()
            assert node.status.role == "node"
        async with node.started():  # it was a node when it ended
            await node.until(lambda: blockers(node.state_dir, "one.example") == {"a"})

    asyncio.run(run())


def test_what_is_lost_is_fetched_again(tmp_path: Path) -> None:
    """Texts and lists that are lost while it is stopped come from the store again, without a new release."""
    publisher = SmallPublisher(tmp_path / "publisher")
    node = SmallNode(tmp_path / "node", publisher.store.as_uri(), publisher.root_file)

    async def run() -> None:
        publisher.publish({"a": text_of("one.example")})
        async with node.started():
            await node.until(lambda: node.status.release == 1)
        for lost in ("fleet/texts", "feeds", "blocksets"):
            shutil.rmtree(node.state_dir / lost)
        async with node.started():
            await node.until(lambda: node.scheduler.live.generation > 0 and blockers(node.state_dir, "one.example") == {"a"})
            assert node.status.release == 1

    asyncio.run(run())


def test_a_kill_switch_does_not_wait_for_a_release(tmp_path: Path) -> None:
    """Entries that come while a release is compiled are in force at once; a release that comes meanwhile is the next one."""
    publisher = SmallPublisher(tmp_path / "publisher")
    node = SmallNode(tmp_path / "node", publisher.store.as_uri(), publisher.root_file)
    off = Disabled(reason="bad list", author="alice", since_s=time.time(), until_s=time.time() + 3600)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with node.started():
            publisher.publish({"a": text_of("one.example")})
            await node.until(lambda: node.status.release == 1)
            bring_in = node.scheduler.bring_in

            async def slowly(texts: Mapping[str, Path]) -> str:
                begun.set()
                await go_on.wait()
                return await bring_in(texts)

            node.scheduler.bring_in = slowly  # type: ignore[method-assign]
            publisher.publish({"a": text_of("two.example")})
            await begun.wait()
            publisher.urgent = Urgent(revision=1, disabled={"a": off})
            publisher.publish({"a": text_of("three.example")})
            await node.until(lambda: "a" in overrides.read(node.state_dir).disabled)
            assert (node.status.release, begun.is_set(), go_on.is_set()) == (1, True, False)
            go_on.set()
            await node.until(lambda: node.status.release == 3)
            await node.until(lambda: node.status.sequence == 3)

    asyncio.run(run())
