"""Documents of the store: what is packed is read, and never more than fits."""

from __future__ import annotations

import hashlib

import pytest
import zstandard

from feeds.fleet.release import (
    MAX_DOCUMENT_BYTES,
    BadDocument,
    Delta,
    FeedContent,
    Release,
    StoredObject,
    decode,
    encode,
    encode_small,
)


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
