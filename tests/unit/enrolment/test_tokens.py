"""Tokens, and the URL that has one."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode

from pdns.core.enrolled import token_digest
from pdns.enrolment.tokens import TOKEN_BYTES, new_token, sha256_of


def test_a_token_is_long_enough_and_fits_in_a_path() -> None:
    """At least 128 random bits, in characters that no URL escapes; no two are alike."""
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{24}", token) for token in tokens)
    assert all(len(urlsafe_b64decode(token)) == TOKEN_BYTES for token in tokens)
    assert TOKEN_BYTES * 8 >= 128
    assert sha256_of("south") == token_digest(b"south").hex()
