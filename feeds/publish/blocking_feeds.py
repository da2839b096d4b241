"""What the feeds that block say, together: a bit for each feed, the first of the configuration in the lowest bit.

`pdns.core.policy` decides by the same rules for one name at a time; a zone is made by carrying a state down the tree of names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from pdns.core.listing import (
    ALLOW_BELOW,
    ALLOW_NAME,
    BLOCK_BELOW,
    BLOCK_NAME,
    NO_ACTION,
    PASSTHRU,
    ListedAction,
    action_of,
)

NONE: Final = 0  # nothing here has a say
PASS: Final = 1  # allowed, also where it leads to a listed address
BLOCK: Final = 2
UNDECIDED: Final = 3  # of a layer: as if it said nothing; ends what it says of a name above
GIVEN: Final = 4  # blocked with the answer that the feed gives: this and the number of the action

FeedAnswers = tuple[tuple[int, int], ...]  # the bit of a feed, the number of its action; in the order of feeds


class FeedState(NamedTuple):
    """What all feeds say of names, or addresses, that nothing more specific is listed of."""

    block: int = 0
    stop: int = 0  # feeds with an exception that ends the matter for the feeds after them
    answers: FeedAnswers = ()

    def verdict(self, *, passes: bool) -> int:
        """`passes`: tell an exception that ends the matter from no listing at all."""
        block = self.block
        if self.stop:
            block &= (self.stop & -self.stop) - 1
        if not block:
            return PASS if self.stop and passes else NONE
        first = block & -block
        return next((GIVEN + number for feed, number in self.answers if feed == first), BLOCK)


class FeedMasks(NamedTuple):
    """What one combination says: who has a say at all, and what they say, as in `FeedState`."""

    reach: int = 0
    block: int = 0
    stop: int = 0
    answers: FeedAnswers = ()

    def under(self, above: FeedState) -> FeedState:
        """The state where `above` holds for what is less specific."""
        rest = ~self.reach
        kept = [one for one in above.answers if one[0] & rest] if above.answers else ()
        answers = tuple(sorted((*kept, *self.answers))) if kept else self.answers
        return FeedState(above.block & rest | self.block, above.stop & rest | self.stop, answers)


class NameMasks(NamedTuple):
    """Of a listed name, and of what is below it."""

    itself: FeedMasks = FeedMasks()
    below: FeedMasks = FeedMasks()


class BlockingFeeds:
    """The feeds that block for the clients of a zone."""

    def __init__(
        self, names: Sequence[str], given: Collection[str] = (), actions: Sequence[ListedAction | None] = (None,)
    ) -> None:
        """`given`: those whose own answers count; `actions`: of the blockset."""
        self._bits = {feed: 1 << number for number, feed in enumerate(names)}
        self._given = frozenset(given)
        self._actions = actions

    def of_name(self, combination: Iterable[tuple[str, int]]) -> NameMasks:
        """An exception beats a listing of the same feed."""
        said = [(self._bits[feed], feed in self._given, bits) for feed, bits in combination if feed in self._bits]
        return NameMasks(
            self._masks([
                (one, not bits & ALLOW_NAME, action_of(bits, below=False) if given else NO_ACTION)
                for one, given, bits in said if bits & (ALLOW_NAME | BLOCK_NAME)
            ]),
            self._masks([
                (one, not bits & ALLOW_BELOW, action_of(bits, below=True) if given else NO_ACTION)
                for one, given, bits in said if bits & (ALLOW_BELOW | BLOCK_BELOW)
            ]),
        )  # fmt: skip

    def of_network(self, combination: Iterable[tuple[str, int]]) -> FeedMasks:
        """An exception is one of its feed even if the feed's own answers do not count."""
        said = []
        for feed, bits in combination:
            if (one := self._bits.get(feed)) is not None:
                number = action_of(bits, below=False)
                said.append((one, not self._excepts(number), number if feed in self._given else NO_ACTION))
        return self._masks(said)

    def _masks(self, said: Iterable[tuple[int, bool, int]]) -> FeedMasks:
        """`said`: the bit of each feed, whether it blocks, and the number of the action that counts."""
        reach = block = stop = 0
        answers = []
        for one, blocks, number in said:
            reach |= one
            if self._excepts(number):
                stop |= one
            elif blocks:
                block |= one
                answers += [(one, number)] if number else []
        return FeedMasks(reach, block, stop, tuple(sorted(answers)))

    def _excepts(self, number: int) -> bool:
        action = self._actions[number]
        return action is not None and action.kind == PASSTHRU
