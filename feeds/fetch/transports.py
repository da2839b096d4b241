"""Which transport fetches a feed: its url decides."""

from __future__ import annotations

import asyncio
from pathlib import Path

from feeds.fetch import Fetched, Kept, Unchanged, file, http, misp, taxii, zone
from feeds.fetch.network import Network
from pdns.addresses import source_path, web_kind, zone_of
from pdns.config import Feed
from pdns.errors import FeedError


async def fetch(feed: Feed, kept: Kept | None, into: Path, network: Network) -> Fetched | Unchanged:
    """What is at `feed.url`, in the file `into`; `Unchanged` if what is kept is that still.

    Raises `FeedError`, and leaves no file then.
    """
    if (path := source_path(feed.url)) is not None:
        return await _read(feed, path, kept, into)
    if (primary := zone_of(feed.url)) is not None:
        return await zone.fetch(feed, primary, kept, into)
    match web_kind(feed.url):
        case "taxii+":
            return await taxii.fetch(feed, kept, into, network)
        case "misp+":
            return await misp.fetch_events(feed, kept, into, network)
        case "misp-api+":
            return await misp.search(feed, into, network)
        case _:
            return await http.fetch(feed, kept.validators if kept is not None else None, into, network)


async def _read(feed: Feed, path: Path, kept: Kept | None, into: Path) -> Fetched | Unchanged:
    known = kept.validators if kept is not None else None
    try:
        async with asyncio.timeout(feed.timeout_s):
            return await asyncio.to_thread(file.fetch, feed, path, known, into)
    except TimeoutError:
        reason = f"{path}: not read after timeout_s = {feed.timeout_s:g}: does its file system answer?"
        raise FeedError(feed.name, reason) from None
