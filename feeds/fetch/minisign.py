"""Minisign signatures (https://jedisct1.github.io/minisign/): Ed25519 over a file, or over its BLAKE2b-512 hash."""

from __future__ import annotations

import base64
import binascii
import hashlib
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

MAX_BYTES = 8 * 1024  # of a signature file; its comments have no bound of their own
_LEGACY, _PREHASHED = b"Ed", b"ED"
_TRUSTED = b"trusted comment: "
_CHUNK_BYTES = 1024 * 1024


class BadSignature(ValueError):
    """Not a signature by that key over that file. `str()` is the reason."""


class Signature(NamedTuple):
    """A signature file, taken apart."""

    algorithm: bytes
    key_id: bytes
    signature: bytes
    trusted_comment: bytes
    comment_signature: bytes


class Statement(NamedTuple):
    """What a signature says beside the list: its trusted comment, and whether it is over a hash of the list."""

    comment: str
    prehashed: bool

    @property
    def timestamp_s(self) -> float:
        """When it was made; 0 when it does not say."""
        value = self._field("timestamp")
        return float(value) if value is not None and value.isascii() and value.isdecimal() and len(value) <= 15 else 0.0

    @property
    def file(self) -> str | None:
        """The name of the file that was signed; None when it does not say."""
        return self._field("file")

    def _field(self, name: str) -> str | None:
        """The first field of that name. Minisign puts tabs between them; others put spaces."""
        parts = self.comment.split("\t") if "\t" in self.comment else self.comment.split(" ")
        return next((part.removeprefix(f"{name}:") for part in parts if part.startswith(f"{name}:")), None)


def verify_file(path: Path, signature_file: bytes, key: str) -> Statement:
    """What is said by a signature by the public key `key` over the content of `path`. Blocks: call it in a thread.

    Raises `BadSignature`, and `OSError` when the file cannot be read.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (4 MB of memory, for feeds that are signed only)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    wanted_id, public = _public_key(key)
    parts = parse(signature_file)
    if parts.key_id != wanted_id:
        raise BadSignature(f"it is by the key {_shown(parts.key_id)}, not by minisign_key, which is {_shown(wanted_id)}")
    verifier = Ed25519PublicKey.from_public_bytes(public)
    try:
        if parts.algorithm == _PREHASHED:
            verifier.verify(parts.signature, _hash(path))
        else:
            _verify_whole(verifier.verify, parts.signature, path)
    except InvalidSignature:
        raise BadSignature("it is not over this list: altered on the way, or one of the two is older than the other") from None
    try:
        verifier.verify(parts.comment_signature, parts.signature + parts.trusted_comment)
    except InvalidSignature:
        raise BadSignature("its trusted comment was altered") from None
    return Statement(parts.trusted_comment.decode("utf-8", "replace"), parts.algorithm == _PREHASHED)


def parse(signature_file: bytes) -> Signature:
    """Raises `BadSignature`."""
    lines = [line.rstrip(b"\r") for line in signature_file.split(b"\n")]
    if len(lines) < 4 or not lines[2].startswith(_TRUSTED):
        raise BadSignature("not a minisign signature file")
    main, comment = _decode(lines[1]), _decode(lines[3])
    if len(main) != 74 or len(comment) != 64 or main[:2] not in (_LEGACY, _PREHASHED):
        raise BadSignature("not a minisign signature file")
    return Signature(main[:2], main[2:10], main[10:], lines[2].removeprefix(_TRUSTED), comment)


def _public_key(text: str) -> tuple[bytes, bytes]:
    data = _decode(text.encode())
    if len(data) != 42 or data[:2] != _LEGACY:
        raise BadSignature("minisign_key is not a minisign public key")
    return data[2:10], data[10:]


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _hash(path: Path) -> bytes:
    digest = hashlib.blake2b()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()


def _verify_whole(verify: Callable[[bytes, bytes | memoryview], None], signature: bytes, path: Path) -> None:
    """The older form is over the file itself, which is mapped: it may be large."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            verify(signature, b"")
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, memoryview(content) as view:
            verify(signature, view)


def _shown(key_id: bytes) -> str:
    return key_id[::-1].hex().upper()  # as minisign prints it
