from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.feeds import feedserver
from tests.unit.feeds.feedserver import FeedServer


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = feedserver.make_certificate(tmp_path_factory.mktemp("certificate"))
    if made is None:
        pytest.skip("needs openssl to make a certificate")
    return made
