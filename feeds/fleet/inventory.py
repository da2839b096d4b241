"""The nodes of a fleet, as their heartbeats in the store say. They are not trusted: they can only keep a release back."""

from __future__ import annotations

import logging
from typing import Final

from msgspec.structs import replace

from feeds.fleet.object_store import ObjectStore
from feeds.fleet.release import BadDocument, Heartbeat, decode
from feeds.fleet.stored import NotModified, ObjectStoreError
from pdns.state.fleet_status import MAX_NODES, MISSING_AFTER_S, SeenNode

FOLDER: Final = "nodes"
MAX_HEARTBEAT_BYTES: Final = 64 * 1024
FORGOTTEN_AFTER_S: Final = 7 * 86400.0
_log = logging.getLogger(__name__)


class Inventory:
    """The last heartbeat of each node. The time of a heartbeat is the store's, for the clock of a node may be wrong."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[float, int, Heartbeat | None]] = {}  # path -> as the store listed it, and its content

    async def look(self, store: ObjectStore, now_s: float) -> None:
        """Read what has changed. Raises `ObjectStoreError`."""
        listed = sorted(await store.list(FOLDER), key=lambda found: -found[2])[:MAX_NODES]
        known, self._read = self._read, {}
        for path, size, at_s in listed:
            before = known.get(path)
            if before is not None and before[:2] == (at_s, size):
                self._read[path] = before
            elif now_s - at_s < FORGOTTEN_AFTER_S and path.endswith(".json"):
                self._read[path] = at_s, size, await self._heartbeat(store, path)

    async def _heartbeat(self, store: ObjectStore, path: str) -> Heartbeat | None:
        try:
            data, _ = await store.get(path, MAX_HEARTBEAT_BYTES)
            heartbeat = None if isinstance(data, NotModified) else decode(data, Heartbeat)
        except (ObjectStoreError, BadDocument) as exc:
            _log.info("fleet: %s: %s", path, exc)
            return None
        if heartbeat is None or path != f"{FOLDER}/{heartbeat.node}.json":
            return None  # a node speaks for itself only
        return heartbeat

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
