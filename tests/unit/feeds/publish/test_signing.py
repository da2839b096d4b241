"""Signatures that the reader of feeds accepts; keys that minisign could have made."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from feeds.fetch.minisign import BadSignature, verify_file
from feeds.publish.signing import KeyFileError, key_from, own_key, public_key_text, sign


def test_a_signature_is_accepted(tmp_path: Path) -> None:
    """With its time and the name of the file; not over other content, and not by another key."""
    key = own_key(tmp_path / "minisign.key")
    path = tmp_path / "zone.rpz"
    path.write_bytes(b"content")
    signature = sign(path, "pdns.rpz", key, 1_796_000_000.5)
    statement = verify_file(path, signature, key.public)
    assert (statement.timestamp_s, statement.file, statement.prehashed) == (1_796_000_000, "pdns.rpz", True)
    assert public_key_text(key).decode().splitlines()[1] == key.public
    path.write_bytes(b"other")
    with pytest.raises(BadSignature):
        verify_file(path, signature, key.public)
    with pytest.raises(BadSignature):
        verify_file(path, signature, own_key(tmp_path / "other.key").public)


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """The file is for its owner alone, and is read again, also as an administrator's."""
    path = tmp_path / "minisign.key"
    key = own_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert own_key(path) == key_from(path) == key


@pytest.mark.parametrize(
    ("at", "reason"), [(0, "not a minisign secret key"), (2, "has a password"), (60, "damaged"), (70, "damaged")]
)
def test_other_files_are_refused(tmp_path: Path, at: int, reason: str) -> None:
    """Another form, a password, a changed byte of the key or its number: each has its reason, and nothing is overwritten."""
    path = tmp_path / "minisign.key"
    own_key(path)
    comment, text = path.read_bytes().splitlines()
    data = bytearray(base64.b64decode(text))
    data[at] ^= 1
    path.write_bytes(comment + b"\n" + base64.b64encode(data) + b"\n")
    content = path.read_bytes()
    with pytest.raises(KeyFileError, match=reason):
        own_key(path)
    assert path.read_bytes() == content
