"""The answer cache in its arena: what is kept, what goes, and what a killed worker leaves behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.core.entry import NO_ROTATION, Entry, Verdict
from pdns.fast.cache import AnswerCache

ARENA_BYTES = 1 << 20
FIELDS = (
    "rcode",
    "source",
    "stored_s",
    "expires_s",
    "body",
    "counts",
    "ttls",
    "ad",
    "ede",
    "verdict",
    "monitored",
    "rules_epoch",
    "silent",
)


def entry(size: int = 40, source: str = "upstream", **fields: object) -> Entry:
    body = bytes(4) + (300).to_bytes(4) + bytes(size)
    made = Entry(0, source, 1000.0, 300, body=body, counts=b"\0\1\0\0", ttls=((4, 300),), rules_epoch=1)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def fields_of(kept: Entry | None) -> tuple[object, ...] | None:
    return None if kept is None else tuple(getattr(kept, name) for name in FIELDS)


@pytest.fixture
def memory() -> Iterator[int]:
    fd = os.memfd_create("arena")
    os.ftruncate(fd, ARENA_BYTES)
    yield fd
    os.close(fd)


EDES = st.tuples(st.integers(0, 30), st.binary(max_size=40))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Anything that an entry can be."""
    body = draw(st.binary(max_size=300))
    places = [at for at in draw(st.lists(st.integers(0, 300), max_size=5, unique=True)) if at + 4 <= len(body)]
    verdicts = st.builds(
        Verdict, st.sampled_from("ab"), st.just("malware"), st.just(b"\4evil\0"), st.sampled_from(["drop", "zero"])
    )
    ede = draw(st.none() | EDES)
    count = draw(st.integers(0, 4))
    return Entry(
        draw(st.sampled_from([0, 2, 3, 5])),
        draw(st.sampled_from(["blocked", "upstream", "error"])),
        1000.0,
        60,
        body=body,
        counts=b"\0\2\0\1",
        ttls=tuple((at, int.from_bytes(body[at : at + 4])) for at in places),
        ad=draw(st.booleans()),
        ede=ede,
        more_ede=() if ede is None else draw(st.lists(EDES, max_size=2).map(tuple)),
        rotation=(1, (len(body) - 1) // count, count) if count and body else NO_ROTATION,
        verdict=draw(st.none() | verdicts),
        monitored=draw(st.sampled_from([(), (("watch", "policy"),)])),
        rules_epoch=7,
    )


@given(st.lists(st.tuples(st.integers(0, 9), entries()), max_size=30))
def test_what_is_put_in_comes_out(steps: list[tuple[int, Entry]]) -> None:
    """An entry comes back with everything that it had, the last one put under its key."""
    cache = AnswerCache(1 << 18)
    kept: dict[bytes, Entry] = {}
    for number, made in steps:
        key = bytes([number] * 8)
        assert cache.put(key, made)
        kept[key] = made
    for key, made in kept.items():
        assert fields_of(cache.get(key)) == fields_of(made)
    assert len(cache) == len(kept)


@given(st.integers(0, 2**32), st.integers(70_000, 200_000))
def test_however_it_is_used_it_is_sound(seed: int, arena_bytes: int) -> None:
    """Put, asked for, removed, decided again, resized: what is there is what was put in last, and never more than has room."""
    rng = random.Random(seed)
    cache = AnswerCache(arena_bytes)
    last: dict[bytes, bytes] = {}
    for _ in range(600):
        key = b"key%d" % rng.randrange(400)
        what = rng.random()
        if what < 0.6:
            made = entry(rng.randrange(2000))
            cache.put(key, made)
            last[key] = made.body
        elif what < 0.9:
            found = cache.get(key)
            assert found is None or found.body == last[key]
        elif what < 0.95:
            cache.remove(key)
            assert cache.get(key) is None
        elif what < 0.99:
            cache.allowed_again(key, (("watch", "policy"),))
            found = cache.get(key)
            assert found is None or (found.rules_epoch, found.monitored) == (cache.rules_epoch, (("watch", "policy"),))
        else:
            cache.resize(rng.choice([70_000, 130_000, 300_000]))
        assert 0 <= cache.size_bytes <= 300_000
        assert (cache.size_bytes == 0) == (len(cache) == 0)


def test_a_flood_of_new_names_leaves_popular_answers() -> None:
    """A hundred thousand names asked once do not push out names that are asked again."""
    cache = AnswerCache(ARENA_BYTES)
    for number in range(500):
        cache.put(b"popular%d" % number, entry())
    for number in range(100_000):
        cache.put(b"flood%d" % number, entry())
        if number % 100 == 0:
            for popular in range(500):
                cache.get(b"popular%d" % popular)
    assert all(cache.get(b"popular%d" % number) is not None for number in range(500))
    assert cache.evictions > 90_000


def test_there_is_room_for_all_while_there_is_room() -> None:
    """Answers that are asked for once only stay as long as nothing else needs their place."""
    cache = AnswerCache(ARENA_BYTES)
    room = 0
    while cache.evictions == 0:
        cache.put(b"once%d" % room, entry())
        room += 1
    assert cache.size_bytes > ARENA_BYTES * 0.95


def test_what_left_too_early_is_given_a_better_place() -> None:
    """A name asked again soon after it went is kept like one that was asked twice; most are, for few bits remember who went."""
    names = [b"again%d" % number for number in range(40)]
    cache = AnswerCache(ARENA_BYTES)
    for number in range(20_000):
        cache.put(b"once%d" % number, entry())
    for name in names:
        assert cache.get(name) is None
        cache.put(name, entry())
    for number in range(2_000):
        cache.put(b"flood%d" % number, entry())
    for name in names:
        assert cache.get(name) is None
        cache.put(name, entry())
    for number in range(2_000):
        cache.put(b"torrent%d" % number, entry())
    assert sum(cache.get(name) is not None for name in names) >= len(names) // 4


def test_a_successor_finds_the_answers(memory: int) -> None:
    """Forwarded answers outlive their worker, to be decided again; blocked ones, which cost nothing to make, do not."""
    before = AnswerCache(0, memory)
    for number in range(1000):
        before.put(b"key%d" % number, entry(rules_epoch=before.rules_epoch))
    before.put(b"blocked", entry(source="blocked", verdict=Verdict("f", "malware", b"\4evil\0", "sinkhole")))
    rules_epoch, count = before.rules_epoch, len(before)
    after = AnswerCache(0, memory)
    assert len(after) == count - 1
    assert after.get(b"blocked") is None
    assert fields_of(after.get(b"key7")) == fields_of(entry(rules_epoch=rules_epoch))
    assert after.rules_epoch > rules_epoch


def test_rubbish_is_not_taken_over(memory: int) -> None:
    """Memory that holds no sound arena, or half of one, is begun anew; nothing of it is believed."""
    rng = random.Random(1)
    for _ in range(50):
        cache = AnswerCache(0, memory)
        for number in range(200):
            cache.put(b"key%d" % number, entry())
        for _ in range(rng.randrange(1, 200)):
            os.pwrite(memory, rng.randbytes(rng.randrange(1, 9)), rng.randrange(8, ARENA_BYTES // 8))
        after = AnswerCache(0, memory)
        for number in range(400):
            after.get(b"key%d" % number)
            after.put(b"more%d" % number, entry(100))
        assert after.size_bytes <= ARENA_BYTES


_PROBATION_AT, _MAIN_AT = 24, 56  # in the header, each: start, size, head, tail
_SIZE, _HEAD, _TAIL = 8, 16, 24


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (_MAIN_AT + _SIZE, 0),
        (_MAIN_AT + _SIZE, 4096),
        (_MAIN_AT + _HEAD, 12),
        (_PROBATION_AT + _TAIL, 4),
        (_PROBATION_AT + _HEAD, 1001),
    ],
)
def test_rings_that_cannot_be_are_not_taken_over(memory: int, field: int, value: int) -> None:
    """A ring of another size, or with an end where no record can begin, is begun anew, and works."""
    cache = AnswerCache(0, memory)
    for number in range(20):
        cache.put(b"key%d" % number, entry())
    os.pwrite(memory, value.to_bytes(8, sys.byteorder), field)
    after = AnswerCache(0, memory)
    assert len(after) == 0
    for number in range(20_000):
        after.put(b"more%d" % number, entry())
    assert after.get(b"more19999") is not None


_WRITER = """
import sys
from pdns.core.entry import NO_ROTATION, Entry
from pdns.fast.cache import AnswerCache
cache = AnswerCache(0, int(sys.argv[1]))
number = 0
print("writing", flush=True)
while True:
    number += 1
    key = b"key%d" % (number % 9000)
    body = key * (1 + number % 30)
    cache.put(key, Entry(0, "upstream", 1.0, 60, body=body, rules_epoch=cache.rules_epoch))
    cache.get(b"key%d" % (number * 7 % 9000))
"""


def test_a_writer_killed_at_any_moment_leaves_sound_records(memory: int) -> None:
    """Whenever a worker is killed, every answer that its successor finds is a whole one, and most are there."""
    rng = random.Random(2)
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(memory)], pass_fds=[memory], stdout=subprocess.PIPE
        ) as writer:  # fmt: skip
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"writing\n"
            time.sleep(0.05 + rng.random() / 20)
            writer.send_signal(signal.SIGKILL)
        cache = AnswerCache(0, memory)
        assert len(cache) > 500
        for number in range(9000):
            key = b"key%d" % number
            found = cache.get(key)
            assert found is None or (found.body and found.body == key * (len(found.body) // len(key)))


_AT_THE_EDGE = """
import ctypes, mmap, os, sys
from pdns.core.entry import NO_ROTATION, Entry
from pdns.fast.cache import AnswerCache
size = 65536
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
# leave a gap of just the arena's size, with an unreadable page behind it: the next mapping of that size goes there
room = libc.mmap(None, size + 4096, 0, 0x22, -1, 0)
libc.munmap(room, size)
cache = AnswerCache(size)
maps = [line.split()[0] for line in open("/proc/self/maps") if line.split()[1].startswith("rw")]
print("guarded" if any(area.endswith("-%x" % (room + size)) for area in maps) else "not guarded", flush=True)
for number in range(200_000):
    body = bytes(8 * (number * 7 % 61))
    cache.put(b"key%d" % (number % 5000), Entry(0, "upstream", 1.0, 60, body=body, rules_epoch=cache.rules_epoch))
    cache.get(b"key%d" % (number * 7 % 5000))
"""


def test_nothing_behind_the_arena_is_read() -> None:
    """Nothing reads beyond the arena, not even for a record that ends with it or a filler that is too short for a record."""
    run = subprocess.run([sys.executable, "-c", _AT_THE_EDGE], capture_output=True, text=True, check=False)
    assert run.stdout == "guarded\n"
    assert run.returncode == 0, run.stderr
