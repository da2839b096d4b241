"""The table of names of a blockset: its digest is checked when it is copied, but readers do not rely on that."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.fuzz.target import FileTarget
from tests.nametables import check_table, make_table

_DEEP: Final = b"\1a" * 127
_NAMES: Final = {
    b"\4test\4evil": 1, b"\4test\4evil\3www": 2, b"\4test\4good\1a\1b": 1, b"\3com\x08eight-by": 300, b"\3com": 1, _DEEP: 1,
    b"\3com\x3f" + b"x" * 63: 999,
}  # fmt: skip
_ASKED: Final = [*_NAMES, *(key + b"\1a" for key in _NAMES if key != _DEEP), b"", b"\3com\4evil", b"\1\0"]


def _tables() -> list[bytes]:
    many = {b"\4test" + bytes((4,)) + b"%04d" % number: number % 3 for number in range(300)}
    return [bytes(make_table(names, 1).content) for names in (_NAMES, {}, {b"": 7, **_NAMES}, many)]


def _read_table(content: bytes, _: Path) -> bool:
    return check_table(content, _ASKED)


NAME_TABLES: Final = {"table of names": FileTarget(_tables, _read_table)}
