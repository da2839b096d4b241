"""Where names stand in RDATA."""

from __future__ import annotations

import pytest

from pdns.errors import WireError
from pdns.wire.rdata import has_names, names_of

HIP = 55


def test_names_of_hip_stand_behind_tag_and_key() -> None:
    """RFC 8005, 5: a HIT of 2 bytes, an algorithm, a key of 3 bytes; servers follow up to the end."""
    rdata = b"\2\1\0\3" + b"hi" + b"key" + b"\1a\0"
    assert has_names(HIP)
    assert names_of(rdata, HIP, 0, len(rdata)) == (9, -1)
    with pytest.raises(WireError):
        names_of(rdata[:8], HIP, 0, 8)


def test_other_types_have_none() -> None:
    """The RDATA of an unknown type is never looked into."""
    assert not has_names(65280)
    assert names_of(b"\1a\0", 65280, 0, 3) == (0, 0)
