"""The part of this server in a fleet, as its configuration says: none, publisher or node. It may change at any time.

The modules of a role are imported with the role: a server in no fleet does not pay for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from feeds.scheduler import Scheduler, Spawn
from pdns.config.schema import Config
from pdns.ipc.messages import Message

if TYPE_CHECKING:
    from feeds.fleet.node_role import NodeRole


class _Publisher(Protocol):
    async def configure(self, config: Config) -> None: ...
    async def run(self) -> None: ...
    def close(self) -> None: ...
    def pin(self, reason: str) -> str | Awaitable[str]: ...
    def unpin(self) -> str | Awaitable[str]: ...


class FleetMember:
    """Stands between the process and its scheduler."""

    def __init__(self, state_dir: Path, scheduler: Scheduler, spawn: Spawn, send: Callable[[Message], object]) -> None:
        self._state_dir, self._scheduler, self._spawn, self._send = state_dir, scheduler, spawn, send
        self._node: NodeRole | None = None
        self._publisher: _Publisher | None = None
        self._task: asyncio.Task[None] | None = None

    async def configure(self, config: Config, bundle: str) -> None:
        """Have the scheduler go on under `config`, of which the policy bundle with the SHA-256 `bundle` is a part on nodes."""
        role = config.fleet.role
        if (role == "node") != (self._node is not None) or (role == "publisher") != (self._publisher is not None):
            await self.close()
        if role == "node":
            await self._as_node(config, bundle)
            return
        self._scheduler.leave_fleet()
        if role == "publisher":
            await self._as_publisher(config)
        await self._scheduler.configure(config)
        self._scheduler.start(self._spawn)

    def heard(self, message: Message) -> None:
        """A message of the supervisor."""
        if self._node is not None:
            self._node.heard(message)

    async def close(self) -> None:
        """End what runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._publisher is not None:
            self._publisher.close()
        if self._node is not None:
            self._node.leave()
        self._node = self._publisher = self._task = self._scheduler.fleet.role = None

    async def _as_node(self, config: Config, bundle: str) -> None:
        node: NodeRole = self._node or _module("node_role").NodeRole(self._state_dir, self._scheduler, self._send)
        await node.configure(config, bundle)
        if self._node is None:
            self._node = self._scheduler.fleet.role = node
            self._task = self._spawn(node.run())

    async def _as_publisher(self, config: Config) -> None:
        if self._publisher is not None:
            await self._publisher.configure(config)
            return
        publisher: _Publisher = _module("publisher_role").PublisherRole(self._state_dir, self._scheduler)
        await publisher.configure(config)
        self._publisher = self._scheduler.fleet.role = publisher
        self._task = self._spawn(publisher.run())


def _module(name: str) -> ModuleType:
    return import_module(f"feeds.fleet.{name}")
