"""MISP, as a feed on a web server and as an instance that is searched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from feeds.fetch import Fetched, Unchanged, misp
from feeds.fetch.network import Network
from pdns.config.schema import Feed
from tests.unit.feeds.feedserver import FeedServer
from tests.unit.feeds.sourcecopy import SourceCopy

KEY = "misp-key-0123456789"


def uuid(number: int) -> str:
    return f"{number:08}-0000-4000-8000-000000000000"


def event(number: int, timestamp: int = 1, domain: str = "") -> dict[str, Any]:
    attribute = {"type": "domain", "category": "Network activity", "to_ids": True, "value": domain or f"n{number}.example"}
    return {"Event": {"uuid": uuid(number), "timestamp": str(timestamp), "info": f"event {number}", "Attribute": [attribute]}}


class EventFeed:
    """A directory with a manifest."""

    def __init__(self, server: FeedServer) -> None:
        self._server = server
        self._manifest: dict[str, Any] = {}

    def put(self, number: int, timestamp: int = 1, domain: str = "") -> None:
        self._server.serve(f"/misp/{uuid(number)}.json", json.dumps(event(number, timestamp, domain), indent=4).encode())
        self._manifest[uuid(number)] = {"timestamp": str(timestamp), "info": "x", "Orgc": {"name": "us"}}
        self._publish()

    def drop(self, number: int) -> None:
        del self._manifest[uuid(number)]
        self._publish()

    def _publish(self) -> None:
        self._server.serve("/misp/manifest.json", json.dumps(self._manifest).encode())


class Copy(SourceCopy):
    """A copy that is kept up to date."""

    async def fetch(self, network: Network) -> Fetched | Unchanged:
        if self.feed.url.startswith("misp-api+"):
            return await misp.search(self.feed, None, self.new, network)
        return await misp.fetch_events(self.feed, self.kept, self.new, network)

    def events(self) -> list[dict[str, Any]]:
        document = json.loads(self.raw.read_bytes())
        assert list(document) == ["response"]
        response: list[dict[str, Any]] = document["response"]
        return response


def feed_copy(server: FeedServer, directory: Path, path: str = "/misp/", **more: object) -> Copy:
    return Copy(Feed(name="misp", url="misp+" + server.url(path), **more), directory)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["/misp/", "/misp", "/misp/manifest.json"])
def test_events_become_one_file(server: FeedServer, tmp_path: Path, path: str) -> None:
    """All events of the manifest, in its order; however the url names the feed."""
    events, copy = EventFeed(server), feed_copy(server, tmp_path, path)
    for number in range(10):
        events.put(number)
    assert isinstance(copy.refresh(), Fetched)
    assert copy.events() == [event(number) for number in range(10)]


def test_only_what_changed_is_fetched_again(server: FeedServer, tmp_path: Path) -> None:
    """An event that changed, or is new, is asked for; one that left the manifest is dropped; else only the manifest is."""
    events, copy = EventFeed(server), feed_copy(server, tmp_path)
    for number in range(3):
        events.put(number)
    copy.refresh()
    server.seen.clear()
    assert isinstance(copy.refresh(), Unchanged)
    assert [seen.path for seen in server.seen] == ["/misp/manifest.json"]
    events.put(1, 2, "changed.example")
    events.put(7)
    events.drop(0)
    server.seen.clear()
    assert isinstance(copy.refresh(), Fetched)
    assert sorted(seen.path for seen in server.seen)[:-1] == [f"/misp/{uuid(1)}.json", f"/misp/{uuid(7)}.json"]
    assert sorted(copy.events(), key=str) == sorted([event(2), event(1, 2, "changed.example"), event(7)], key=str)


def test_a_copy_that_is_damaged_is_fetched_anew(server: FeedServer, tmp_path: Path) -> None:
    """What cannot be read is asked for again."""
    events, copy = EventFeed(server), feed_copy(server, tmp_path)
    for number in range(3):
        events.put(number)
    copy.refresh()
    copy.raw.write_bytes(copy.raw.read_bytes()[:300])
    copy.refresh()
    assert copy.events() == [event(number) for number in range(3)]


def test_a_feed_that_is_not_whole(server: FeedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that is missing, another one, nonsense, a path for a UUID, too much: each is an error, and leaves no file."""
    events, copy = EventFeed(server), feed_copy(server, tmp_path)
    assert copy.refused() == "manifest.json: the server said 404 Not Found"
    events.put(1)
    events.put(2)
    server.status(f"/misp/{uuid(2)}.json", 404)
    assert copy.refused() == f"event {uuid(2)}: the server said 404 Not Found"
    server.serve(f"/misp/{uuid(2)}.json", json.dumps(event(1)).encode())
    assert copy.refused() == f"event {uuid(2)} is another one: '{uuid(1)}'"
    server.serve(f"/misp/{uuid(2)}.json", b"<html>")
    assert f"event {uuid(2)} is not one of MISP" in copy.refused()
    server.serve(f"/misp/{uuid(2)}.json", b" " * 5000)
    assert "longer than" in feed_copy(server, tmp_path, max_bytes=1000).refused()
    server.serve("/misp/manifest.json", b'{"../../etc/passwd": {"timestamp": "1"}}')
    assert "which is not a UUID" in copy.refused()
    server.serve("/misp/manifest.json", b"[]")
    assert "manifest.json is not one of MISP" in copy.refused()
    monkeypatch.setattr(misp, "MAX_EVENTS", 1)
    events.put(3)
    assert "lists 3 events, more than 1" in copy.refused()


