"""What each feed is worth: numbers to judge it by, from the live blockset and from what was asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Final

import msgspec

from pdns.blockset.annotations import Annotations
from pdns.blockset.reader import Blockset
from pdns.config.addresses import parse_allowed
from pdns.core.listing import BLOCK_BELOW, BLOCK_SUBTREE, Rule
from pdns.errors import InvalidName
from pdns.wire.names import ancestors, from_reversed_key, from_text, to_text

MAX_EXAMPLES: Final = 5
AGES_DAYS: Final = (1, 7, 30, 90)  # upper ends; then older, then unknown
AGE_LABELS: Final = ("1d", "7d", "30d", "90d", "older", "unknown")


class QualityCandidate(msgspec.Struct, frozen=True):
    """A name that is surely no threat, and that a feed lists all the same."""

    benign: str
    listed: str  # that name or one above it


class FeedQuality(msgspec.Struct, kw_only=True):
    """One feed. What was not asked for, or cannot be known, is None."""

    feed: str
    category: str
    entries: int = 0
    unique: int = 0  # names that no other feed lists
    addresses: int = 0
    expired: int = 0
    overlap: dict[str, int] = {}  # other feed -> names that both list
    hits: int | None = None  # queries for what it lists
    only_hits: int | None = None  # those that no other feed lists
    never_hit: int | None = None  # names that were never asked for
    overridden: int = 0  # names that an allowlist takes out of blocking, for somebody
    ages: dict[str, int] | None = None  # names by the days since they were first seen here
    benign: int | None = None  # names of the benign lists that it would block
    candidates: list[QualityCandidate] = []  # examples of those, the first of the lists first


class QualityReport(msgspec.Struct, frozen=True, kw_only=True):
    """All feeds of one blockset, in its order."""

    generation: int
    names: int
    feeds: list[FeedQuality]
    hits_since_s: float = 0.0
    benign_names: int = 0  # that were compared with
    problem: str = ""  # why something is missing


def measure(blockset: Blockset) -> dict[str, FeedQuality]:
    """What the blockset itself says: counts and overlaps. Costs nothing to speak of."""
    qualities = {
        feed.name: FeedQuality(
            feed=feed.name,
            category=feed.category,
            entries=feed.entries,
            unique=feed.unique_entries,
            addresses=feed.addresses,
            expired=feed.expired,
        )
        for feed in blockset.feeds.values()
    }
    overlap: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for number, names in enumerate(blockset.counts):
        blocking = [feed for feed, bits in blockset.combination(number) if bits & BLOCK_SUBTREE]
        for one, other in combinations(blocking, 2):
            overlap[one][other] += names
            overlap[other][one] += names
    for feed, quality in qualities.items():
        quality.overlap = {other: overlap[feed][other] for other in qualities if overlap[feed][other]}
    return qualities


def add_ages(qualities: Mapping[str, FeedQuality], facts: Annotations, today: int) -> None:
    """How long ago the names of each feed came; `today` is a day since the epoch."""
    for quality in qualities.values():
        quality.ages = dict.fromkeys(AGE_LABELS, 0)
    for feed, day, names in facts.first_days():
        label = AGE_LABELS[bisect_left(AGES_DAYS, max(1, today - day))] if day else AGE_LABELS[-1]
        ages = qualities[feed].ages
        assert ages is not None
        ages[label] += names


def add_never_hit(qualities: Mapping[str, FeedQuality], blockset: Blockset, was_met: Callable[[bytes], bool]) -> None:
    """Names of each feed that were not asked for. `was_met` is asked of every listed name, in wire form."""
    met: Counter[int] = Counter()
    for key, number in blockset.combinations():
        if was_met(from_reversed_key(key)):
            met[number] += 1
    for quality in qualities.values():
        quality.never_hit = 0
    for number, names in enumerate(blockset.counts):
        for feed, bits in blockset.combination(number):
            if bits & BLOCK_SUBTREE:
                quality = qualities[feed]
                quality.never_hit = (quality.never_hit or 0) + names - met[number]


def add_overridden(qualities: Mapping[str, FeedQuality], blockset: Blockset, allowed: Iterable[str]) -> None:
    """Listed names that entries of allowlists, as in the configuration, take out of blocking, wholly or below some name."""
    said: set[tuple[str, bytes]] = set()
    below_only: dict[bytes, bool] = {}
    for text in allowed:
        name, below = parse_allowed(text)
        below_only[name] = below and below_only.get(name, True)
        said.update(
            (listing.feed, listing.name)
            for listing in blockset.lookup(name)
            if not listing.allow and not (below and listing.rule is Rule.EXACT)
        )
    for key, number in blockset.combinations() if below_only else ():
        name = from_reversed_key(key)
        if bits := _allowed_bits(name, below_only):
            said.update((feed, name) for feed, listed in blockset.combination(number) if listed & bits)
    for feed, names in Counter(feed for feed, _ in said).items():
        qualities[feed].overridden = names


def _allowed_bits(name: bytes, below_only: Mapping[bytes, bool]) -> int:
    """Which of the bits that block `name` are taken out by entries for it or for names above it."""
    bits = 0
    for above in ancestors(name):
        if (below := below_only.get(above)) is not None:
            bits |= BLOCK_BELOW if below and above == name else BLOCK_SUBTREE
    return bits


def add_benign(qualities: Mapping[str, FeedQuality], blockset: Blockset, benign: Iterable[bytes]) -> int:
    """Names that are no threat and listed all the same: candidates for false positives. Returns how many were looked up."""
    looked_up = 0
    for quality in qualities.values():
        quality.benign, quality.candidates = 0, []
    for name in benign:
        looked_up += 1
        excepted = set()
        for listing in blockset.lookup(name):  # the most specific first
            quality = qualities[listing.feed]
            if listing.feed in excepted:
                continue
            excepted.add(listing.feed)
            if listing.allow:
                continue
            quality.benign = (quality.benign or 0) + 1
            if len(quality.candidates) < MAX_EXAMPLES:
                quality.candidates.append(QualityCandidate(to_text(name), to_text(listing.name)))
    return looked_up


def benign_names(path: Path) -> Iterator[bytes]:
    """The names of a file, one on a line or as `rank,name`; other lines are skipped. Raises `OSError`."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            text = line.partition("#")[0].strip().rpartition(",")[2].strip().strip('"').lstrip(".")
            if "." in text:
                try:
                    yield from_text(text.lower())
                except InvalidName:
                    continue
