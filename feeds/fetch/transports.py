"""Which transport fetches a feed: its url decides.

The transports of web feeds load when the first web feed is fetched: aiohttp takes most of the time in which this process starts,
and lists on the disk need none of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from feeds.fetch import Fetched, FileStamp, Kept, Unchanged, file, fleet_text
from feeds.fetch.network import Network
from pdns.config.addresses import source_path, web_kind, zone_of
from pdns.config.fleet_rules import fleet_feed
from pdns.config.schema import Feed
from pdns.errors import FeedError

P = ParamSpec("P")
T = TypeVar("T")


async def fetch(feed: Feed, kept: Kept | None, into: Path, network: Network) -> Fetched | Unchanged:
    """What is at `feed.url`, in the file `into`; `Unchanged` if what is kept is that still.

    Raises `FeedError`, and leaves no file then.
    """
    if (path := source_path(feed.url)) is not None:
        return await _read(feed, path, kept, into)
    if (primary := zone_of(feed.url)) is not None:
        from feeds.fetch import zone  # noqa: PLC0415 (as the module says)

        return await zone.fetch(feed, primary, kept, into)
    if name := fleet_feed(feed.url):
        return await asyncio.to_thread(fleet_text.take, feed, network.texts.get(name), kept, into)
    from feeds.fetch import http, misp, taxii  # noqa: PLC0415 (as the module says)

    match web_kind(feed.url):
        case "taxii+":
            return await taxii.fetch(feed, kept, into, network)
        case "misp+":
            return await misp.fetch_events(feed, kept, into, network)
        case "misp-api+":
            return await misp.search(feed, kept.validators if kept is not None else None, into, network)
        case _:
            return await http.fetch(feed, kept.validators if kept is not None else None, into, network)


async def look(feed: Feed, path: Path) -> FileStamp | None:
    """`file.look`, for as long as an attempt may take. Raises `FeedError`."""
    return await _in_thread(feed, path, file.look, path)


async def _read(feed: Feed, path: Path, kept: Kept | None, into: Path) -> Fetched | Unchanged:
    return await _in_thread(feed, path, file.fetch, feed, path, kept.validators if kept is not None else None, into)


async def _in_thread(feed: Feed, path: Path, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        async with asyncio.timeout(feed.timeout_s):
            return await asyncio.to_thread(act, *args, **kwargs)
    except TimeoutError:
        reason = f"{path}: not read after timeout_s = {feed.timeout_s:g}: does its file system answer?"
        raise FeedError(feed.name, reason) from None
