"""The fingerprint of a feed's source: which settings make it another one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pdns.config.schema import Feed
from pdns.config.source import source_fingerprint


@pytest.mark.parametrize(
    "setting",
    [{"url_hosts": True}, {"column": "2"}, {"delimiter": ";"}, {"json_path": "[]"}, {"format": "csv"}, {"addresses": True}],
)
def test_settings_of_formats_decide_the_content(setting: dict[str, Any]) -> None:
    """A copy that was read under another setting is read again."""
    feed = Feed(name="test", url="file:///list")
    assert source_fingerprint(msgspec.structs.replace(feed, **setting)) != source_fingerprint(feed)
