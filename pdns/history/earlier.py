"""What one tenant asked for on earlier days: for findings about names that are new to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pdns.errors import PdnsError
from pdns.history.days import DayFiles
from pdns.history.filters import DigestHashes


class EarlierDays(NamedTuple):
    """`days`: how many of the earlier days are known of the tenant. `asked`: the places of those digests that were asked."""

    days: int
    asked: set[int]


def asked_earlier(files: Sequence[DayFiles], tenant: str, digests: Sequence[bytes]) -> EarlierDays:
    """Which of `digests` the tenant asked for on the days of `files`. A day that cannot be read counts as unknown."""
    hashes = DigestHashes(digests)
    days, asked = 0, set[int]()
    for day in files:
        try:
            asked.update(day.read(tenant).find(hashes))
        except (OSError, PdnsError):
            continue
        days += 1
    return EarlierDays(days, asked)
