"""A publisher with real lists and a store in a directory; what it publishes is read as TUF demands."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import zstandard
from msgspec.structs import replace

from feeds.fleet import trust
from feeds.fleet.garbage import KEPT_DAYS
from feeds.fleet.publisher_role import SIGNED_AGAIN, SIGNED_AT_LEAST_S
from feeds.refusals import RefusedError
from pdns.clock import steady_s
from pdns.config.fleet_schema import FleetSection
from pdns.config.schema import Block, Config
from pdns.state import fleet_status
from pdns.state.commands import Command
from tests.unit.feeds.fleet.publishing import Fleet


def in_a_loop(test: Callable[[Fleet], Awaitable[None]]) -> Callable[[Path], None]:
    """The test in an event loop, with a fleet in `tmp_path`."""

    def run(tmp_path: Path) -> None:
        asyncio.run(test(Fleet(tmp_path)))  # type: ignore[arg-type]  # it is a coroutine

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def order(command: str, **said: object) -> Command:
    return Command(command=command, user="admin", reason="a false positive", **said)  # type: ignore[arg-type]


@in_a_loop
async def test_releases_and_rings(fleet: Fleet) -> None:
    """A change is a small delta for ring first. It is promoted, rolled back, and made again after unpin. No key and no place of a
    list is in the store.
    """
    config = fleet.config("state", fleet.list("a", *(f"host{at}.example" for at in range(3000))), fleet.list("b", "b.example"))
    reader = fleet.reader()
    async with fleet.publisher(config) as publisher:
        await publisher.released(1)
        assert len(reader.lines()["a"]) == 3000
        assert tomllib.loads(reader.unpacked(reader.release().policy).decode())["feed"][0] == {"name": "a", "url": "fleet:a"}  # type: ignore[arg-type]
        whole_bytes, reader.read_bytes = reader.read_bytes, 0
        fleet.list("a", *(f"host{at}.example" for at in range(5, 3000)), "new.example")
        await publisher.scheduler.refresh_once()
        await publisher.released(2)
        lines = reader.lines("first")
        assert b"N7example3new" in lines["a"]
        assert reader.read_bytes < whole_bytes / 5
        assert b"N7example3new" not in reader.lines("all")["a"]
        assert lines["b"] == [b"N7example1b"]
        assert reader.release("first").feeds[1] == reader.release("all").feeds[1]
        assert "first 2, early 2, all 2" in await publisher.role.promote(2, "all")
        assert reader.release().number == 2
        assert "content of release 1" in await publisher.role.rollback(1)
        assert (reader.release().number, reader.release().rolled_back_to) == (3, 1)
        assert b"N7example3new" not in reader.lines("all")["a"]
    async with fleet.publisher(config) as publisher:
        await publisher.until(lambda: publisher.role.is_idle)
        fleet.list("b", "b.example", "c.example")
        await publisher.scheduler.refresh_once()
        await asyncio.sleep(1.0)
        assert reader.release("first").number == 3
        await publisher.role.unpin()
        await publisher.released(4)
        assert (len(reader.lines("first")["b"]), len(reader.lines("all")["b"])) == (2, 1)
        for refused, reason in (
            (publisher.role.promote(99, "all"), "no release 99"),
            (publisher.role.promote(1, "all"), "rollback"),
        ):
            with pytest.raises(RefusedError, match=reason):
                await refused
    secrets = [path.read_bytes().split(b"\n")[1] for path in fleet.keys.glob("*.pem")] + [str(fleet.lists).encode()]
    assert len(secrets) == 3
    for path in (path for path in fleet.store.rglob("*") if path.is_file()):
        data = path.read_bytes()
        text = zstandard.ZstdDecompressor().decompress(data) if path.suffix == ".zst" else data
        assert not any(secret in text for secret in secrets), path
    status = fleet_status.read(Path(config.state.dir))
    assert status is not None
    assert (status.role, status.release, status.rings) == ("publisher", 4, {"first": 4, "early": 3, "all": 3})


@pytest.mark.long
@in_a_loop
async def test_soak_and_veto(fleet: Fleet) -> None:
    """Heartbeats let a release go on, or keep it where it is; one in another node's name counts for nothing."""
    config = fleet.config("state", fleet.list("a", "a.example"), soak_s=0.5)
    reader = fleet.reader()
    async with fleet.publisher(config) as publisher:
        await publisher.released(1)
        fleet.beat("n1", "first", 1)
        for number, refused in ((2, (2,)), (3, ())):
            fleet.list("a", "a.example", f"new{number}.example")
            await publisher.scheduler.refresh_once()
            await publisher.released(number)
            fleet.beat("n1", "first", number - len(refused), *refused)
            shutil.copy(fleet.store / "nodes" / "n1.json", fleet.store / "nodes" / "n2.json")
            if refused:
                await publisher.until(lambda: bool(publisher.role.status().nodes and publisher.role.status().nodes[0].refused))
                await asyncio.sleep(1.0)
                assert reader.release("early").number == 1
        await publisher.until(lambda: publisher.role.status().rings == {"first": 3, "early": 3, "all": 3})
        await publisher.released(3)
        assert [node.node for node in publisher.role.status().nodes] == ["n1"]
        assert reader.release("all").number == 3


