"""The answer cache: bounded in bytes, kept fair against floods of names that nobody asks twice.

Two queues (after S3-FIFO): a new answer waits in *probation*, a tenth of the room; asked again it earns a place in
the *main* queue, which gives every entry that was used since its last turn another one. A random-subdomain flood
thus wears out a tenth of the cache, never the answers that people use.
"""

from __future__ import annotations

from collections import OrderedDict

from pdns.core.entry import Entry

MAX_ENTRY_BYTES = 16 * 1024  # larger answers are given but not kept: one name must not push out hundreds
_PROBATION_SHARE = 10


class AnswerCache:
    """Answers by key. Knows sizes and use, not time: whether an entry is still fresh is the caller's question."""

    __slots__ = ("_bytes", "_main", "_max_bytes", "_probation", "_probation_bytes", "evictions")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._probation: OrderedDict[bytes, Entry] = OrderedDict()
        self._main: OrderedDict[bytes, Entry] = OrderedDict()
        self._bytes = 0
        self._probation_bytes = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._probation) + len(self._main)

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def resize(self, max_bytes: int) -> None:
        """Change the bound; what no longer fits goes."""
        self._max_bytes = max_bytes
        self._make_room()

    def get(self, key: bytes) -> Entry | None:
        """The entry under `key`, fresh or not, counted as used."""
        entry = self._main.get(key)
        if entry is None:
            entry = self._probation.get(key)
            if entry is None:
                return None
        entry.visited = True
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep `entry`, in place of what was under `key`. Too large a one is not kept."""
        size = entry.size_bytes + len(key)
        if size > MAX_ENTRY_BYTES:
            self.remove(key)
            return
        old = self._main.get(key)
        if old is not None:
            self._bytes += size - old.size_bytes - len(key)
            entry.visited = True
            self._main[key] = entry
        else:
            self._discard_from_probation(key)
            self._probation[key] = entry
            self._bytes += size
            self._probation_bytes += size
        if self._bytes > self._max_bytes:
            self._make_room()

    def remove(self, key: bytes) -> None:
        """Forget `key`, if it is there."""
        entry = self._main.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size_bytes + len(key)
        else:
            self._discard_from_probation(key)

    def _discard_from_probation(self, key: bytes) -> None:
        entry = self._probation.pop(key, None)
        if entry is not None:
            size = entry.size_bytes + len(key)
            self._bytes -= size
            self._probation_bytes -= size

    def _make_room(self) -> None:
        while self._bytes > self._max_bytes:
            on_probation = self._probation and (not self._main or self._probation_bytes * _PROBATION_SHARE > self._max_bytes)
            queue = self._probation if on_probation else self._main
            key, entry = queue.popitem(last=False)
            size = entry.size_bytes + len(key)
            if on_probation:
                self._probation_bytes -= size
            if entry.visited:
                entry.visited = False
                self._main[key] = entry
                continue
            self._bytes -= size
            self.evictions += 1
