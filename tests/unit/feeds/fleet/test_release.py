"""Documents of a fleet: what is out of bounds is refused before anything uses it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from feeds.fleet.release import MAX_NUMBER, BadDocument, Heartbeat, Release, decode, encode

OBJECT = {"sha256": "0" * 64, "bytes": 1, "unpacked_bytes": 1}
FEED = {"name": "a", "text": "0" * 64, "text_bytes": 1, "entries": 1, "full": OBJECT, "full_text": "0" * 64}
RELEASE = {"number": 1, "created_s": 1.0, "compiled": "0" * 64, "feeds": [FEED]}
BEAT = {"node": "n1", "ring": "all", "version": "1", "written_s": 1.0}


def test_documents() -> None:
    """One that is within its bounds is read as it was written."""
    for kind, plain in ((Release, RELEASE), (Heartbeat, BEAT)):
        document = decode(json.dumps(plain).encode(), kind)
        assert decode(encode(document), kind) == document


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 0}, {"number": MAX_NUMBER + 1}, {"number": 10**400}, {"created_s": 1e300}, {"format": 2},
        {"feeds": [FEED | {"name": "../a"}]}, {"feeds": [FEED | {"name": "/etc/a"}]}, {"feeds": [FEED | {"name": "\u001b[2J"}]},
        {"feeds": [FEED | {"text": "../../etc/passwd"}]}, {"feeds": [FEED | {"full": OBJECT | {"sha256": "../x"}}]},
        {"feeds": [FEED | {"full": OBJECT | {"bytes": 2**30}}]}, {"feeds": [FEED | {"full": OBJECT | {"unpacked_bytes": 2**40}}]},
        {"feeds": [FEED | {"seen_s": 1e300}]}, {"policy": OBJECT | {"bytes": -1}},
    ],
)  # fmt: skip
def test_releases_that_are_out_of_bounds(changes: dict[str, Any]) -> None:
    """Numbers that programs do not have, names of files, sizes that no memory has."""
    with pytest.raises(BadDocument):
        decode(json.dumps(RELEASE | changes).encode(), Release)


@pytest.mark.parametrize(
    "changes",
    [
        {"node": "../n1"}, {"ring": "x" * 100}, {"reason": "x" * 501}, {"error": "x" * 501}, {"refused": [1] * 51},
        {"queries": 10**400}, {"release": 2**60}, {"since_s": 1e300},
    ],
)  # fmt: skip
def test_heartbeats_that_are_out_of_bounds(changes: dict[str, Any]) -> None:
    """Nothing signs them: whoever may write one can write anything."""
    with pytest.raises(BadDocument):
        decode(json.dumps(BEAT | changes).encode(), Heartbeat)
