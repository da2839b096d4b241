"""Millions of packets through every entry point of the compiled part:

    python -m tests.fuzz.hammer --packets 2000000 --seed 1

What a packet breaks, be it with an exception or with the process, is printed with its bytes and written to
`tests/fuzz/regressions/`, whose packets `test_regressions.py` sends through every time. The same seed makes the same packets.
"""

from __future__ import annotations

import argparse
import asyncio
import mmap
import os
import signal
import struct
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import TextIO

from tests.fuzz.arena import BURST
from tests.fuzz.corpus import QUERIES, RESPONSES, real_packets
from tests.fuzz.entrypoints import EntryPoint, entry_points
from tests.fuzz.mutate import Mutator

REGRESSIONS = Path(os.environ.get("PDNS_REGRESSIONS") or Path(__file__).parent / "regressions")  # not in a copy of the tree
_BOX_BYTES = 1 << 20
_BOX = struct.Struct("=I32sI")  # number of the packet, entry point, how many packets; then each with its length
_LENGTH = struct.Struct("=I")
_HANGING_S = 60.0  # over one burst


class BlackBox:
    """A mapped file with the packets and the entry point in use. It survives the end of the process, however it ends."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(_BOX_BYTES)
            self._memory = mmap.mmap(file.fileno(), _BOX_BYTES)

    def note(self, number: int, point: bytes, packets: Sequence[bytes]) -> None:
        _BOX.pack_into(self._memory, 0, number, point, len(packets))
        at = _BOX.size
        for packet in packets:
            _LENGTH.pack_into(self._memory, at, len(packet))
            at += 4 + len(packet)
            self._memory[at - len(packet) : at] = packet

    @staticmethod
    def read(path: Path) -> tuple[int, str, list[bytes]]:
        """The number of the packet, the entry point, the packets."""
        content = path.read_bytes()
        number, point, count = _BOX.unpack_from(content)
        at = _BOX.size
        packets = []
        for _ in range(count):
            (size,) = _LENGTH.unpack_from(content, at)
            packets.append(content[at + 4 : at + 4 + size])
            at += 4 + size
        return number, point.rstrip(b"\0").decode(), packets


def hammer(packets: Iterator[bytes], points: Sequence[EntryPoint], note: BlackBox | None) -> list[tuple[int, float]]:
    """Feed each of `packets` to each of `points`. Returns for each how many it got, and how many seconds they took."""
    fed, took_s = [0] * len(points), [0.0] * len(points)
    names = [point.name.encode() for point in points]
    number = 0
    while burst := list(islice(packets, BURST)):
        for at, point in enumerate(points):
            began_s = time.perf_counter()
            for start in range(0, len(burst), point.at_once):
                some = burst[start : start + point.at_once]
                if note is not None:
                    note.note(number + start, names[at], some)
                point.feed(some)
            fed[at] += len(burst)
            took_s[at] += time.perf_counter() - began_s
        number += len(burst)
    return list(zip(fed, took_s, strict=True))


def _work(arguments: argparse.Namespace) -> None:
    """The child: it may end at any moment."""
    loop = asyncio.new_event_loop()
    points = entry_points(loop, arguments.seed, arguments.compare_every)
    real = [path.read_bytes() for path in real_packets()]
    mutator = Mutator([*QUERIES, *RESPONSES] * (1 + len(real) // 40) + real, arguments.seed)
    as_they_are = iter(real)
    left = arguments.packets

    def packets() -> Iterator[bytes]:
        nonlocal left
        while left > 0:
            left -= 1
            yield next(as_they_are, None) or mutator.packet()

    began_s = time.perf_counter()
    counts = hammer(packets(), points, BlackBox(arguments.box))
    for point, (fed, took_s) in zip(points, counts, strict=True):
        more = "".join(f", {key.replace('_', ' ')} {value:,}" for key, value in vars(point).items() if key in _SHOWN)
        _print(f"  {point.name:32} {fed:>11,} packets {fed / took_s:>9,.0f}/s{more}")
    total, spent_s = sum(fed for fed, _ in counts), time.perf_counter() - began_s
    kinds = f"{arguments.packets:,} packets of seed {arguments.seed}, {len(real):,} of them real"
    _print(f"  {kinds}, fed {total:,} times in {spent_s:.0f} s")
    for point in points:
        point.close()
    loop.close()


_SHOWN = ("answered", "to_upstream", "taken")


def _print(text: str, file: TextIO = sys.stdout) -> None:
    file.write(text + "\n")
    file.flush()


def _wait_for(child: subprocess.Popen[bytes], box: Path) -> int:
    """The exit code of `child`, which is killed when it stays with the same packets for too long."""
    seen, since_s = b"", time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            return child.wait(1)
        now_at = box.read_bytes()[: _BOX.size]
        if now_at != seen:
            seen, since_s = now_at, time.monotonic()
        elif time.monotonic() - since_s > _HANGING_S and any(seen):
            child.send_signal(signal.SIGABRT)  # with PYTHONFAULTHANDLER=1 it says where it was


def write_regression(packets: Sequence[bytes], name: str, *, where: Path = REGRESSIONS) -> Path:
    """One packet a line, in hexadecimal digits."""
    where.mkdir(exist_ok=True)
    path = where / f"{name.split(maxsplit=1)[0].lower()}-{sha256(b''.join(packets)).hexdigest()[:12]}.hex"
    path.write_text("".join(packet.hex() + "\n" for packet in packets), encoding="ascii")
    return path


def read_regression(path: Path) -> list[bytes]:
    """The packets of a file of `write_regression`."""
    return [bytes.fromhex(line) for line in path.read_text(encoding="ascii").splitlines()]


def main() -> int:
    """0: nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.hammer", description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compare-every", type=int, default=8, help="how often the Python twin is asked as well")
    parser.add_argument("--box", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("error")
    if arguments.box is not None:
        try:
            _work(arguments)
        except BaseException:  # noqa: BLE001 - whatever it is, it was found
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)  # what stays open is of no interest
        return 0
    box = Path(os.environ.get("TMPDIR", "/tmp")) / f"pdns-hammer-{os.getpid()}"
    box.touch(mode=0o600, exist_ok=False)
    try:
        child = subprocess.Popen([sys.executable, "-m", "tests.fuzz.hammer", *sys.argv[1:], "--box", str(box)])
        code = _wait_for(child, box)
        if code == 0:
            return 0
        number, name, packets = BlackBox.read(box)
    finally:
        box.unlink()
    path = write_regression(packets, name)
    _print(f"\n{name} ended with code {code} at packet {number:,} of seed {arguments.seed}:", file=sys.stderr)
    _print(f"  {packets[0].hex()}" if len(packets) == 1 else f"  a burst of {len(packets)} packets", file=sys.stderr)
    _print(f"written to {path}; again with --seed {arguments.seed} --packets {number + BURST}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
