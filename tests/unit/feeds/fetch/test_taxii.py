"""Collections over TAXII 2.1, from a small server that speaks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from feeds.fetch import Fetched, Unchanged, taxii
from feeds.fetch.network import Network
from pdns.config.schema import Feed
from tests.unit.feeds.feedserver import FeedServer
from tests.unit.feeds.sourcecopy import SourceCopy

COLLECTION = "/api/collections/c1/"
MEDIA_TYPE = "application/taxii+json;version=2.1"


def indicator(number: int, *, modified: int = 0, revoked: bool = False, **more: object) -> dict[str, Any]:
    return {
        "type": "indicator",
        "spec_version": "2.1",
        "id": f"indicator--{number:08}-0000-4000-8000-000000000000",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": f"2026-01-01T00:00:{modified:02}Z",
        "pattern_type": "stix",
        "pattern": f"[domain-name:value = 'n{number}.example']",
        **({"revoked": True} if revoked else {}),
        **more,
    }


class Collection:
    """A collection: what was added, each with its time of addition; pages of `page` objects."""

    def __init__(self, server: FeedServer, page: int = 3) -> None:
        self.added: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[dict[str, str]] = []
        self.page = page
        self.with_next = True
        server.pages[f"{COLLECTION}objects/"] = self._objects

    def add(self, *objects: dict[str, Any]) -> None:
        for one in objects:
            self.added.append((f"2026-02-01T00:00:00.{len(self.added):06}Z", one))

    async def _objects(self, request: web.Request) -> web.Response:
        if request.headers["Accept"] != MEDIA_TYPE:
            return web.Response(status=406)
        self.asked.append(dict(request.query))
        after = request.query.get("next", request.query.get("added_after", ""))
        new = [(when, one) for when, one in self.added if when > after]
        some = new[: self.page]
        more = len(new) > len(some)
        envelope: dict[str, Any] = {"more": more, "objects": [one for _, one in some]} if some else {}
        if more and self.with_next:
            envelope["next"] = some[-1][0]
        headers = {"X-TAXII-Date-Added-First": some[0][0], "X-TAXII-Date-Added-Last": some[-1][0]} if some else {}
        return web.Response(text=json.dumps(envelope, indent=2), headers={"Content-Type": MEDIA_TYPE, **headers})


class Copy(SourceCopy):
    """A copy that is kept up to date."""

    def __init__(self, server: FeedServer, directory: Path, **more: object) -> None:
        feed = Feed(name="taxii", url="taxii+" + server.url(COLLECTION), **more)  # type: ignore[arg-type]
        super().__init__(feed, directory)

    async def fetch(self, network: Network) -> Fetched | Unchanged:
        return await taxii.fetch(self.feed, self.kept, self.new, network)

    def objects(self) -> dict[str, dict[str, Any]]:
        bundle = json.loads(self.raw.read_bytes())
        assert bundle["type"] == "bundle"
        assert bundle["id"].startswith("bundle--")
        objects = {one["id"]: one for one in bundle["objects"]}
        assert len(objects) == len(bundle["objects"]), "each object once"
        return objects


def test_a_collection_becomes_a_bundle_that_grows(server: FeedServer, tmp_path: Path) -> None:
    """All pages first; after that only what was added since, put to what is there; nothing new is unchanged."""
    collection, copy = Collection(server), Copy(server, tmp_path)
    collection.add(*(indicator(number) for number in range(8)))
    assert isinstance(copy.refresh(), Fetched)
    assert list(copy.objects().values()) == [indicator(number) for number in range(8)]
    assert [sorted(asked) for asked in collection.asked] == [["limit"], ["limit", "next"], ["limit", "next"]]
    assert isinstance(copy.refresh(), Unchanged)
    assert collection.asked[-1]["added_after"] == "2026-02-01T00:00:00.000007Z"
    collection.add(indicator(100))
    assert isinstance(copy.refresh(), Fetched)
    assert len(collection.asked) == 5
    assert list(copy.objects().values()) == [*(indicator(number) for number in range(8)), indicator(100)]


def test_a_server_that_does_not_say_where_to_go_on(server: FeedServer, tmp_path: Path) -> None:
    """Without `next`, what was added after the last object is asked for."""
    collection, copy = Collection(server), Copy(server, tmp_path)
    collection.with_next = False
    collection.add(*(indicator(number) for number in range(8)))
    copy.refresh()
    assert len(copy.objects()) == 8


def test_new_versions_and_revocations(server: FeedServer, tmp_path: Path) -> None:
    """The newest version of an object counts, whenever it comes; of a revoked one nothing is left that could be a rule."""
    collection, copy = Collection(server, page=100), Copy(server, tmp_path)
    collection.add(indicator(1), indicator(2), indicator(3, modified=9), indicator(1, modified=5, name="second"))
    copy.refresh()
    first = indicator(1)["id"]
    assert copy.objects()[first]["name"] == "second"
    collection.add(
        indicator(1, modified=7, name="third"), indicator(2, modified=1, revoked=True), indicator(3, modified=8, name="old")
    )
    copy.refresh()
    objects = copy.objects()
    assert objects[first]["name"] == "third"
    assert "name" not in objects[indicator(3)["id"]]
    gone = objects[indicator(2)["id"]]
    assert gone["revoked"] is True
    assert "pattern" not in gone
    collection.add(indicator(2, name="late"), indicator(5, modified=5, name="new"), indicator(5, modified=1, name="older"))
    copy.refresh()
    assert copy.objects()[indicator(5)["id"]]["name"] == "new"
    assert copy.objects()[indicator(2)["id"]]["revoked"] is True


def test_a_copy_that_is_damaged_is_fetched_anew(server: FeedServer, tmp_path: Path) -> None:
    """What a failing disk made of the bundle does not end the feed."""
    collection, copy = Collection(server), Copy(server, tmp_path)
    collection.add(*(indicator(number) for number in range(5)))
    copy.refresh()
    copy.raw.write_bytes(copy.raw.read_bytes()[:400])
    collection.add(indicator(9))
    copy.refresh()
    assert len(copy.objects()) == 6


def test_validators_of_another_copy_are_not_used(server: FeedServer, tmp_path: Path) -> None:
    """What was added since one bundle cannot be put to another: all is asked for again."""
    collection, copy = Collection(server), Copy(server, tmp_path)
    collection.add(*(indicator(number) for number in range(5)))
    copy.refresh()
    assert copy.kept is not None
    copy.kept = copy.kept._replace(sha256="0" * 64)
    assert isinstance(copy.refresh(), Fetched)
    assert "added_after" not in collection.asked[-1]
    assert len(copy.objects()) == 5


def test_what_is_bounded(server: FeedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, pages, and a server that says that there is more for ever."""
    collection, copy = Collection(server), Copy(server, tmp_path, max_bytes=2500)
    collection.add(*(indicator(number) for number in range(20)))
    assert "longer than" in copy.refused()
    monkeypatch.setattr(taxii, "MAX_PAGES", 3)
    copy = Copy(server, tmp_path)
    assert copy.refused() == "more than 3 pages"
    server.serve(f"{COLLECTION}objects/", b'{"more": true, "objects": []}')
    assert copy.refused() == "the server says that there is more, and does not say how to get it"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "not an answer of TAXII 2.1"),
        (b'{"objects": [{"type": "indicator"}]}', "an object that is not STIX 2.1"),
        (b'{"objects": 1}', "not an answer of TAXII 2.1"),
    ],
)
def test_what_is_not_taxii(server: FeedServer, tmp_path: Path, body: bytes, reason: str) -> None:
    """A web page, an object without an identifier, nonsense: an error that says so."""
    server.serve(f"{COLLECTION}objects/", body)
    assert reason in Copy(server, tmp_path).refused()


def test_refusals(server: FeedServer, tmp_path: Path) -> None:
    """A collection that is not there, and one that wants a key."""
    copy = Copy(server, tmp_path)
    assert copy.refused() == "objects: the server said 404 Not Found"
    server.status(f"{COLLECTION}objects/", 401)
    assert "objects: the server said 401 Unauthorized: check the user and password" in copy.refused()
