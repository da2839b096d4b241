"""The certificate of a server for tests, its authority, and the digests that addresses of upstreams name."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.certificates import Issued, issue, write_pair

NAME = "dns.example"


class Identity(NamedTuple):
    """A server of the name `NAME`. `pair` is its certificate and key, `expired` another pair that is out of date."""

    pair: tuple[Path, Path]
    expired: tuple[Path, Path]
    server: Issued
    authority: Issued
    ca_file: str


def identity_in(folder: Path) -> Identity:
    """A new identity, with its files in `folder`."""
    authority = issue((), authority=True, subject="authority")
    server = issue((NAME,), issuer=authority)
    expired = issue((NAME,), issuer=authority, days=-1, since_days=-9)
    (folder / "ca.pem").write_bytes(authority.cert_pem)
    pairs = write_pair(folder, server), write_pair(folder, expired, name="expired")
    return Identity(*pairs, server, authority, str(folder / "ca.pem"))


def pin(issued: Issued) -> str:
    """The pin of a key."""
    key = issued.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "pin=sha256/" + base64.b64encode(hashlib.sha256(key).digest()).decode()


def signed_part(issued: Issued) -> str:
    """The digest of a certificate, as in DNS stamps."""
    return "tbs=sha256/" + base64.b64encode(hashlib.sha256(issued.certificate.tbs_certificate_bytes).digest()).decode()
