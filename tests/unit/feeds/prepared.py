"""State directories in which feeds are in force already: made by one refresh, and copied for each test that begins there."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from feeds.refresh import build_once
from pdns.config.schema import Feed
from pdns.state.feed_status import FeedsStatus, FeedStatus
from tests.unit.feeds.configs import configuration
from tests.unit.feeds.feedserver import FeedServer, Seen

GOOD = b"bad.example\nworse.example\n192.0.2.1\n"


def refresh(state_dir: Path, *feeds: Feed) -> dict[str, FeedStatus]:
    return build_once(configuration(state_dir, *feeds)).feeds


class Page(NamedTuple):
    """A list as the server sends it, with an ETag where it has one."""

    body: bytes
    etag: str = ""


@dataclass(frozen=True)
class Prepared:
    """The feeds of a prepared state directory, and what came of the refresh that made it."""

    feeds: tuple[Feed, ...]
    status: FeedsStatus

    @property
    def feed(self) -> Feed:
        (feed,) = self.feeds
        return feed


@dataclass(frozen=True)
class Served(Prepared):
    """The same, with the server that the feeds come from."""

    server: FeedServer


class Original:
    """The state directory after one refresh: a feed for each of `pages`, of the same name.

    A socket keeps the port that the URLs name: while no server listens there, connections are refused.
    """

    def __init__(self, state_dir: Path, pages: dict[str, Page]) -> None:
        self._state_dir, self._pages, self._seen = state_dir, pages, list[Seen]()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        with self._server() as server:
            self._feeds = tuple(Feed(name=name, url=server.url(f"/{name}"), max_bytes=100_000) for name in pages)
            self._status = build_once(configuration(state_dir, *self._feeds))
            self._seen = list(server.seen)

    def _server(self) -> FeedServer:
        server = FeedServer()
        server.port = self._socket.getsockname()[1]
        server.seen += self._seen
        for name, page in self._pages.items():
            server.serve(f"/{name}", page.body, etag=page.etag)
        return server

    def copy(self, state_dir: Path) -> Prepared:
        """A copy in `state_dir`, whose server does not run."""
        shutil.copytree(self._state_dir, state_dir, symlinks=True, dirs_exist_ok=True)
        return Prepared(self._feeds, self._status)

    @contextmanager
    def served(self, state_dir: Path) -> Iterator[Served]:
        """A copy in `state_dir`, whose server runs and has seen the requests of the first refresh."""
        self.copy(state_dir)
        with self._server() as server:
            yield Served(self._feeds, self._status, server)

    def close(self) -> None:
        self._socket.close()
