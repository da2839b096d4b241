"""Signs published files as minisign does (https://jedisct1.github.io/minisign/), without that program.

A secret key file is one that `minisign -G -W` writes: without a password, because no one is there to type it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from pdns.errors import PdnsError
from pdns.files.safe_files import open_state, read_bounded, write_whole

SIGNATURE_SUFFIX: Final = ".minisig"
MOST_KEY_BYTES: Final = 4096
_ED25519, _PREHASHED, _NO_PASSWORD, _BLAKE2 = b"Ed", b"ED", b"\0\0", b"B2"
_KEY_BYTES: Final = 158
_CHUNK_BYTES: Final = 1024 * 1024


class KeyFileError(PdnsError):
    """A file that is not a secret key without a password."""


class SigningKey(NamedTuple):
    """A secret key with its number."""

    number: bytes
    seed: bytes

    @property
    def public(self) -> str:
        """The public key, as a feed's `minisign_key` has it."""
        return base64.b64encode(_ED25519 + self.number + _public(self.seed)).decode()


def key_from(path: Path) -> SigningKey:
    """The key in the file at `path`, which an administrator names. Raises `KeyFileError` and `OSError`."""
    return _parse(read_bounded(path, MOST_KEY_BYTES, follow_links=True))


def own_key(path: Path) -> SigningKey:
    """The key in the file at `path` of the state directory; made if there is none, with the public key beside it.

    Raises `KeyFileError` and `OSError`.
    """
    try:
        with open_state(path) as file:
            return _parse(file.read(MOST_KEY_BYTES))
    except FileNotFoundError:
        key = SigningKey(os.urandom(8), os.urandom(32))
        write_whole(path, _text_of(key), mode=0o600)
        return key


def sign(path: Path, name: str, key: SigningKey, now_s: float) -> bytes:
    """The signature file for the content of `path`, which will be called `name`. Blocks. Raises `OSError`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 (4 MB of memory)

    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    digest = hashlib.blake2b()
    with open_state(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    signature = private.sign(digest.digest())
    comment = f"timestamp:{int(now_s)}\tfile:{name}\thashed".encode()
    lines = (
        b"untrusted comment: signature of a response policy zone by pdns",
        base64.b64encode(_PREHASHED + key.number + signature),
        b"trusted comment: " + comment,
        base64.b64encode(private.sign(signature + comment)),
    )
    return b"\n".join(lines) + b"\n"


def public_key_text(key: SigningKey) -> bytes:
    """The public key file, as minisign reads it."""
    number = key.number[::-1].hex().upper()
    return f"untrusted comment: minisign public key {number}\n{key.public}\n".encode()


def _public(seed: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _parse(content: bytes) -> SigningKey:
    lines = content.split(b"\n")
    try:
        data = base64.b64decode(lines[1].strip(), validate=True)
    except (IndexError, binascii.Error):
        data = b""
    if len(data) != _KEY_BYTES or data[:2] != _ED25519:
        raise KeyFileError("not a minisign secret key")
    if data[2:4] != _NO_PASSWORD:
        raise KeyFileError("it has a password: make one without, `minisign -G -W`")
    number, secret, checksum = data[54:62], data[62:126], data[126:]
    if checksum != _checksum(number, secret) or _public(secret[:32]) != secret[32:]:
        raise KeyFileError("a damaged minisign secret key")
    return SigningKey(number, secret[:32])


def _text_of(key: SigningKey) -> bytes:
    secret = key.seed + _public(key.seed)
    unused = bytes(48)  # of the password: salt and limits
    data = _ED25519 + _NO_PASSWORD + _BLAKE2 + unused + key.number + secret + _checksum(key.number, secret)
    made = time.strftime("%Y-%m-%d", time.gmtime())
    return f"untrusted comment: minisign secret key of pdns, made {made}\n".encode() + base64.b64encode(data) + b"\n"


def _checksum(number: bytes, secret: bytes) -> bytes:
    return hashlib.blake2b(_ED25519 + number + secret, digest_size=32).digest()
