"""Documents of a fleet: what is out of bounds is refused before anything uses it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
import zstandard

from feeds.fleet.release import (
    MAX_DOCUMENT_BYTES,
    MAX_NUMBER,
    BadDocument,
    Delta,
    FeedContent,
    Heartbeat,
    Release,
    StoredObject,
    decode,
    encode,
    encode_small,
)

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


def sha256(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def release_with(deltas: int) -> Release:
    """Of one feed, with that many differences."""
    texts = [sha256(at) for at in range(deltas + 1)]
    objects = [StoredObject(sha256=sha256(1000 + at), bytes=3000 + at, unpacked_bytes=9000 + at) for at in range(deltas + 1)]
    chain = [Delta(before=texts[at], after=texts[at + 1], object=objects[at]) for at in range(deltas)]
    feed = FeedContent(
        name="a", text=texts[-1], text_bytes=1, entries=1, full=objects[-1], full_text=texts[0], deltas=chain, seen_s=1.5
    )
    return Release(number=7, created_s=2.5, compiled=sha256(5000), feeds=[feed], policy=objects[-1])


def test_packed_release() -> None:
    """It is the same document, in less than half of the bytes; one that is not packed is read as well."""
    release = release_with(16)
    assert decode(encode_small(release), Release) == decode(encode(release), Release) == release
    assert len(encode_small(release)) < len(encode(release)) / 2


@pytest.mark.parametrize(
    "data",
    [
        zstandard.compress(b" " * (MAX_DOCUMENT_BYTES + 1)),
        zstandard.ZstdCompressor(write_content_size=False).compress(b"{}"),
        encode_small(release_with(1))[:-3],
        zstandard.compress(b"<html>"),
    ],
)
def test_bad_packed_documents(data: bytes) -> None:
    """Too long when unpacked, of a size that is not said, cut off, or something else."""
    with pytest.raises(BadDocument):
        decode(data, Release)
