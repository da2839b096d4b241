"""Packets that once broke something, and some of the hammer's, through every entry point of the compiled part."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.corpus import QUERIES, RESPONSES
from tests.fuzz.entrypoints import check_reply, entry_points
from tests.fuzz.hammer import REGRESSIONS, BlackBox, hammer, read_regression, write_regression
from tests.fuzz.mutate import Mutator


def test_what_was_found_stays_mended() -> None:
    """Nothing breaks that a packet of before has broken."""
    _feed([packet for path in sorted(REGRESSIONS.glob("*.hex")) for packet in read_regression(path)])


def test_some_of_the_hammer() -> None:
    """The first thousands of the packets of `hammer.py` break nothing."""
    mutator = Mutator([*QUERIES, *RESPONSES], 7)
    _feed([mutator.packet() for _ in range(4000)])


def test_the_same_seed_makes_the_same_packets() -> None:
    """A finding can be had again: packets depend on the seed and on nothing else."""
    first, again, other = (Mutator([*QUERIES, *RESPONSES], seed) for seed in (3, 3, 4))
    made = [first.packet() for _ in range(500)]
    assert [again.packet() for _ in range(500)] == made
    assert [other.packet() for _ in range(500)] != made


def test_what_breaks_the_process_is_kept(tmp_path: Path) -> None:
    """The packets on which a process died are read from what it left, and written down to be fed again."""
    box = tmp_path / "box"
    box.touch()
    code = (
        "import os; from pathlib import Path; from tests.fuzz.hammer import BlackBox\n"
        f"BlackBox(Path({str(box)!r})).note(640, b'UdpListener', [b'one', b'', bytes(5000)]); os.abort()"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, stderr=subprocess.DEVNULL).returncode < 0
    number, name, packets = BlackBox.read(box)
    assert (number, name, packets) == (640, "UdpListener", [b"one", b"", bytes(5000)])
    assert read_regression(write_regression(packets, name, where=tmp_path)) == packets


@pytest.mark.parametrize(
    ("reply", "query"),
    [
        (b"\1\2\x81\x80" + bytes(8), b"\1\3\1\0" + bytes(8)),
        (b"\1\2\x01\x80" + bytes(8), b"\1\2\1\0" + bytes(8)),
        (b"\1\2\x81\x80" + bytes(8), b"\1\2\x81\0" + bytes(8)),
        (b"\1\2\x81\x80" + bytes(1300), b"\1\2\1\0" + bytes(8)),
    ],
    ids=["another id", "no QR", "to a response", "too long"],
)
def test_wrong_replies_are_seen(reply: bytes, query: bytes) -> None:
    """What every reply must be is asked of it."""
    with pytest.raises(AssertionError):
        check_reply(reply, query, 1232)


def _feed(packets: list[bytes]) -> None:
    loop = asyncio.new_event_loop()
    points = entry_points(loop, 1, 1)
    try:
        fed = hammer(iter(packets), points, None)
        assert [count for count, _ in fed] == [len(packets)] * len(points)
    finally:
        for point in points:
            point.close()
        loop.close()
