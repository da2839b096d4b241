"""docs/feed-formats.md tells the truth."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import cast, get_args

import pytest

from feeds.formats import READERS
from feeds.normalise import Reason
from pdns.config.value_types import FeedFormat
from pdns.errors import FeedError
from tests.unit.feeds.reading import odd, read

PAGE = (Path(__file__).parents[4] / "docs" / "feed-formats.md").read_text(encoding="utf-8").replace(r"\|", "\0")
REASONS = dict(re.findall(r"^\| `([a-z_]+)` \|[^|]*\|([^|]*)\|$", PAGE.partition("## Reasons")[2], re.MULTILINE))
FORMATS = re.findall(r"^\| `([a-z]+)` \|", PAGE.partition("## Decisions")[0], re.MULTILINE)


def test_every_reason_is_described() -> None:
    """The table has every reason there is, and no other."""
    assert set(REASONS) == {str(reason) for reason in Reason}


def test_every_format_is_described() -> None:
    """The table has every format that can be named, and each has a reader."""
    assert {*FORMATS, "auto"} == set(get_args(FeedFormat))
    assert set(FORMATS) == set(READERS)


EXAMPLES = [
    (reason, example.replace("\0", "|")) for reason, examples in REASONS.items() for example in re.findall(r"`([^`]+)`", examples)
]


@pytest.mark.parametrize(("reason", "example"), EXAMPLES)
def test_examples(reason: str, example: str) -> None:
    """Each example of a reason is counted by it, in a format that it belongs to."""
    said: list[dict[str, int]] = []
    for name in READERS:
        for wanted in (False, True):
            with suppress(FeedError):  # it is no JSON, or has no column
                said.append(odd(read(example, cast("FeedFormat", name), addresses=wanted)))
    assert any(reason in counts for counts in said)