@in_a_loop
async def test_urgent(fleet: Fleet) -> None:
    """A local entry and a kill switch are in the store at once, before any build; so is a new policy."""
    config = fleet.config("state", fleet.list("a", "a.example"))
    reader = fleet.reader()
    async with fleet.publisher(config) as publisher:
        await publisher.released(1)
        before = reader.sequence()
        outcome = await publisher.scheduler.carry_out(order("allow", name="a.example"))
        assert outcome.done, outcome.text
        await publisher.scheduler.carry_out(order("disable", feed="a", for_s=60.0))
        await publisher.released(1)
        urgent = reader.urgent()
        assert [(entry.name, entry.action) for entry in urgent.indicators] == [("a.example", "allow")]
        assert list(urgent.disabled) == ["a"]
        assert urgent.revision > 0
        assert before < reader.sequence() <= before + 2
        assert reader.release("first").number == 1
        changed = fleet.config("state", fleet.list("a", "a.example"))
        await publisher.use(_with_block(changed))
        await publisher.released(2)
        bundle = reader.release("first").policy
        assert bundle is not None
        assert tomllib.loads(reader.unpacked(bundle).decode())["block"] == {"allow": ["fine.example"]}
        assert reader.release("first").feeds == reader.release("all").feeds


def test_an_idle_publisher_raises_no_alert() -> None:
    """Nothing changes for a day: the pointer is signed again long before `PdnsFleetPointerOld` counts it as held back."""
    alerts = (Path(__file__).parents[4] / "deploy" / "prometheus" / "alerts.yml").read_text()
    found = re.search(r"pdns_fleet_pointer_age_seconds > ([0-9]+)", alerts)
    assert found is not None
    longest_s = min(SIGNED_AT_LEAST_S, FleetSection().pointer_valid_s / SIGNED_AGAIN)
    assert 2 * longest_s < int(found[1])


def _with_block(config: Config) -> Config:
    return replace(config, block=Block(allow=("fine.example",)))


@pytest.mark.long
@in_a_loop
async def test_two_publishers(fleet: Fleet) -> None:
    """A second publisher goes on from what the store has. The first one stops and says so, until it takes over."""
    config = fleet.config("one", fleet.list("a", "a.example"))
    reader = fleet.reader()
    async with fleet.publisher(config) as first:
        await first.released(1)
        async with fleet.publisher(fleet.config("two", fleet.list("b", "b.example"))) as second:
            await second.released(2)
            assert (reader.sequence(), reader.release("first").number, reader.release("all").number) == (3, 2, 1)
            await first.scheduler.carry_out(order("block", name="urgent.example"))
            await first.until(lambda: first.role.status().fenced)
            assert "take-over" in first.role.status().last_error
            with pytest.raises(RefusedError, match="take-over"):
                await first.role.pin("why")
            assert reader.urgent().indicators == ()
            assert not second.role.status().fenced
        assert first.role.status().published["fenced"] == 1
    async with fleet.publisher(config) as first:
        await first.until(lambda: bool(first.role.status().last_error))
        assert first.role.status().fenced
        assert "pointer 4" in await first.role.take_over()
        await first.until(lambda: first.role.is_idle and not first.role.status().last_error)
        assert [entry.name for entry in reader.urgent().indicators] == ["urgent.example"]
        assert reader.release("first").number > 2
        assert reader.lines("first")


@pytest.mark.long
@in_a_loop
async def test_store_is_away_or_emptied(fleet: Fleet) -> None:
    """Without the store this server goes on blocking, and publishes when it is back; an emptied store gets everything again."""
    config = fleet.config("state", fleet.list("a", "a.example"))
    async with fleet.publisher(config) as publisher:
        await publisher.released(1)
        away = fleet.store.with_name("away")
        fleet.store.rename(away)
        fleet.store.write_text("not a directory")
        fleet.list("a", "a.example", "b.example")
        await publisher.scheduler.refresh_once()
        assert publisher.scheduler.live.entries == 2
        await publisher.until(lambda: bool(publisher.role.status().last_error))
        fleet.store.unlink()
        away.rename(fleet.store)
        await publisher.released(2)
        await publisher.until(lambda: not publisher.role.status().last_error)
        assert len(fleet.reader().lines("first")["a"]) == 2
        for path in fleet.store.iterdir():
            shutil.rmtree(path)
        fleet.list("a", "a.example", "b.example", "c.example")
        await publisher.scheduler.refresh_once()
        await publisher.until(lambda: publisher.role.status().release >= 3 and publisher.role.is_idle)
        assert len(fleet.reader("another").lines("first")["a"]) == 3
    shutil.rmtree(fleet.store / "metadata")
    async with fleet.publisher(config) as publisher:
        await publisher.until(lambda: publisher.role.status().release >= 4 and publisher.role.is_idle)
        assert fleet.reader("third").sequence() > 3


