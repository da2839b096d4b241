"""From the networks that feeds list to the address records of a zone: of those that hold an address, readers take the longest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from feeds.publish.blocking_feeds import BLOCK, NONE, PASS, FeedMasks, FeedState

_Above = tuple[bytes, int, FeedState, int]


def network_verdicts(listed: Iterable[tuple[bytes, int]], masks: Callable[[int], FeedMasks]) -> Iterator[tuple[bytes, int]]:
    """The networks that have records, each with its verdict. `listed`: address and one byte of prefix length, combination.

    An exception has a record only within a network that is blocked.
    """
    stack: list[_Above] = []
    for key, number in sorted(listed, key=lambda one: (len(one[0]), one[0])):
        packed, bits = key[:-1], key[-1]
        while stack and not _holds(stack[-1], packed):
            stack.pop()
        above, inherited = stack[-1][2:] if stack else (FeedState(), NONE)
        state = masks(number).under(above)
        verdict = state.verdict(passes=False)
        if verdict == NONE and inherited >= BLOCK:
            verdict = PASS
        if verdict != NONE:
            yield key, verdict
        stack.append((packed, bits, state, verdict or inherited))


def _holds(above: _Above, packed: bytes) -> bool:
    network, bits = above[:2]
    shift = 8 * len(network) - bits
    return len(network) == len(packed) and int.from_bytes(network) >> shift == int.from_bytes(packed) >> shift
