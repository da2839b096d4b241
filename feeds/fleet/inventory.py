"""The nodes of a fleet, as their heartbeats in the store say. They are not trusted: they can only keep a release back."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from msgspec.structs import replace

from feeds.fleet.object_store import ObjectStore
from feeds.fleet.release import BadDocument, Heartbeat, decode
from feeds.fleet.stored import NotModified, ObjectStoreError
from pdns.free_text import visible
from pdns.state.fleet_status import MAX_NODES, MISSING_AFTER_S, SeenNode

FOLDER: Final = "nodes"
MAX_HEARTBEAT_BYTES: Final = 8 * 1024
_AT_A_TIME: Final = 16
FORGOTTEN_AFTER_S: Final = 7 * 86400.0
_log = logging.getLogger(__name__)


class Inventory:
    """The last heartbeat of each node. The time of a heartbeat is the store's, for the clock of a node may be wrong."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[float, int, Heartbeat | None]] = {}  # path -> as the store listed it, and its content

    async def look(self, store: ObjectStore, now_s: float) -> None:
        """Read what has changed. Raises `ObjectStoreError`."""
        known = self._read
        listed = [
            found for found in await store.list(FOLDER) if now_s - found[2] < FORGOTTEN_AFTER_S and found[0].endswith(".json")
        ]
        listed.sort(key=lambda found: (found[0] not in known, -found[2]))  # known ones first: many new ones hide no veto
        read: dict[str, tuple[float, int, Heartbeat | None]] = {}
        free = asyncio.Semaphore(_AT_A_TIME)

        async def take(path: str, size: int, at_s: float) -> None:
            before = known.get(path)
            async with free:
                same = before is not None and before[:2] == (at_s, size)
                read[path] = before if before is not None and same else (at_s, size, await self._heartbeat(store, path))

        await asyncio.gather(*(take(*found) for found in listed[:MAX_NODES]))
        self._read = read

    async def _heartbeat(self, store: ObjectStore, path: str) -> Heartbeat | None:
        try:
            data, _ = await store.get(path, MAX_HEARTBEAT_BYTES)
            heartbeat = None if isinstance(data, NotModified) else decode(data, Heartbeat)
        except (ObjectStoreError, BadDocument) as exc:
            _log.info("fleet: %s: %s", path, exc)
            return None
        if heartbeat is None or path != f"{FOLDER}/{heartbeat.node}.json":
            return None  # a node speaks for itself only
        texts = {field: visible(getattr(heartbeat, field)) for field in ("version", "compiled", "reason", "error")}
        return replace(heartbeat, **texts)

    def all(self) -> list[Heartbeat]:
        """Every node's, with the time at which the store got it."""
        return [replace(said, written_s=at_s) for at_s, _, said in self._read.values() if said is not None]

    def fresh(self, now_s: float) -> list[Heartbeat]:
        """Of the nodes that still report."""
        return [said for said in self.all() if now_s - said.written_s <= MISSING_AFTER_S]

    def status(self) -> list[SeenNode]:
        """All nodes, for the status file."""
        fields = [name for name in SeenNode.__struct_fields__ if name in Heartbeat.__struct_fields__]
        return [SeenNode(**{name: getattr(said, name) for name in fields}) for said in self.all()]
