"""Feeds over http and https: conditional, bounded in time, bytes and redirects, and whole or not at all."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import msgspec

from feeds.fetch import Fetched, Unchanged, Validators
from feeds.fetch.candidate import Candidate, discard
from feeds.fetch.client import FetchClient, client
from feeds.fetch.network import Network
from feeds.fetch.verify import demanded, verify
from pdns.config.schema import Feed
from pdns.errors import FeedError

MAX_VALIDATOR_CHARACTERS = 1024


async def fetch(feed: Feed, known: Validators | None, into: Path, network: Network) -> Fetched | Unchanged:
    """The body behind `feed.url`, decoded and verified as `feed` demands, in the file `into`.

    `Unchanged` if the server says that `known` still holds. Raises `FeedError`, and leaves no file then.
    """
    vouched = known if known is not None and known.verified == demanded(feed) else None
    async with client(feed, network, known) as asking:
        async with asking.ask(feed.url, _conditions(vouched)) as response:
            fetched = (await _receive(feed, asking, response, vouched, into))._replace(moved_to=asking.moved_to)
            date = response.headers.get("Last-Modified", "")
        if isinstance(fetched, Unchanged) and not await _has_date(asking, feed, fetched.validators, date):
            async with asking.ask(feed.url) as response:
                fetched = (await _receive(feed, asking, response, None, into))._replace(moved_to=asking.moved_to)
        if isinstance(fetched, Unchanged) or not demanded(feed):
            return fetched
        try:
            signed_s = await verify(feed, asking, into, fetched.sha256, known)
        except BaseException:
            discard(into)
            raise
        validators = msgspec.structs.replace(
            fetched.validators, verified=demanded(feed), signed_by=feed.minisign_key, signed_s=signed_s
        )
        return fetched._replace(validators=validators)


def _conditions(known: Validators | None) -> dict[str, str]:
    pairs = (("If-None-Match", known.etag), ("If-Modified-Since", known.last_modified)) if known is not None else ()
    return {name: value for name, value in pairs if value}


async def _has_date(asking: FetchClient, feed: Feed, known: Validators, date: str) -> bool:
    """Whether the source has the very list that `known` is about, where 304 only says that it has no newer one.

    A publisher may go back to an older list. An entity tag is compared for equality, a date is not. `date` is that of the answer,
    which may be silent about it.
    """
    if known.etag:
        return True
    if not date:
        async with asking.ask(feed.url, method="HEAD") as response:
            date = response.headers.get("Last-Modified", "") if response.status == 200 else ""
    return date == known.last_modified


async def _receive(
    feed: Feed, asking: FetchClient, response: aiohttp.ClientResponse, known: Validators | None, into: Path
) -> Fetched | Unchanged:
    if response.status == 304:
        if known is None or not _conditions(known):
            raise FeedError(feed.name, "the server said 304 Not Modified although there is no copy to keep")
        return Unchanged(msgspec.structs.replace(known, public=asking.is_public))
    if response.status != 200:
        raise asking.refusal(response)
    with Candidate(into, feed.name, feed.max_bytes) as candidate:
        async for piece in asking.pieces(response, feed.max_bytes):
            candidate.write(piece)
    return Fetched(candidate.size_bytes, candidate.sha256, _validators(response, public=asking.is_public))


def _validators(response: aiohttp.ClientResponse, *, public: bool) -> Validators:
    def header(name: str) -> str:
        value = response.headers.get(name, "")
        return value if len(value) <= MAX_VALIDATOR_CHARACTERS else ""

    return Validators(etag=header("ETag"), last_modified=header("Last-Modified"), public=public)
