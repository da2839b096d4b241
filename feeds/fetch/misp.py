"""MISP: events that a publisher puts on a web server, and searches of an instance. Both become one file of events, one a line."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

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

MAX_EVENTS = 50_000
MAX_MANIFEST_BYTES = 64 * 1024 * 1024
MAX_PAGES = 2000
PAGE_ATTRIBUTES = 5000
TOGETHER = 4  # events asked for at a time
_HEAD, _TAIL = b'{"response":[', b"]}"
_UUID = re.compile(r"[0-9a-fA-F-]{36}").fullmatch
_SEARCHED = ("domain", "hostname", "domain|ip", "url", "ip-dst")


class _Listed(msgspec.Struct):
    """An event in a manifest."""

    timestamp: str | int = ""


class _FetchedEvent(msgspec.Struct):
    uuid: str = ""
    timestamp: str | int = ""


class _ManifestMember(msgspec.Struct):
    Event: _FetchedEvent  # as MISP spells it


class _FetchedAttribute(msgspec.Struct):
    uuid: str = ""
    event_id: str | int = ""
    Event: msgspec.Raw = msgspec.Raw(b"{}")


class _FoundEvents(msgspec.Struct):
    Attribute: list[msgspec.Raw] = []


class _Answer(msgspec.Struct):
    response: _FoundEvents | list[msgspec.Raw]  # an empty result comes as an array


async def fetch_events(feed: Feed, kept: Kept | None, into: Path, network: Network) -> Fetched | Unchanged:
    """The events of the feed at `feed.url`, which has a `manifest.json`; only those that changed are asked for again.

    `Unchanged` if the manifest lists what the copy holds. Raises `FeedError`, and leaves no file then.
    """
    async with client(feed, network, kept.validators if kept is not None else None) as asking:
        base = _base(feed)
        listed = await _manifest(feed, asking, base / "manifest.json")
        before = await asyncio.to_thread(_held, kept.raw) if kept is not None else {}
        if before == listed:
            assert kept is not None
            return Unchanged(msgspec.structs.replace(kept.validators, public=asking.is_public))
        wanted = [uuid for uuid, timestamp in listed.items() if before.get(uuid) != timestamp]
        with Candidate(into, feed.name, feed.max_bytes) as candidate:
            writer = MemberWriter(candidate, _HEAD, _TAIL)
            if kept is not None and before:
                await asyncio.to_thread(_copy_current, kept.raw, listed, writer)
            for start in range(0, len(wanted), TOGETHER):
                some = wanted[start : start + TOGETHER]
                room_bytes = max(1, feed.max_bytes - candidate.size_bytes)
                for event in await asyncio.gather(*(_event(feed, asking, base, uuid, room_bytes) for uuid in some)):
                    writer.write(event)
            writer.finish()
    return Fetched(candidate.size_bytes, candidate.sha256, Validators(public=asking.is_public))


async def search(feed: Feed, known: Validators | None, into: Path, network: Network) -> Fetched:
    """What the MISP instance at `feed.url` finds, grouped by event; the query of the url is the search. Raises `FeedError`."""
    async with client(feed, network, known) as asking:
        found = await _search(feed, asking)
    with Candidate(into, feed.name, feed.max_bytes) as candidate:
        writer = MemberWriter(candidate, _HEAD, _TAIL)
        for event, attributes in sorted(found.items()):
            texts = b",".join(attributes[uuid] for uuid in sorted(attributes))
            inside = event[:-1] + b"," * (event != b"{}") + b'"Attribute":[' + texts + b"]}"
            writer.write(b'{"Event":' + inside + b"}")
        writer.finish()
    return Fetched(candidate.size_bytes, candidate.sha256, Validators(public=asking.is_public))


def _base(feed: Feed) -> URL:
    url = URL(web_url(feed.url))
    return url.parent if url.name == "manifest.json" else url


async def _manifest(feed: Feed, asking: FetchClient, url: URL) -> dict[str, str]:
    """The events listed, with the time of their last change."""
    body = await asking.document(url, "manifest.json", min(feed.max_bytes, MAX_MANIFEST_BYTES))
    try:
        listed = msgspec.json.decode(body, type=dict[str, _Listed])
    except msgspec.DecodeError as exc:
        raise FeedError(feed.name, f"manifest.json is not one of MISP: {exc}") from None
    if len(listed) > MAX_EVENTS:
        raise FeedError(feed.name, f"manifest.json lists {len(listed):,} events, more than {MAX_EVENTS:,}")
    if strange := next((uuid for uuid in listed if not _UUID(uuid)), None):
        raise FeedError(feed.name, f"manifest.json lists {strange[:40]!r}, which is not a UUID")
    return {uuid: str(event.timestamp) for uuid, event in listed.items()}


async def _event(feed: Feed, asking: FetchClient, base: URL, uuid: str, max_bytes: int) -> bytes:
    body = await asking.document(base / f"{uuid}.json", f"event {uuid}", max_bytes)
    try:
        member = msgspec.json.decode(body, type=_ManifestMember)
        text = one_line(body)
    except msgspec.DecodeError as exc:
        raise FeedError(feed.name, f"event {uuid} is not one of MISP: {exc}") from None
    if member.Event.uuid != uuid:
        raise FeedError(feed.name, f"event {uuid} is another one: {member.Event.uuid[:40]!r}")
    return text


def _held(raw: Path) -> dict[str, str]:
    """The events in a copy; those that cannot be read are not in it."""
    try:
        return {event.uuid: str(event.timestamp) for event in map(_read, members_of(raw))}
    except (OSError, msgspec.DecodeError):
        return {}


def _copy_current(raw: Path, listed: dict[str, str], writer: MemberWriter) -> None:
    for member in members_of(raw):
        event = _read(member)
        if listed.get(event.uuid) == str(event.timestamp):
            writer.write(member)


def _read(member: bytes) -> _FetchedEvent:
    return msgspec.json.decode(member, type=_ManifestMember).Event


async def _search(feed: Feed, asking: FetchClient) -> dict[bytes, dict[str, bytes]]:
    """What is said of an event -> its attributes by UUID."""
    url = URL(web_url(feed.url))
    asked = _asked(url)
    target = url.with_query(None) / "attributes" / "restSearch"
    found: dict[bytes, dict[str, bytes]] = {}
    seen: set[str] = set()
    size_bytes = 0
    for page in range(1, MAX_PAGES + 1):
        body = await asking.document(
            target,
            "restSearch",
            max(1, feed.max_bytes - size_bytes),
            headers={"Accept": "application/json", "Content-Type": "application/json"},
            body=msgspec.json.encode({**asked, "page": page, "limit": PAGE_ATTRIBUTES}),
        )
        size_bytes += len(body)
        if size_bytes > feed.max_bytes:
            raise FeedError(feed.name, over_limit(feed.max_bytes))
        try:
            answer = msgspec.json.decode(body, type=_Answer).response
            attributes = answer.Attribute if isinstance(answer, _FoundEvents) else []
            before = len(seen)
            for raw in attributes:
                attribute = msgspec.json.decode(raw, type=_FetchedAttribute)
                seen.add(attribute.uuid)
                event = attribute.Event if bytes(attribute.Event) != b"{}" else msgspec.json.encode({"id": attribute.event_id})
                found.setdefault(one_line(event), {})[attribute.uuid] = one_line(raw)
        except msgspec.DecodeError as exc:
            raise FeedError(feed.name, f"not an answer of MISP's restSearch: {exc}") from None
        if len(attributes) < PAGE_ATTRIBUTES or len(seen) == before:
            return found
    raise FeedError(feed.name, f"more than {MAX_PAGES:,} pages: search for less in its url")


def _asked(url: URL) -> dict[str, object]:
    asked: dict[str, object] = {"returnFormat": "json", "type": list(_SEARCHED), "to_ids": 1, "published": 1}
    for key in url.query:
        values = url.query.getall(key)
        asked[key] = values if len(values) > 1 else values[0]
    return asked
