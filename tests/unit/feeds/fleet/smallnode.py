"""A server of a fleet without a supervisor: its feeds process in this one, and a configuration file."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

from feeds.fleet.member import FleetMember
from feeds.refresh import publishing
from feeds.scheduler import Scheduler
from pdns.config.fleet_rules import BUNDLE_FILE, OFFERED_BUNDLE_FILE
from pdns.config.watch import load_version
from pdns.errors import ConfigErrors, PdnsError
from pdns.ipc.messages import Message, OfferBundle, RefuseBundle
from pdns.state import fleet_status, in_force
from pdns.state.commands import Command
from pdns.state.fleet_status import FleetStatus
from pdns.state.in_force import InForce
from tests.unit.feeds.configs import NO_UPSTREAM

WITHIN_S = 60.0


class SmallNode:
    """Its state directory is `directory/state`, its file `directory/node.toml`."""

    def __init__(self, directory: Path, store: str, root_file: Path) -> None:
        self.state_dir, self.file = directory / "state", directory / "node.toml"
        self.state_dir.mkdir(parents=True)
        shutil.copy(root_file, directory / "root.json")
        self.store = store
        self.configure("node")
        self.scheduler: Scheduler
        self.member: FleetMember

    def configure(self, role: str, more: str = "") -> None:
        """Write the file. `more` is for its end."""
        self.file.write_text(
            f'[upstream]\nservers = ["{NO_UPSTREAM}"]\n[state]\ndir = "state"\n'
            f'[fleet]\nrole = "{role}"\nstore = "{self.store}"\nroot_file = "root.json"\nnode = "n1"\npoll_s = 0.2\n{more}'
        )

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """The process runs inside of the block."""
        loop = asyncio.get_running_loop()
        self.scheduler = Scheduler(self.state_dir)
        tasks: list[asyncio.Task[None]] = []

        def spawn(work: Coroutine[None, None, None]) -> asyncio.Task[None]:
            tasks.append(loop.create_task(work))
            return tasks[-1]

        async with publishing(self.scheduler):
            self.member = FleetMember(self.state_dir, self.scheduler, spawn, self._sent)
            self._spawn = spawn
            spawn(in_force.keep(self.state_dir, lambda: InForce(generation=self.scheduler.live.generation)))
            await self.load()
            try:
                yield
            finally:
                await self.member.close()
                await self.scheduler.stop()
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def load(self, bundle: str = BUNDLE_FILE) -> None:
        """Read the file and the bundle, and have the process go on under them."""
        loaded = await asyncio.to_thread(load_version, self.file, bundle=bundle)
        await self.member.configure(loaded.config, loaded.parts.bundle_sha256)

    def _sent(self, message: Message) -> None:
        if isinstance(message, OfferBundle):
            self._spawn(self._settle())

    async def _settle(self) -> None:
        directory = self.state_dir / fleet_status.DIRECTORY
        try:
            await self.load(OFFERED_BUNDLE_FILE)
        except PdnsError as error:
            reasons = error.errors if isinstance(error, ConfigErrors) else [error]
            sha256 = hashlib.sha256((directory / OFFERED_BUNDLE_FILE).read_bytes()).hexdigest()
            self.member.heard(RefuseBundle(sha256, "; ".join(map(str, reasons))))
        else:
            (directory / OFFERED_BUNDLE_FILE).replace(directory / BUNDLE_FILE)

    @property
    def status(self) -> FleetStatus:
        return fleet_status.read(self.state_dir) or FleetStatus()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something that must become true."""
        try:
            async with asyncio.timeout(WITHIN_S):
                while not true():  # noqa: ASYNC110 (of files)
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(self.status) from None

    async def command(self, command: str, **order: object) -> str:
        """What came of a command."""
        outcome = await self.scheduler.carry_out(Command(command=command, user="bob", **order))  # type: ignore[arg-type]
        return f"{outcome.done}: {outcome.text}"
