"""What libFuzzer (guided.c) drives: it changes packets by which lines of the compiled part they reach.

`python -m tests.fuzz.guided DIRECTORY` writes the packets to start from.
"""

from __future__ import annotations

import asyncio
import sys
from hashlib import sha256
from pathlib import Path

from tests.fuzz.arena import BURST
from tests.fuzz.corpus import QUERIES, RESPONSES, real_packets
from tests.fuzz.entrypoints import entry_points
from tests.fuzz.mutate import Mutator
from tests.property.test_plain import NOT_PLAIN, PLAIN

_points = entry_points(asyncio.new_event_loop(), 1, 1)
_waiting: list[bytes] = []


def one(packet: bytes) -> None:
    """Feed `packet` to every entry point; those that take bursts get one when there are enough."""
    _waiting.append(packet)
    for point in _points:
        if point.at_once == 1:
            point.feed([packet])
        elif len(_waiting) == BURST:
            point.feed(_waiting)
    if len(_waiting) == BURST:
        _waiting.clear()


def write_seeds(directory: Path) -> None:
    """One file a packet."""
    directory.mkdir(parents=True, exist_ok=True)
    mutator = Mutator(QUERIES, 1)
    packets = [
        *QUERIES,
        *RESPONSES,
        *PLAIN.values(),
        *NOT_PLAIN.values(),
        *(mutator.query() for _ in range(100)),
        *(path.read_bytes() for path in real_packets()),
    ]
    for packet in packets:
        (directory / sha256(packet).hexdigest()[:16]).write_bytes(packet)


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
