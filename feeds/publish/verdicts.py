"""From what lists and administrators say of names to the smallest set of policy records that gives the same verdicts.

Readers of policy zones disagree about wildcards: some take the longest one that fits, others follow RFC 4592, where a name that
exists hides the wildcards above it. The entries here mean the same to both: an entry below a wildcard says everything anew, and
so do the names between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import Final, NamedTuple

from pdns.core.listing import ALLOW_BELOW, ALLOW_NAME, BLOCK_BELOW, BLOCK_NAME
from pdns.wire.names import reversed_key

NONE: Final = 0  # nothing here has a say
PASS: Final = 1  # allowed, also where it leads to a listed address
BLOCK: Final = 2
UNDECIDED: Final = 3  # of a layer: as if it said nothing; ends what it says of a name above


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


class FeedMasks(NamedTuple):
    """What one combination says, a bit for each feed: who has a say about the name and what is below, and who blocks them."""

    reach_name: int
    block_name: int
    reach_below: int
    block_below: int


_SILENT: Final = FeedMasks(0, 0, 0, 0)


def masks_of(combination: Iterable[tuple[str, int]], feeds: Mapping[str, int]) -> FeedMasks:
    """`combination`, of the feeds that block: `feeds` has the number of each. An exception beats a listing of the same feed."""
    allow_name = block_name = allow_below = block_below = 0
    for feed, bits in combination:
        if (number := feeds.get(feed)) is None:
            continue
        one = 1 << number
        allow_name |= one if bits & ALLOW_NAME else 0
        block_name |= one if bits & BLOCK_NAME else 0
        allow_below |= one if bits & ALLOW_BELOW else 0
        block_below |= one if bits & BLOCK_BELOW else 0
    return FeedMasks(
        allow_name | block_name, block_name & ~allow_name, allow_below | block_below, block_below & ~allow_below
    )  # fmt: skip


class _Node:
    """A name that the walk is at or below."""

    __slots__ = ("key", "layers", "mask", "verdict", "written")

    def __init__(self, key: bytes, mask: int, layers: tuple[int, ...], verdict: int, *, written: bool) -> None:
        self.key = key
        self.mask = mask  # feeds that block what is below
        self.layers = layers  # what each layer says of what is below
        self.verdict = verdict  # on what is below
        self.written = written


class VerdictWalk:
    """Goes once through all names, in the order of their keys, and holds only the names above the one that it is at."""

    def __init__(self, masks: Sequence[FeedMasks], layers: Sequence[Iterable[LayerEntry]], *, passes: bool) -> None:
        """`masks`: by the number of a combination. Of `layers` the first that decides counts, then the feeds.

        `passes`: write names that a layer allows even if no list has them. They matter where addresses are listed.
        """
        self._masks = masks
        self._passes = passes
        self._said: dict[bytes, list[tuple[int, LayerEntry]]] = {}
        for number, layer in enumerate(layers):
            for entry in layer:
                self._said.setdefault(reversed_key(entry.name), []).append((number, entry))
        self._stack = [_Node(b"", 0, (0,) * len(layers), NONE, written=True)]

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
        bits = self._masks[combination] if combination >= 0 else _SILENT
        itself_mask = above.mask & ~bits.reach_name | bits.block_name
        below_mask = above.mask & ~bits.reach_below | bits.block_below
        itself_layers = below_layers = above.layers
        if (said := self._said.get(key)) is not None:
            itself_layers, below_layers = _overlay(above.layers, said)
        inherited = above.verdict
        itself, below = self._decide(itself_layers, itself_mask), self._decide(below_layers, below_mask)
        if itself == inherited == below:
            if below_mask != above.mask or below_layers != above.layers:
                stack.append(_Node(key, below_mask, below_layers, below, written=False))
            return
        if inherited != NONE:
            yield from self._between(key, inherited)
        stack.append(_Node(key, below_mask, below_layers, below, written=True))
        if inherited != NONE:
            itself, below = itself or PASS, below or PASS
        yield ZoneEntry(key, itself, below)

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
            state = _Node(key[:end], state.mask, state.layers, inherited, written=True)
            stack.append(state)
            yield ZoneEntry(state.key, inherited, inherited)

    def _decide(self, layers: tuple[int, ...], mask: int) -> int:
        for verdict in layers:
            if verdict:
                return verdict if verdict == BLOCK or self._passes else NONE
        return BLOCK if mask else NONE


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
