"""Annotations of listed names: threat, reference, first seen, expiry. Read for explanations, never to answer a query.

Two files of a blockset's directory, which workers do not map. `docs/blockset-format.md` describes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from pdns.blockset.layout import read_checked, read_manifest
from pdns.blockset.reader import Blockset
from pdns.core.listing import AddressListing, Listing
from pdns.errors import BlocksetError
from pdns.wire.names import reversed_key

FACTS_FILE, FACT_TABLE_FILE = "facts.bin", "facts.msgpack"
FACT_CODES: Final[dict[int, Literal["B", "H", "I"]]] = {1: "B", 2: "H", 4: "I"}
DAY_S: Final = 86400

PublisherAnnotation = tuple[str, str, float, float]  # what a publisher says: threat, reference, first seen, expires


class AnnotationTable(msgspec.Struct, frozen=True, array_like=True):
    """`facts.msgpack`: each different thing that is known of names, once."""

    fact_bytes: Literal[1, 2, 4]  # of a number in facts.bin
    combinations: Annotated[list[int], msgspec.Meta(min_length=1)]  # of each row, its combination
    facts: list[list[tuple[int, int]]]  # of each row, for each feed of the combination: first day, detail
    details: list[list[PublisherAnnotation]]  # by feed


class Annotation(NamedTuple):
    """What is known of one listing. Times are seconds since the epoch, 0 for unknown."""

    threat: str = ""
    reference: str = ""
    published_s: float = 0.0  # first seen, as the publisher says
    first_seen_s: float = 0.0  # here, to the day
    expires_s: float = 0.0


class Annotations:
    """The annotations of one blockset."""

    def __init__(self, blockset: Blockset) -> None:
        """Read them, and compare their checksums. Raises `BlocksetError`."""
        directory = blockset.directory
        files = read_manifest(directory).files
        self._blockset = blockset
        self._feeds = list(blockset.feeds)
        for name in (FACTS_FILE, FACT_TABLE_FILE):
            if name not in files:
                raise BlocksetError(f"{directory / 'manifest.json'}: says nothing of {name}")
        content = memoryview(read_checked(directory / FACTS_FILE, files[FACTS_FILE]))
        encoded = read_checked(directory / FACT_TABLE_FILE, files[FACT_TABLE_FILE])
        try:
            self._table = msgspec.msgpack.decode(encoded, type=AnnotationTable)
        except msgspec.DecodeError as exc:
            raise BlocksetError(f"{directory / FACT_TABLE_FILE}: {exc}") from None
        self._rows = content.cast(FACT_CODES[self._table.fact_bytes])
        if len(self._rows) != blockset.names + blockset.networks:
            raise BlocksetError(f"{directory / FACTS_FILE}: not {self._table.fact_bytes} bytes for each name and network")

    def of(self, listing: Listing) -> Annotation:
        """Of one of those that `Blockset.lookup` gave."""
        return self._of(self._blockset.name_number(reversed_key(listing.name)), listing.feed)

    def of_address(self, listing: AddressListing) -> Annotation:
        """Of one of those that `Blockset.lookup_address` gave."""
        number = self._blockset.network_number(listing.network)
        return self._of(None if number is None else self._blockset.names + number, listing.feed)

    def first_days(self) -> Iterator[tuple[str, int, int]]:
        """Feed, the day since the epoch on which it was first seen to list them (0: unknown), how many names."""
        names = Counter(self._rows[: self._blockset.names])
        days: Counter[tuple[str, int]] = Counter()
        for row, count in names.items():
            for (feed, _), (day, _) in zip(self._combination(row), self._table.facts[row], strict=False):
                days[feed, day] += count
        for (feed, day), count in days.items():
            yield feed, day, count

    def about(self, number: int, feed: str) -> tuple[int, int]:
        """First day and detail, counted from 1 (0: none), of what `feed` says of the name or network with that number."""
        row = self._rows[number]
        for (said_by, _), known in zip(self._combination(row), self._table.facts[row], strict=False):
            if said_by == feed:
                return known
        return 0, 0

    def row(self, number: int) -> int:
        """What `about_row` is to be asked for the name or network with that number. Many have the same."""
        return self._rows[number]

    def about_row(self, row: int) -> Iterator[tuple[str, int, int, int]]:
        """Feed, what it says (`with_actions`), first day and detail, of every feed that lists the names of that row."""
        for (feed, said), (day, detail) in zip(self._combination(row), self._table.facts[row], strict=False):
            yield feed, said, day, detail

    def details(self, feed: str) -> list[PublisherAnnotation]:
        """What its publisher says of names of `feed`, each different thing once."""
        return self._table.details[self._feeds.index(feed)]

    def _combination(self, row: int) -> tuple[tuple[str, int], ...]:
        return self._blockset.combination(self._table.combinations[row])

    def _of(self, number: int | None, feed: str) -> Annotation:
        if number is None:
            return Annotation()
        day, detail = self.about(number, feed)
        told = self.details(feed)[detail - 1] if detail else ("", "", 0.0, 0.0)
        return Annotation(told[0], told[1], told[2], float(day * DAY_S), told[3])


def annotations_of(blockset: Blockset) -> Annotations | None:
    """Reads files. None when they cannot be used: then nothing is known beyond what is listed."""
    try:
        return Annotations(blockset)
    except (BlocksetError, OSError):
        return None
