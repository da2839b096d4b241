"""Zones and local records, as a large council has them, of names that the traffic does not ask for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

ZONES: Final = 50
RECORDS: Final = 10_000


def text() -> str:
    """Sections of a configuration."""
    return "\n".join((*_zones(), *_records())) + "\n"


def _zones() -> Iterator[str]:
    for number in range(ZONES):
        yield f'[[zone]]\nnames = ["office{number}.example", "{number}.10.in-addr.arpa"]\nservers = ["udp://127.0.0.1:9"]'


def _records() -> Iterator[str]:
    for number in range(RECORDS):
        host, site = divmod(number, 100)
        yield f'[[record]]\nname = "host{host}.site{site}.example"\na = ["10.200.{site}.{host}"]'
