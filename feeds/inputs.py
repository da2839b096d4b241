"""What the next blockset is made of: each feed's share, taken from an earlier blockset where the feed's files are lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from feeds.activation import Activation
from feeds.builder import Builder, BuildError
from feeds.jobs import Part
from feeds.live_blockset import Input
from pdns.blockset.layout import FeedEntry
from pdns.config.schema import Feed

_log = logging.getLogger(__name__)


class Source(Protocol):
    """A feed that has a share in blocksets."""

    feed: Feed

    @property
    def name(self) -> str: ...
    @property
    def lost(self) -> bool:
        """Whether it has no files to make its share from: it never loaded, or they are gone."""
        ...

    async def ready(self, builder: Builder) -> tuple[Input, Part] | None:
        """Its share of the next blockset; None while it has no usable copy. Raises `BuildError`."""
        ...

    def salvage(self, before: Input, blockset: str) -> tuple[Input, Part]:
        """Its share when it is lost: its entries in the blockset in that directory, which was made of `before`."""
        ...

    def reread(self, parsed: str) -> None:
        """The file of entries `parsed` is damaged: parse the copy again, unless newer entries have replaced it."""
        ...


class InputCollector:
    """Asks every source for its share."""

    def __init__(self, sources: Callable[[], Sequence[Source]], builder: Builder, activation: Activation) -> None:
        self._sources = sources
        self._builder = builder
        self._activation = activation
        self._salvaged: set[str] = set()  # feeds whose share was last taken from a blockset

    async def collect(self) -> list[tuple[Input, Part]]:
        """All shares. Raises `BuildError` when the blockset would list less because files are lost."""
        shares: list[tuple[Input, Part]] = []
        salvaged: set[str] = set()
        missing = []
        whole: tuple[int, dict[str, FeedEntry]] | None = None  # what lost shares are taken from
        for source in self._sources():
            share = await source.ready(self._builder)
            if share is None and source.lost:
                if whole is None:
                    whole = await asyncio.to_thread(self._activation.whole)
                generation, listed = whole
                if source.name in listed:
                    before = self._input_of(source, listed[source.name])
                    share = source.salvage(before, str(self._activation.directory(generation)))
                    salvaged.add(source.name)
                elif self._activation.may_have_listed(source.name):
                    missing.append(source.name)
            if share is not None:
                shares.append(share)
        if missing and (self._activation.workers_have_it or not shares):
            raise BuildError(f"nothing is left on the disk of {', '.join(missing)}: waiting for the source")
        for name in sorted(salvaged - self._salvaged):
            _log.error(
                "feed %s: its files are lost: its names stay blocked from the blockset until the source answers again", name
            )
        self._salvaged = salvaged
        return shares

    def reread(self, damaged: Mapping[str, str]) -> None:
        """Have the sources parse their copies again. `damaged`: feed -> its file of entries that cannot be read."""
        for source in self._sources():
            if source.name in damaged:
                source.reread(damaged[source.name])

    def _input_of(self, source: Source, listed: FeedEntry) -> Input:
        known = next((entry for entry in self._activation.live.inputs if entry.name == source.name), None)
        return known or Input(source.name, listed.source, source.feed.category, "", "")
