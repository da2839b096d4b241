"""What decisions need of the answer cache. `pdns/fast/cache.pyx` is the cache, `pdns/reference/cache.py` its specification."""

from __future__ import annotations

from typing import Protocol

from pdns.core.block_answer import Template
from pdns.core.entry import Entry, Monitored
from pdns.core.outcome import Outcome
from pdns.core.query import Query

MAX_ENTRY_BYTES = 16 * 1024  # larger answers are given but not kept: one name must not push out hundreds


class AnswerCache(Protocol):
    """Answers by key. Knows sizes and use, not time: whether an entry is still fresh is the caller's question.

    An entry that is in here is changed by the methods alone: what `get` returns may be a copy.
    """

    evictions: int
    rules_epoch: int  # of the rules in force: an entry with another one was decided under others

    def __len__(self) -> int: ...

    @property
    def size_bytes(self) -> int: ...

    def new_rules(self, *, only_feeds: bool = False) -> None:
        """From now on every answer that is in here must be decided again before it is given.

        `only_feeds`: nothing but the blockset is another one.
        """
        ...

    def resize(self, max_bytes: int, fd: int = -1) -> None:
        """Change the bound; what no longer fits goes. With `fd`: keep answers in the memory behind it, with those there."""
        ...

    def leave(self) -> None:
        """Neither read nor write the arena from now on."""
        ...

    def get(self, key: bytes) -> Entry | None:
        """The entry under `key`, fresh or not, counted as used."""
        ...

    def peek(self, key: bytes) -> Entry | None:
        """As `get`, but the entry does not count as used."""
        ...

    def keys_of(self, name: bytes, below: bool, start: int, most: int) -> tuple[list[bytes], int]:
        """The keys of answers for the wire name `name`, or also below it, and where to go on; -1 at the end.

        Begin with `start` 0. One call looks at `most` entries or so. Entries may come and go between calls: an answer that is
        there all the time is found.
        """
        ...

    def put(self, key: bytes, entry: Entry) -> bool:
        """Keep `entry`, in place of what was under `key`. False for one that is too large: it is not kept."""
        ...

    def block(self, query: Query, policy_key: bytes, template: Template, listed_bytes: int, now: float) -> Outcome:
        """Keep the answer to a query that is blocked because the last `listed_bytes` bytes of its name are listed."""
        ...

    def allowed_again(self, key: bytes, monitored: Monitored) -> None:
        """The answer under `key` was decided again, under the rules in force, and stays."""
        ...

    def refreshing(self, key: bytes) -> None:
        """The answer under `key` is being asked for again before it expires: once is enough."""
        ...

    def retry_after(self, key: bytes, retry_s: float) -> None:
        """No upstream could renew the answer under `key`: until `retry_s` it is given as it is (RFC 8767, 5)."""
        ...

    def remove(self, key: bytes) -> None:
        """Forget `key`, if it is there."""
        ...
