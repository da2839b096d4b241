"""Allowlists: what an entry covers."""

from __future__ import annotations

import pytest

from pdns.core.allow_list import AllowList
from pdns.wire import names


@pytest.mark.parametrize("entries", [["x.test", "*.x.test"], ["*.x.test", "x.test"]])
def test_a_name_and_what_is_below_it(entries: list[str]) -> None:
    """`x` covers `*.x`, in whichever order they stand."""
    allowed = AllowList(entries)
    assert len(allowed) == 1
    assert [allowed.allows(names.from_text(name)) for name in ("x.test", "a.x.test", "test", "ax.test")] == [
        True,
        True,
        False,
        False,
    ]


def test_only_what_is_below() -> None:
    """`*.x` does not cover `x`; an empty list covers nothing."""
    assert [AllowList(["*.x.test"]).allows(names.from_text(name)) for name in ("x.test", "a.x.test")] == [False, True]
    assert not AllowList([]).allows(names.from_text("x.test"))
