"""Collections of threat intelligence over TAXII 2.1: what was added since, put into a STIX bundle that is the copy."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import msgspec
from yarl import URL

from feeds.fetch import Fetched, Kept, Unchanged, Validators
from feeds.fetch.candidate import Candidate, over_limit
from feeds.fetch.client import FetchClient, client
from feeds.fetch.members import MemberWriter, members_of, one_line
from feeds.fetch.network import Network
from pdns.config.addresses import web_url
from pdns.config.schema import Feed
from pdns.errors import FeedError

MAX_PAGES = 2000
PAGE_OBJECTS = 1000  # asked for; servers give what they like
_MEDIA_TYPE = "application/taxii+json;version=2.1"
_ADDED_LAST = "x-taxii-date-added-last"
_HEAD = b'{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000000","objects":['
_TAIL = b"]}"


class _Envelope(msgspec.Struct):
    """TAXII 2.1, 3.7."""

    more: bool = False
    next: str = ""
    objects: list[msgspec.Raw] = []


class _ServerVersion(msgspec.Struct):
    """What tells versions of a STIX object apart (STIX 2.1, 3.6)."""

    id: str
    type: str
    created: str = ""
    modified: str = ""
    revoked: bool = False

    @property
    def moment(self) -> str:
        """Texts in the order of the versions, however many digits their seconds have."""
        return (self.modified or self.created).rstrip("Zz")


class _New(NamedTuple):
    version: _ServerVersion
    text: bytes


class _DamagedCopyError(Exception):
    """The bundle from before cannot be read: all is to be asked for again."""


async def fetch(feed: Feed, kept: Kept | None, into: Path, network: Network) -> Fetched | Unchanged:
    """The collection, in the file `into`: of each object the newest version, of a revoked one no more than that it is.

    `Unchanged` if nothing was added since. What was added is held in memory, at most `feed.max_bytes`. Raises `FeedError`, and
    leaves no file then.
    """
    try:
        return await _fetch(feed, kept, into, network)
    except _DamagedCopyError:
        return await _fetch(feed, None, into, network)


async def _fetch(feed: Feed, kept: Kept | None, into: Path, network: Network) -> Fetched | Unchanged:
    before = kept.validators if kept is not None else None
    if kept is not None and not kept.can_grow:
        kept = None
    added_after = kept.validators.added_after if kept is not None else ""
    async with client(feed, network, before) as asking:
        new, added_last = await _ask(feed, asking, added_after)
    if kept is not None and not new:
        return Unchanged(msgspec.structs.replace(kept.validators, public=asking.is_public))
    with Candidate(into, feed.name, feed.max_bytes) as candidate:
        copy = kept.raw if kept is not None and added_after else None
        try:
            await asyncio.to_thread(_merge, copy, new, candidate)
        except (OSError, msgspec.DecodeError):
            raise _DamagedCopyError from None
    validators = Validators(added_after=added_last, sha256=candidate.sha256, public=asking.is_public)
    return Fetched(candidate.size_bytes, candidate.sha256, validators)


async def _ask(feed: Feed, asking: FetchClient, added_after: str) -> tuple[dict[str, _New], str]:
    new: dict[str, _New] = {}
    size_bytes = 0
    added_last, following = added_after, ""
    for _ in range(MAX_PAGES):
        headers: dict[str, str] = {}
        page = await _page(feed, asking, added_after, following, feed.max_bytes - size_bytes, headers)
        for raw in page.objects:
            size_bytes += len(bytes(raw))
            if size_bytes > feed.max_bytes:
                raise FeedError(feed.name, over_limit(feed.max_bytes))
            _take(feed, raw, new)
        added_last = headers.get(_ADDED_LAST, added_last)
        if not page.more:
            return new, added_last
        if not page.objects or not (page.next or added_last > added_after):
            raise FeedError(feed.name, "the server says that there is more, and does not say how to get it")
        following = page.next
        if not following:
            added_after = added_last
    raise FeedError(feed.name, f"more than {MAX_PAGES:,} pages")


async def _page(
    feed: Feed, asking: FetchClient, added_after: str, following: str, max_bytes: int, answer_headers: dict[str, str]
) -> _Envelope:
    query = {"limit": str(PAGE_OBJECTS), "added_after": added_after, "next": following}
    url = _objects_url(feed.url).update_query({key: value for key, value in query.items() if value})
    body = await asking.document(
        url, "objects", max(max_bytes, 1), headers={"Accept": _MEDIA_TYPE}, answer_headers=answer_headers
    )
    try:
        return msgspec.json.decode(body, type=_Envelope) if body.strip() else _Envelope()
    except msgspec.DecodeError as exc:
        raise FeedError(feed.name, f"not an answer of TAXII 2.1: {exc}") from None


def _objects_url(url: str) -> URL:
    collection = URL(web_url(url))
    return collection if collection.path.rstrip("/").endswith("/objects") else collection / "objects" / ""


def _take(feed: Feed, raw: msgspec.Raw, new: dict[str, _New]) -> None:
    try:
        version = msgspec.json.decode(raw, type=_ServerVersion)
        text = one_line(raw) if not version.revoked else msgspec.json.encode(version)
    except msgspec.DecodeError as exc:
        raise FeedError(feed.name, f"an object that is not STIX 2.1: {exc}") from None
    known = new.get(version.id)
    if known is None or known.version.moment <= version.moment:
        new[version.id] = _New(version, text)


def _merge(before: Path | None, new: dict[str, _New], candidate: Candidate) -> None:
    writer = MemberWriter(candidate, _HEAD, _TAIL)
    for member in members_of(before) if before is not None else ():
        old = msgspec.json.decode(member, type=_ServerVersion)
        change = new.get(old.id)
        if change is not None and change.version.moment >= old.moment:
            continue
        new.pop(old.id, None)
        writer.write(member)
    for change in new.values():
        writer.write(change.text)
    writer.finish()
