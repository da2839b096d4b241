"""Numbers of variable length."""

from __future__ import annotations

import pytest

from pdns.wire.varint import varint


@pytest.mark.parametrize(
    ("number", "encoded"), [(0, "00"), (127, "7f"), (128, "8001"), (150, "9601"), (16384, "808001"), (0xFFFFFFFF, "ffffffff0f")]
)
def test_bytes_of_a_number(number: int, encoded: str) -> None:
    """150 is the example of the description of Protocol Buffers."""
    assert varint(number).hex() == encoded
