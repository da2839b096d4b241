"""The entries of one feed as a blockset has them: what is left of a feed whose own files are lost."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from feeds.annotations import NameAnnotation
from feeds.entries import BLOCK_ENTRIES, Actions, EntryBlock
from feeds.protected_networks import network_key
from pdns.blockset.annotations import Annotations
from pdns.blockset.reader import Blockset
from pdns.core.listing import action_of, bits_of

_Entry = tuple[bytes, int, int, int]  # key, bits and actions, first day, detail


class Salvaged:
    """In the form of `feeds.entries.Entries`, but for what was listed earlier: no blockset knows that."""

    def __init__(self, blockset: Blockset, facts: Annotations, feed: str) -> None:
        """`facts` are those of `blockset`, which lists something for `feed`."""
        self._blockset, self._facts, self._feed = blockset, facts, feed
        self.source = blockset.feeds[feed].source  # as it was read: `feed` may be configured otherwise by now
        self.details = [NameAnnotation(*told) for told in facts.details(feed)]
        clients = {network_key(one.network): one.action for one in blockset.clients if one.feed == feed}
        self.actions = Actions([action for action in blockset.actions if action is not None], clients)

    def names(self) -> Iterator[EntryBlock]:
        """Names by key."""
        return _blocks(self._entries(self._blockset.numbered_names()))

    def networks(self) -> Iterator[EntryBlock]:
        """Networks, likewise."""
        return _blocks(self._entries(self._blockset.numbered_networks()))

    def _entries(self, listed: Iterable[tuple[bytes, int, int]]) -> Iterator[_Entry]:
        bits_of: dict[int, int] = {}
        for key, number, combination in listed:
            if combination not in bits_of:
                bits_of[combination] = dict(self._blockset.combination(combination)).get(self._feed, 0)
            if bits := bits_of[combination]:
                yield key, bits, *self._facts.about(number, self._feed)


def _blocks(entries: Iterable[_Entry]) -> Iterator[EntryBlock]:
    in_order = sorted(entries)
    for start in range(0, len(in_order), BLOCK_ENTRIES):
        keys, said, days, details = zip(*in_order[start : start + BLOCK_ENTRIES], strict=True)
        last_days = array("H", bytes(2 * len(keys)))
        bits = bytes(map(bits_of, said))
        actions = [action_of(one, below=False) | action_of(one, below=True) << 16 for one in said]
        columns = memoryview(array("H", days)), memoryview(last_days), memoryview(array("H", details))
        yield EntryBlock(list(keys), bits, *columns, actions if any(actions) else ())