@in_a_loop
async def test_keys_are_replaced_while_it_runs(fleet: Fleet) -> None:
    """A new online key is used as soon as root.json lists it; nodes with the first root metadata follow."""
    config = fleet.config("state", fleet.list("a", "a.example"))
    (root_key,) = fleet.keys.glob("root-*.pem")
    reader = fleet.reader()
    async with fleet.publisher(config) as publisher:
        await publisher.released(1)
        sequence = reader.sequence()
        trust.rotate(fleet.keys, "online", now_s=steady_s())
        trust.sign(fleet.keys, root_key)
        await publisher.until(lambda: publisher.role.status().sequence > sequence)
        await publisher.released(1)
        assert reader.sequence() > sequence
        assert (fleet.store / "metadata" / "2.root.json").exists()


@pytest.mark.long
@in_a_loop
async def test_pointer_is_signed_again_and_garbage_collected(fleet: Fleet) -> None:
    """The pointer is signed again before it expires. What is old and not needed is deleted, everything else stays."""
    config = fleet.config("state", fleet.list("a", "a.example"), pointer_valid_s=3.0)
    reader = fleet.reader()
    junk = fleet.store / "objects" / f"{'0' * 64}.zst"
    async with fleet.publisher(config) as publisher:
        await publisher.released(1)
        needed = {str(path.relative_to(fleet.store)) for path in fleet.store.rglob("*.*") if path.is_file()}
        first = reader.sequence()
        await publisher.until(lambda: publisher.role.status().published.get("signed", 0) >= 2)
        assert reader.sequence() >= first + 2
        assert reader.release().number == 1
    junk.write_bytes(b"")
    young = fleet.store / "objects" / f"{'1' * 64}.zst"
    young.write_bytes(b"")
    old_s = steady_s() - (KEPT_DAYS + 1) * 86400
    for path in fleet.store.rglob("*.*"):
        if path.is_file() and path != young:
            os.utime(path, (old_s, old_s))
    async with fleet.publisher(config) as publisher:
        await publisher.until(lambda: not junk.exists())
        before = reader.sequence()
        await publisher.until(lambda: publisher.role.status().sequence > before)
        assert reader.lines()["a"] == [b"N7example1a"]
    left = {str(path.relative_to(fleet.store)) for path in fleet.store.rglob("*.*") if path.is_file()}
    assert young.exists()
    assert "metadata/1.root.json" in left
    assert needed - left == {"metadata/1.snapshot.json", "metadata/1.targets.json"}


@in_a_loop
async def test_first_release_has_all_lists(fleet: Fleet) -> None:
    """A list that was fetched and is not compiled yet is waited for: every ring gets the first release at once."""
    config = fleet.config("state", fleet.list("a", "a.example"))
    later = fleet.config("state", fleet.list("a", "a.example"), fleet.list("b", "b.example"))
    async with fleet.publisher(config) as publisher:
        pass
    shutil.rmtree(Path(config.state.dir) / "fleet")
    shutil.rmtree(fleet.store)
    fleet.store.mkdir()
    async with fleet.publisher(config, start=False) as publisher:
        await publisher.role.configure(later)
        await publisher.scheduler.configure(later)
        publisher.scheduler.publisher.pause()
        refreshing = asyncio.get_running_loop().create_task(publisher.scheduler.refresh_once())
        await publisher.until(lambda: not publisher.scheduler.without_copy(["a", "b"]))
        publisher.start()
        await asyncio.sleep(1.0)
        publisher.scheduler.publisher.let_go()
        await refreshing
        await publisher.released(1)
        assert [feed.name for feed in fleet.reader().release().feeds] == ["a", "b"]


@pytest.mark.long
@in_a_loop
async def test_publisher_is_lost(fleet: Fleet) -> None:
    """One that starts without the old state keeps what nodes have: kill switches, and lists that it cannot fetch yet."""
    config = fleet.config("lost", fleet.list("a", "a.example"), fleet.list("b", "b.example"))
    reader = fleet.reader()
    async with fleet.publisher(config) as publisher:
        await publisher.released(1)
        await publisher.scheduler.carry_out(order("allow", name="fine.example"))
        await publisher.scheduler.carry_out(order("disable", feed="a", for_s=600.0))
        await publisher.released(1)
        assert reader.sequence() > 1
    gone = fleet.lists / "b"
    gone.rename(fleet.lists / "away")
    async with fleet.publisher(fleet.config("new", *config.feed)) as publisher:
        await publisher.until(lambda: "nodes have: b" in publisher.role.status().last_error)
        assert reader.release("first").number == 1
        assert [entry.name for entry in reader.urgent().indicators] == ["fine.example"]
        await publisher.scheduler.carry_out(order("block", name="evil.example"))
        await publisher.until(lambda: len(reader.urgent().indicators) == 2)
        assert list(reader.urgent().disabled) == ["a"]
        (fleet.lists / "away").rename(gone)
        await publisher.scheduler.refresh_once()
        await publisher.until(lambda: publisher.role.is_idle and not publisher.role.status().last_error)
        assert [feed.name for feed in reader.release("first").feeds] == ["a", "b"]
