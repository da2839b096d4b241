"""Tokens in the DoH URLs of devices."""

from __future__ import annotations

import secrets
from typing import Final

from pdns.core.enrolled import token_digest

TOKEN_BYTES: Final = 18  # 144 random bits are 24 characters, without padding


def new_token() -> str:
    """A token from the random numbers of the operating system, in base64url (RFC 4648, section 5)."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def sha256_of(token: str) -> str:
    """The SHA-256 of a token in hexadecimal: all that a server keeps of it."""
    return token_digest(token.encode()).hex()
