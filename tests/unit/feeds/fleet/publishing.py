"""A publisher with real lists, keys and a store in a directory, and a reader that verifies what it finds there."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace
from tuf.ngclient import Updater

from feeds.fleet import line_diff, packed, trust
from feeds.fleet.publisher_role import PublisherRole
from feeds.fleet.release import Heartbeat, Release, StoredObject, Urgent, decode, encode
from feeds.refresh import publishing
from feeds.scheduler import Scheduler
from pdns.clock import steady_s
from pdns.config.fleet_schema import FleetSection
from pdns.config.schema import Config, Feed
from tests.unit.feeds.configs import configuration
from tests.unit.feeds.fleet.test_trust import StoreFetcher

WITHIN_S = 120.0


def fleet_config(state_dir: Path, store: str, keys: Path, *feeds: Feed, **settings: object) -> Config:
    section = FleetSection(role="publisher", store=store, keys_dir=str(keys), **settings)  # type: ignore[arg-type]
    return replace(configuration(state_dir, *feeds), fleet=section)


class Fleet:
    """Directories of a fleet below one, with keys."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keys, self.store, self.lists = directory / "keys", directory / "store", directory / "lists"
        for path in (self.keys, self.store, self.lists):
            path.mkdir()
        trust.make_keys(self.keys, now_s=steady_s())
        self.root = (self.keys / "root.json").read_bytes()

    def list(self, name: str, *names: str) -> Feed:
        """A feed from a file with these names."""
        (self.lists / name).write_text("".join(f"{line}\n" for line in names))
        return Feed(name=name, url=(self.lists / name).as_uri(), guard="off")

    def reader(self, name: str = "reader") -> Reader:
        return Reader(self.store, self.root, self.directory / name)

    def beat(self, node: str, ring: str, release: int, *refused: int) -> None:
        said = Heartbeat(node=node, ring=ring, version="1", written_s=0.0, release=release, refused=list(refused), reason="bad")
        (self.store / "nodes").mkdir(exist_ok=True)
        (self.store / "nodes" / f"{node}.json").write_bytes(encode(said))

    def config(self, state: str, *feeds: Feed, **settings: object) -> Config:
        (self.directory / state).mkdir(exist_ok=True)
        return fleet_config(self.directory / state, self.store.as_uri(), self.keys, *feeds, **settings)

    @asynccontextmanager
    async def publisher(self, config: Config, *, start: bool = True) -> AsyncIterator[Publisher]:
        state_dir = Path(config.state.dir)
        scheduler = Scheduler(state_dir)
        async with publishing(scheduler):
            role = PublisherRole(state_dir, scheduler)
            running = Publisher(scheduler, role)
            await running.use(config)
            if start:
                running.start()
            try:
                yield running
            finally:
                await running.stop()


class Publisher:
    """One that runs."""

    def __init__(self, scheduler: Scheduler, role: PublisherRole) -> None:
        self.scheduler, self.role = scheduler, role
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.role.run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.role.close()

    async def use(self, config: Config) -> None:
        await self.role.configure(config)
        await self.scheduler.configure(config)
        await self.scheduler.refresh_once()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that must become true."""
        async with asyncio.timeout(WITHIN_S):
            while not true():  # noqa: ASYNC110 (of files, in part)
                await asyncio.sleep(0.05)

    async def released(self, number: int) -> None:
        """Wait for a release to be in the store."""
        await self.until(lambda: self.role.status().release >= number and self.role.is_idle)


class Reader:
    """A node's view: what TUF verifies, and the texts that follow from it."""

    def __init__(self, store: Path, root: bytes, directory: Path) -> None:
        self._store, self._root, self._directory = store, root, directory
        directory.mkdir(exist_ok=True)
        self.texts: dict[str, bytes] = {}  # SHA-256 -> text
        self.read_bytes = 0  # of objects

    def target(self, name: str) -> bytes:
        updater = Updater(
            str(self._directory), "store:///metadata/", str(self._directory), "store:///targets/",
            fetcher=StoreFetcher(self._store), bootstrap=self._root,
        )  # fmt: skip
        updater.refresh()
        info = updater.get_targetinfo(name)
        assert info is not None
        path = self._directory / "target"
        return Path(updater.download_target(info, str(path))).read_bytes()

    def release(self, ring: str = "all") -> Release:
        return decode(self.target(f"release/{ring}.json"), Release)

    def urgent(self) -> Urgent:
        return decode(self.target("urgent.json"), Urgent)

    def sequence(self) -> int:
        self.target("urgent.json")
        version: int = json.loads((self._directory / "timestamp.json").read_bytes())["signed"]["version"]
        return version

    def unpacked(self, stored: StoredObject) -> bytes:
        data = (self._store / packed.path_of(stored.sha256)).read_bytes()
        self.read_bytes += len(data)
        return packed.unpack(data, stored).read()

    def lines(self, ring: str = "all") -> dict[str, list[bytes]]:
        """What each feed lists, by deltas where the text before is at hand."""
        found = {}
        for feed in self.release(ring).feeds:
            steps, text = [], feed.text
            while text not in self.texts and text != feed.full_text:
                delta = next(delta for delta in feed.deltas if delta.after == text)
                steps.append(delta)
                text = delta.before
            if text not in self.texts:
                self.texts[text] = self.unpacked(feed.full)
            for delta in reversed(steps):
                out = io.BytesIO()
                applied = line_diff.apply(
                    io.BytesIO(self.texts[delta.before]), io.BytesIO(self.unpacked(delta.object)), out, 10**9
                )
                assert applied.sha256 == delta.after
                self.texts[delta.after] = out.getvalue()
            content = self.texts[feed.text]
            assert len(content) == feed.text_bytes
            found[feed.name] = [line.split(b"\t")[0] for line in content.splitlines()[1:]]
            assert len(found[feed.name]) == feed.entries
        return found
