"""Serials of a zone (RFC 1982): each version has a greater one, after restarts too, and whatever the clock does."""

from __future__ import annotations

from typing import Final

_NUMBERS: Final = 1 << 32
_HALF: Final = 1 << 31


def is_newer(serial: int, than: int) -> bool:
    """Whether `serial` is greater (RFC 1982, 3.2)."""
    return 0 < (serial - than) % _NUMBERS < _HALF


def newest(*serials: int | None) -> int | None:
    """The greatest of those that are known, None without one."""
    found: int | None = None
    for serial in serials:
        if serial is not None and (found is None or is_newer(serial, found)):
            found = serial
    return found


def next_serial(last: int | None, now_s: float) -> int:
    """The serial after `last`. The first one is the time: it is greater than all that were used before and are forgotten,
    because a zone gets at most one version a second.
    """
    serial = (last + 1 if last is not None else int(now_s)) % _NUMBERS
    return serial or 1
