from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.feeds import feedserver
from tests.unit.feeds.feedserver import FeedServer
from tests.unit.feeds.prepared import GOOD, Original, Page, Prepared, Served


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as running:
        yield running


@pytest.fixture(scope="session")
def _one_feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    with closing(Original(tmp_path_factory.mktemp("one-feed"), {"sample": Page(GOOD)})) as original:
        yield original


@pytest.fixture(scope="session")
def _two_feeds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Original]:
    pages = {"a": Page(b"a.example\n", etag='"1"'), "b": Page(b"b.example\n")}
    with closing(Original(tmp_path_factory.mktemp("two-feeds"), pages)) as original:
        yield original


@pytest.fixture
def one_feed(_one_feed: Original, tmp_path: Path) -> Iterator[Served]:
    """`tmp_path` is a state directory in which the feed `sample` is in force; its server runs."""
    with _one_feed.served(tmp_path) as prepared:
        yield prepared


@pytest.fixture
def one_feed_offline(_one_feed: Original, tmp_path: Path) -> Prepared:
    """The same; connections to the server are refused."""
    return _one_feed.copy(tmp_path)


@pytest.fixture
def two_feeds(_two_feeds: Original, tmp_path: Path) -> Iterator[Served]:
    """`tmp_path` is a state directory in which the feeds `a` and `b` are in force; their server runs."""
    with _two_feeds.served(tmp_path) as prepared:
        yield prepared


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = feedserver.make_certificate(tmp_path_factory.mktemp("certificate"))
    if made is None:
        pytest.skip("needs openssl to make a certificate")
    return made
