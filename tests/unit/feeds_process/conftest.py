from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.feeds_process.feedserver import FeedServer


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as running:
        yield running
