"""The credentials that devices are enrolled with: which tenant each stands for, and why one no longer stands for any."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final, Generic, TypeVar

UNKNOWN_TOKEN: Final = "unknown_token"  # noqa: S105 (a reason)
UNKNOWN_CERTIFICATE: Final = "unknown_certificate"
EXPIRED: Final = "expired"
REVOKED: Final = "revoked"
REFUSALS: Final = (UNKNOWN_TOKEN, UNKNOWN_CERTIFICATE, EXPIRED, REVOKED)  # labels of a metric

_KEY_BYTES: Final = 16  # of a digest
_T = TypeVar("_T")


def token_digest(token: bytes) -> bytes:
    """The SHA-256 of a token, which is all that is kept of it."""
    return hashlib.sha256(token).digest()


@dataclass(frozen=True, slots=True, eq=False)
class CredentialRules:
    """SHA-256 digests, of tokens and of client certificates in DER, with the name of the tenant that each stands for.

    `ended` has digests of either kind that are `EXPIRED` or `REVOKED`.
    """

    tokens: Mapping[bytes, str] = field(default_factory=dict)
    certificates: Mapping[bytes, str] = field(default_factory=dict)
    ended: Mapping[bytes, str] = field(default_factory=dict)


NO_CREDENTIAL_RULES: Final = CredentialRules()


class DigestTable(Generic[_T]):
    """Digest of a credential -> value. Entries are found by half of the digest, and compared in constant time."""

    def __init__(self) -> None:
        self._entries: dict[bytes, tuple[bytes, _T]] = {}

    def add(self, digest: bytes, value: _T) -> None:
        """An entry. The first one of a digest stays."""
        self._entries.setdefault(digest[:_KEY_BYTES], (digest, value))

    def get(self, digest: bytes) -> _T | None:
        """The value of a digest; None when there is no entry."""
        entry = self._entries.get(digest[:_KEY_BYTES])
        return entry[1] if entry is not None and compare_digest(entry[0], digest) else None
