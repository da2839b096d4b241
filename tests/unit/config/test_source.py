"""The fingerprint of a feed's source: which settings make it another one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pdns.config.schema import Feed
from pdns.config.source import has_source, source_fingerprint


@pytest.mark.parametrize(
    "setting",
    [{"url_hosts": True}, {"column": "2"}, {"delimiter": ";"}, {"json_path": "[]"}, {"format": "csv"}, {"addresses": True}],
)
def test_settings_of_formats_decide_the_content(setting: dict[str, Any]) -> None:
    """A copy that was read under another setting is read again."""
    feed = Feed(name="test", url="file:///list")
    assert source_fingerprint(msgspec.structs.replace(feed, **setting)) != source_fingerprint(feed)


def test_the_fingerprint_stays_what_it_is() -> None:
    """Every blockset and every copy on disk holds it. One that changes makes each loaded feed count as another source."""
    feed = Feed(name="test", url="https://feeds.example/list", format="hosts", addresses=True)
    assert source_fingerprint(feed) == "67182cdbc0935e320de416f4fafb010c"


def test_fingerprints_of_earlier_versions_count() -> None:
    """They knew neither `top_level_domains` nor `active_until`: a feed that sets one of them has another source today."""
    feed = Feed(name="test", url="https://feeds.example/list", format="hosts", addresses=True)
    earlier = "d3762589e90ad9cfea137de7a74c9734"
    assert has_source(feed, earlier)
    assert has_source(feed, source_fingerprint(feed))
    for setting in ({"top_level_domains": True}, {"active_until": "2"}, {"url": "https://feeds.example/other"}):
        assert not has_source(msgspec.structs.replace(feed, **setting), earlier), setting
