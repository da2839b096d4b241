"""Packed objects."""

from __future__ import annotations

import hashlib
import io

import msgspec
import pytest

from feeds.fleet import packed
from feeds.fleet.packed import BadObject
from feeds.fleet.release import StoredObject


def pack(content: bytes) -> tuple[bytes, StoredObject]:
    out = io.BytesIO()
    stored = packed.pack(io.BytesIO(content), out)
    return out.getvalue(), stored


@pytest.mark.parametrize("content", [b"", b"x", b"a line\n" * 1_000_000])
def test_pack_and_unpack(content: bytes) -> None:
    """Content comes back, and the same content is the same object."""
    data, stored = pack(content)
    assert stored == StoredObject(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), unpacked_bytes=len(content))
    assert packed.unpack(data, stored).read() == content
    assert pack(content)[1] == stored


def test_other_bytes_are_refused() -> None:
    """Bytes that are cut short, changed, or another object are refused before anything is unpacked."""
    data, stored = pack(b"content" * 100)
    for bad in (data[:-1], data + b"x", b"x" + data[1:], b"<html></html>"):
        with pytest.raises(BadObject, match="not the bytes that the release names"):
            packed.unpack(bad, stored)


def test_unpacked_size_is_bounded() -> None:
    """An object that unpacks to more or less than is said ends there."""
    data, stored = pack(b"content" * 100_000)
    for size in (0, 699_999, 700_001):
        with pytest.raises(BadObject, match="another size"):
            packed.unpack(data, msgspec.structs.replace(stored, unpacked_bytes=size)).read()
    junk = b"no zstd"
    named = StoredObject(sha256=hashlib.sha256(junk).hexdigest(), bytes=len(junk), unpacked_bytes=5)
    with pytest.raises(BadObject, match="damaged"):
        packed.unpack(junk, named).read()
