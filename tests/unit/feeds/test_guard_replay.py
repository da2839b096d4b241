"""The guard over a year of a publisher's versions: it lets ordinary years through, and no spoilt update goes live."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from feeds.popular import POPULAR
from tests.replay import DAY_S, Replay, poisons

DAYS = 365
Lists = Iterator[list[str]]


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def name(number: int, kind: str = "bad") -> str:
    digest = hashlib.sha256(f"{kind}{number}".encode()).hexdigest()
    return f"{digest[:10]}.{digest[10:13]}-{kind}.{('com', 'net', 'xyz', 'top', 'co.uk')[number % 5]}"


def sliding(sizes: Callable[[int, random.Random], int], daily: Callable[[int, random.Random], float]) -> Lists:
    """A list a day: `sizes` of it, a share of it (`daily`) new."""
    dice = random.Random(7)
    first = 0
    for day in range(DAYS):
        size = max(1, sizes(day, dice))
        first += int(daily(day, dice) * size)
        yield [name(number) for number in range(first, first + size)]


ORDINARY: dict[str, Callable[[], Lists]] = {
    "steady": lambda: sliding(lambda _day, dice: 2000 + dice.randint(-30, 30), lambda *_: 0.02),
    "growing": lambda: sliding(lambda day, _dice: 800 + 10 * day, lambda *_: 0.01),
    "growing by leaps": lambda: sliding(lambda day, _dice: int(500 * 1.6 ** (day // 60)), lambda *_: 0.01),
    "one day's names": lambda: sliding(lambda _day, dice: 600 + dice.randint(-150, 150), lambda *_: 0.95),
    "small": lambda: sliding(lambda _day, dice: dice.randint(5, 90), lambda *_: 0.5),
    "new each week": lambda: sliding(lambda day, _dice: 1500 + 2 * day, lambda day, _dice: 0.0 if day % 7 else 0.6),
    "shrinks for good, then 95 % new each month": lambda: sliding(
        lambda day, _dice: 3000 if day < 100 else 1800, lambda day, _dice: 0.95 if day % 30 == 10 and day > 100 else 0.005
    ),
    "a window that is emptied each month": lambda: sliding(lambda day, _dice: 700 + 60 * (day % 30), lambda *_: 0.04),
}


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", list(ORDINARY))
def test_a_year_without_an_incident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: asyncio.Runner, kind: str) -> None:
    """At most one false hold in a year, which ends by itself; what is in force afterwards is what the source says."""
    replay = Replay(tmp_path, monkeypatch, loop)
    for lines in ORDINARY[kind]():
        replay.publish(lines)
        replay.day()
    assert replay.holds <= 1
    assert replay.stale_s <= 4 * DAY_S
    assert replay.live() == set(lines)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_year_with_incidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: asyncio.Runner) -> None:
    """Outages, an error page, half a list: the old list stays meanwhile, and the feed finds back by itself."""
    replay = Replay(tmp_path, monkeypatch, loop)
    for day, lines in enumerate(ORDINARY["steady"]()):
        incident = {50: "away", 51: "away", 90: "page", 130: "half", 131: "half", 132: "half", 200: "empty", 201: "tenth"}.get(
            day
        )
        before = replay.live()
        said = {
            None: lines, "away": None, "page": ["<!doctype html>", "<p>sorry"], "half": lines[:1000], "empty": [],
            "tenth": lines[:200],
        }[incident]  # fmt: skip
        replay.publish(said)
        replay.day()
        if incident in ("away", "page", "empty", "tenth") or day == 130:
            assert replay.live() == before
        elif incident is None:
            assert replay.live() == set(lines), day
    assert replay.holds == 2  # half, and a tenth; not the way back


@pytest.mark.parametrize("kind", ["steady", "one day's names"])
def test_no_spoilt_update_goes_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: asyncio.Runner, kind: str) -> None:
    """Each of twelve: while it lasts, and a day and a half is long, none of what it adds is in force. Then the feed goes on."""
    popular = [line for line in POPULAR.read_text().splitlines() if not line.startswith("#")]
    others = [name(number, "good") for number in range(10_000)]
    replay = Replay(tmp_path, monkeypatch, loop)
    lists = ORDINARY[kind]()
    for lines in (next(lists) for _ in range(7)):
        replay.publish(lines)
        replay.day()
    assert replay.live() == set(lines)
    for script in poisons(lines, popular, others):
        if kind != "steady" and script == "another list of the size":
            continue  # names that are all new each day, and of which none is known, are what this feed lists
        lines = next(lists)
        said, bad = poisons(lines, popular, others)[script]
        assert bad, script
        replay.publish(said)
        for _ in range(3):
            replay.step()
            assert not replay.live() & bad, script
        assert replay.live(), script
        lines = next(lists)
        replay.publish(lines)
        replay.day()
        assert replay.live() == set(lines), script


@pytest.mark.parametrize("category", ["malware", "ads"])
def test_a_first_load_of_popular_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: asyncio.Runner, category: str
) -> None:
    """A list of threats that has no copy yet is held when it is mostly popular names; one about policy may be such a list."""
    replay = Replay(tmp_path, monkeypatch, loop, category=category)
    popular = [line for line in POPULAR.read_text().splitlines() if not line.startswith("#")][5000:5500]
    replay.publish(popular)
    replay.step()
    pending = replay.runner.quarantine.pending
    assert (pending is not None) == (category == "malware")
    if pending is not None:
        assert pending.finding.kind == "popularity"
        for _ in range(60):
            replay.step()
        assert replay.live() == set()  # that is for an administrator to release


def test_a_clock_that_jumps_ends_no_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: asyncio.Runner) -> None:
    """The time that a source persists is counted from refresh to refresh; many refreshes at once count as no time."""
    replay = Replay(tmp_path, monkeypatch, loop)
    lines = [name(number) for number in range(2000)]
    replay.publish(lines)
    replay.step()
    replay.publish(lines[:1000])
    replay.step()
    replay.now_s += 3650 * DAY_S
    replay.step()
    assert replay.runner.last_result == "held"
    replay.now_s -= 3650 * DAY_S
    replay.step()
    assert replay.runner.last_result == "held"
    replay.step()
    assert replay.live() == set(lines[:1000])


def test_after_a_drop_no_hold_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: asyncio.Runner) -> None:
    """Who discards an update is asked again about the next one like it."""
    replay = Replay(tmp_path, monkeypatch, loop)
    lines = [name(number) for number in range(2000)]
    replay.publish(lines)
    replay.step()
    replay.publish(lines[:1000])
    replay.step()
    replay.runner.quarantine.drop()
    replay.publish(lines[:1001])
    for _ in range(40):
        replay.step()
    assert replay.live() == set(lines)
    status = replay.runner.quarantine.status(replay.runner.limits)
    assert status is not None
    assert (status.persist_s, status.refreshes) == (0.0, 40)