class Instance:
    """A MISP that is searched."""

    def __init__(self, server: FeedServer) -> None:
        self.attributes: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        server.pages["/attributes/restSearch"] = self._search

    def add(self, number: int, event_number: int) -> None:
        about = {"id": str(event_number), "uuid": uuid(event_number), "info": f"event {event_number}"}
        self.attributes.append(
            {
                "uuid": uuid(1000 + number),
                "event_id": str(event_number),
                "type": "domain",
                "value": f"n{number}.example",
                "Event": about,
            }
        )

    async def _search(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != KEY:
            return web.json_response({"message": "Authentication failed"}, status=403)
        asked = await request.json()
        self.asked.append(asked)
        start = (asked["page"] - 1) * asked["limit"]
        return web.json_response({"response": {"Attribute": self.attributes[start : start + asked["limit"]]}})


def search_copy(server: FeedServer, directory: Path, query: str = "", **more: object) -> Copy:
    (directory / "key").write_text(KEY)
    feed = Feed(name="misp", url=f"misp-api+{server.url('/')}{query}", token_file=str(directory / "key"), **more)  # type: ignore[arg-type]
    return Copy(feed, directory)


def test_answers_that_would_take_memory_are_refused(server: FeedServer, tmp_path: Path) -> None:
    """JSON nested deeply, and more values than any honest answer has, are an error before they are taken apart."""
    copy = feed_copy(server, tmp_path)
    server.serve("/misp/manifest.json", b'{"x":{"y":' + b"[" * 100_000)
    assert "nested too deeply" in copy.refused()
    server.serve("/misp/manifest.json", b'{"x":[' + b"1," * 4_000_001 + b"1]}")
    assert copy.refused() == "manifest.json: more than 4,000,000 values in one answer"


def test_a_search_is_grouped_by_event(server: FeedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages; each event once with its attributes; the same find makes the same file, whatever its order."""
    monkeypatch.setattr(misp, "PAGE_ATTRIBUTES", 4)
    instance, copy = Instance(server), search_copy(server, tmp_path)
    for number in range(10):
        instance.add(number, number % 3)
    first = copy.refresh()
    assert [asked["page"] for asked in instance.asked] == [1, 2, 3]
    found = {member["Event"]["uuid"]: member["Event"] for member in copy.events()}
    assert {key: sorted(one["value"] for one in said["Attribute"]) for key, said in found.items()} == {
        uuid(number): [f"n{n}.example" for n in range(10) if n % 3 == number] for number in range(3)
    }
    assert found[uuid(1)]["info"] == "event 1"
    instance.attributes.reverse()
    second = copy.refresh()
    assert isinstance(first, Fetched)
    assert isinstance(second, Fetched)
    assert first.sha256 == second.sha256


def test_the_query_is_the_search(server: FeedServer, tmp_path: Path) -> None:
    """What is asked for by default, and what the url asks for beside it."""
    instance, copy = Instance(server), search_copy(server, tmp_path, "?tags=tlp:clear&last=30d&type=domain&type=url")
    instance.add(1, 1)
    copy.refresh()
    asked = instance.asked[0]
    assert (asked["tags"], asked["last"], asked["type"]) == ("tlp:clear", "30d", ["domain", "url"])
    assert (asked["to_ids"], asked["published"], asked["returnFormat"]) == (1, 1, "json")


def test_searches_that_fail(server: FeedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong key, nonsense, a redirect, and a server that has the same page for ever."""
    instance, copy = Instance(server), search_copy(server, tmp_path)
    (tmp_path / "key").write_text("wrong")
    assert copy.refused() == "restSearch: the server said 403 Forbidden: check the licence or key that this feed needs"
    (tmp_path / "key").write_text(KEY)
    server.serve("/attributes/restSearch", b"<html>")
    assert "not an answer of MISP's restSearch" in copy.refused()
    server.redirect("/attributes/restSearch", "/elsewhere")
    assert "which a search must not be" in copy.refused()
    server.serve("/attributes/restSearch", b'{"response": []}')
    copy.refresh()
    assert copy.events() == []
    monkeypatch.setattr(misp, "PAGE_ATTRIBUTES", 2)
    again = json.dumps({"response": {"Attribute": instance.attributes or [{"uuid": uuid(1)}, {"uuid": uuid(2)}]}}).encode()
    server.serve("/attributes/restSearch", again)
    copy.refresh()
    assert len(copy.events()) == 1
