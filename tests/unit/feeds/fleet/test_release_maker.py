"""Objects on their way to the store."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from feeds.fleet.object_store import open_store
from feeds.fleet.packed import path_of
from feeds.fleet.release_maker import packed_policy, upload


@pytest.mark.parametrize("there", [b"", b"half", b"x" * 10_000, None])
def test_what_is_there_already_is_not_believed(tmp_path: Path, there: bytes | None) -> None:
    """A power cut leaves an empty file, and somebody else's file may have any content: neither is what nodes are sent to."""
    stored, data = packed_policy(b"[block]\n" * 100)
    path = tmp_path / path_of(stored.sha256)
    path.parent.mkdir()
    path.write_bytes(data if there is None else there)
    before = path.stat().st_ino
    asyncio.run(upload(open_store(tmp_path.as_uri()), stored, data))
    assert path.read_bytes() == data
    assert (path.stat().st_ino == before) == (there is None)
