"""The answer cache: bounded in bytes, kept fair against floods of names that are asked for once.

Two queues (after S3-FIFO): a new answer waits in *probation*, a tenth of the room; asked again it earns a place in
the *main* queue, which gives every entry that was used since its last turn another one. A random-subdomain flood
thus wears out a tenth of the cache, never the answers that people use.
"""

# kernel: pdns/fast/cache.pyx
# kernel: pdns/fast/arena.pyx

from __future__ import annotations

from collections import OrderedDict

from pdns.core.block_answer import Template, fill
from pdns.core.cache import MAX_ENTRY_BYTES
from pdns.core.entry import Entry, Monitored
from pdns.core.outcome import Answer, Outcome
from pdns.core.query import Query

_PROBATION_SHARE = 10
_TAIL_BYTES = 7  # of a key behind the name: type, class, DO and CD, policy


def is_of(key: bytes, name: bytes, *, below: bool) -> bool:
    """Whether `key` is of an answer for `name`, or also below it."""
    asked = key[:-_TAIL_BYTES]
    while below and len(asked) > len(name):
        asked = asked[1 + asked[0] :]
    return asked == name


class ReferenceCache:
    """Answers by key. Knows sizes and use, not time: whether an entry is still fresh is the caller's question.

    An entry that is in here is changed by the methods alone: what `get` returns may be a copy.
    """

    __slots__ = ("_bytes", "_main", "_max_bytes", "_probation", "_probation_bytes", "evictions", "rules_epoch")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.rules_epoch = 0  # of the rules in force: an entry with another one was decided under others
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

    def new_rules(self, *, only_feeds: bool = False) -> None:  # noqa: ARG002 (all are decided again in the same way here)
        """From now on every answer that is in here must be decided again before it is given."""
        self.rules_epoch += 1

    def resize(self, max_bytes: int, fd: int = -1) -> None:  # noqa: ARG002 (there is no arena here)
        """Change the bound; what no longer fits goes."""
        self._max_bytes = max_bytes
        self._make_room()

    def leave(self) -> None:
        """There is no arena to leave."""

    def get(self, key: bytes) -> Entry | None:
        """The entry under `key`, fresh or not, counted as used."""
        entry = self._find(key)
        if entry is not None:
            entry.hits += 1
            entry.visited = True
        return entry

    def peek(self, key: bytes) -> Entry | None:
        """As `get`, but the entry does not count as used."""
        return self._find(key)

    def keys_of(self, name: bytes, below: bool, start: int, most: int) -> tuple[list[bytes], int]:  # noqa: ARG002 (all at once)
        """The keys of answers for the wire name `name`, or also below it, and where to go on; -1 at the end."""
        return [key for key in (*self._probation, *self._main) if is_of(key, name, below=below)], -1

    def put(self, key: bytes, entry: Entry) -> bool:
        """Keep `entry`, in place of what was under `key`. False for one that is too large: it is not kept."""
        size = entry.size_bytes + len(key)
        if size > MAX_ENTRY_BYTES:
            self.remove(key)
            return False
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
        return True

    def block(self, query: Query, policy_key: bytes, template: Template, listed_bytes: int, now: float) -> Outcome:
        """Keep the answer to a query that is blocked because the last `listed_bytes` bytes of its name are listed."""
        listed = query.qname[len(query.qname) - listed_bytes :]
        entry = fill(template, query.qname, listed, now, self.rules_epoch)
        if entry.expires_s > now:
            self.put(query.key + policy_key, entry)
        return Answer(entry, "blocked")

    def allowed_again(self, key: bytes, monitored: Monitored) -> None:
        """The answer under `key` was decided again, under the rules in force, and stays."""
        if (entry := self._find(key)) is not None:
            entry.rules_epoch = self.rules_epoch
            entry.monitored = monitored

    def refreshing(self, key: bytes) -> None:
        """The answer under `key` is being asked for again before it expires: once is enough."""
        if (entry := self._find(key)) is not None:
            entry.refreshing = True

    def retry_after(self, key: bytes, retry_s: float) -> None:
        """No upstream could renew the answer under `key`: until `retry_s` it is given as it is (RFC 8767, 5)."""
        if (entry := self._find(key)) is not None:
            entry.retry_s = retry_s

    def remove(self, key: bytes) -> None:
        """Forget `key`, if it is there."""
        entry = self._main.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size_bytes + len(key)
        else:
            self._discard_from_probation(key)

    def _find(self, key: bytes) -> Entry | None:
        return self._main.get(key) or self._probation.get(key)

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
