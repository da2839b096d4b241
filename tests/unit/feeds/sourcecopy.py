"""A copy of a source that answers in parts, kept up to date by one transport, as a feed keeps it."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from feeds.fetch import Fetched, Kept, Unchanged
from feeds.fetch.network import Network
from pdns.config.schema import Feed
from pdns.errors import FeedError


class SourceCopy:
    """`raw` is what was last fetched."""

    def __init__(self, feed: Feed, directory: Path) -> None:
        self.feed = feed
        self.raw, self.new = directory / "raw", directory / "new"
        self.kept: Kept | None = None

    async def fetch(self, network: Network) -> Fetched | Unchanged:
        """Ask the source."""
        raise NotImplementedError

    def refresh(self) -> Fetched | Unchanged:
        async def run() -> Fetched | Unchanged:
            trusted = ssl.create_default_context()
            try:
                return await self.fetch(Network((), trusted, trusted))
            finally:
                await asyncio.sleep(0.001)

        result = asyncio.run(run())
        if isinstance(result, Fetched):
            assert result.size_bytes == self.new.stat().st_size
            self.new.rename(self.raw)
            self.kept = Kept(result.validators, self.raw, result.sha256, 0.0)
        return result

    def refused(self) -> str:
        with pytest.raises(FeedError) as caught:
            self.refresh()
        assert not self.new.exists()
        return caught.value.reason
