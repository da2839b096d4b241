"""From what lists and administrators say of names to the smallest set of policy records that gives the same verdicts.

Readers of policy zones disagree about wildcards: some take the longest one that fits, others follow RFC 4592, where a name that
exists hides the wildcards above it. The entries here mean the same to both: an entry below a wildcard says everything anew, and
so do the names between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from typing import Final, NamedTuple

from feeds.publish.blocking_feeds import BLOCK, NONE, PASS, UNDECIDED, FeedState, NameMasks
from pdns.wire.names import reversed_key

_SILENT: Final = NameMasks()


class LayerEntry(NamedTuple):
    """What an administrator says of a name (wire form) and what is below, or (`below_only`) only of what is below."""

    name: bytes
    below_only: bool
    verdict: int


class ZoneEntry(NamedTuple):
    """One entry of a zone: the verdict on the name with the reversed key `key`, and on everything below it."""

    key: bytes
    itself: int
    below: int


class _Node:
    """A name that the walk is at or below."""

    __slots__ = ("feeds", "key", "layers", "verdict", "written")

    def __init__(self, key: bytes, feeds: FeedState, layers: tuple[int, ...], verdict: int, *, written: bool) -> None:
        self.key = key
        self.feeds = feeds  # what they say of what is below
        self.layers = layers  # what each layer says of what is below
        self.verdict = verdict  # on what is below
        self.written = written


class VerdictWalk:
    """Goes once through all names, in the order of their keys, and holds only the names above the one that it is at."""

    def __init__(self, masks: Sequence[NameMasks], layers: Sequence[Iterable[LayerEntry]], *, passes: bool) -> None:
        """`masks`: by the number of a combination. Of `layers` the first that decides counts, then the feeds.

        `passes`: write names that a layer allows even if no list has them. They matter where addresses are listed.
        """
        self._masks = masks
        self._passes = passes
        self._states: dict[tuple[int, FeedState], tuple[FeedState, FeedState]] = {}  # there are few different ones
        self._said: dict[bytes, list[tuple[int, LayerEntry]]] = {}
        for number, layer in enumerate(layers):
            for entry in layer:
                self._said.setdefault(reversed_key(entry.name), []).append((number, entry))
        self._stack = [_Node(b"", FeedState(), (0,) * len(layers), NONE, written=True)]

    def entries(self, listed: Iterable[tuple[bytes, int]]) -> Iterator[ZoneEntry]:
        """The entries of the zone, in the order of their keys. `listed`: keys in order, each with its combination."""
        overlaid = ((key, -1) for key in sorted(self._said))
        last: bytes | None = None
        combination = 0
        for key, number in merge(overlaid, listed) if self._said else listed:
            if key == last:
                combination = number  # the layers come first
                continue
            if last is not None:
                yield from self._visit(last, combination)
            last, combination = key, number
        if last is not None:
            yield from self._visit(last, combination)

    def _visit(self, key: bytes, combination: int) -> Iterator[ZoneEntry]:
        stack = self._stack
        while not key.startswith(stack[-1].key):
            stack.pop()
        above = stack[-1]
        itself_feeds, below_feeds = self._states.get((combination, above.feeds)) or self._under(combination, above.feeds)
        itself_layers = below_layers = above.layers
        if (said := self._said.get(key)) is not None:
            itself_layers, below_layers = _overlay(above.layers, said)
        inherited = above.verdict
        itself, below = self._decide(itself_layers, itself_feeds), self._decide(below_layers, below_feeds)
        if itself == inherited == below:
            if below_feeds != above.feeds or below_layers != above.layers:
                stack.append(_Node(key, below_feeds, below_layers, below, written=False))
            return
        if inherited != NONE:
            yield from self._between(key, inherited)
        stack.append(_Node(key, below_feeds, below_layers, below, written=True))
        if inherited != NONE:
            itself, below = itself or PASS, below or PASS
        yield ZoneEntry(key, itself, below)

    def _under(self, combination: int, above: FeedState) -> tuple[FeedState, FeedState]:
        masks = self._masks[combination] if combination >= 0 else _SILENT
        states = self._states[combination, above] = masks.itself.under(above), masks.below.under(above)
        return states

    def _between(self, key: bytes, inherited: int) -> Iterator[ZoneEntry]:
        """The names between the nearest entry and `key`: they exist in the zone, so that they need entries of their own."""
        stack = self._stack
        at = len(stack) - 1
        while not stack[at].written:
            at -= 1
        state, unwritten = stack[at], {node.key: node for node in stack[at + 1 :]}
        del stack[at + 1 :]
        end = len(state.key)
        while (end := end + 1 + key[end]) < len(key):
            state = unwritten.get(key[:end], state)
            state = _Node(key[:end], state.feeds, state.layers, inherited, written=True)
            stack.append(state)
            yield ZoneEntry(state.key, inherited, inherited)

    def _decide(self, layers: tuple[int, ...], feeds: FeedState) -> int:
        for verdict in layers:
            if verdict:
                return verdict if verdict == BLOCK or self._passes else NONE
        return feeds.verdict(passes=self._passes)


def _overlay(above: tuple[int, ...], said: Sequence[tuple[int, LayerEntry]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What layers say of a name and of what is below it. Of entries for the same name `*.x` decides what is below, and an
    allowing one wins.
    """
    itself, below = list(above), list(above)
    for number in {number for number, _ in said}:
        whole = [entry.verdict for at, entry in said if at == number and not entry.below_only]
        only_below = [entry.verdict for at, entry in said if at == number and entry.below_only]
        if whole:
            itself[number] = _value(whole)
        below[number] = _value(only_below or whole)
    return tuple(itself), tuple(below)


def _value(verdicts: Sequence[int]) -> int:
    verdict = min(verdicts)
    return NONE if verdict == UNDECIDED else verdict
