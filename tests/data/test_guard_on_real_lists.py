"""The guard on real lists: what it holds of them, and whether a real ranking gets through in their place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from feeds.normalise import plain_key
from tests.data.test_real_feeds import BENIGN, JARELLLAMA, METAMASK, MILLION, URLHAUS, pytestmark  # noqa: F401 (skips all)
from tests.replay import Replay, poisons

LISTS = {
    "urlhaus": URLHAUS / "2025-07-19/urlhaus-filter-domains.txt",
    "scam": JARELLLAMA / "lists/adblock/scams_light.txt",
    "metamask": METAMASK / "hosts.txt",
}


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def names_of(path: Path) -> list[str]:
    """The names of a list, whatever its format."""
    words = (line.split()[-1].strip("|^") for line in path.read_text(errors="replace").splitlines() if line.strip())
    return sorted({word.lower() for word in words if plain_key(word.lower().encode()) is not None})


def ranking(name: str) -> list[str]:
    return [entry.lower() for entry in json.loads((BENIGN / name / "list.json").read_text())["list"] if "." in entry]


@pytest.mark.parametrize("kind", list(LISTS))
def test_real_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: asyncio.Runner, kind: str) -> None:
    """A year made of a real list, a month at a time: it grows, half of it is new each month. Nothing is held. Then, each of the
    twelve, with rankings that are not the shipped one: none of what they add is in force.
    """
    names = names_of(LISTS[kind])
    size = len(names) // 2
    replay = Replay(tmp_path, monkeypatch, loop)
    lists = [names[at * size // 26 : at * size // 26 + size + 10 * at] for at in range(26)]
    for lines in lists[:14]:
        replay.publish(lines)
        replay.day()
    assert replay.holds == 0
    popular, others = ranking("cloudflare-top5k"), ranking("disposable-email")
    outcomes = {}
    for script in poisons(lines, popular, others):
        said, bad = poisons(lines, popular, others)[script]
        replay.publish(said)
        replay.day()
        outcomes[script] = len(replay.live() & bad)
        replay.publish(lines)
        replay.day()
        assert set(replay.live()) <= set(lines)
    assert outcomes == dict.fromkeys(outcomes, 0)


def test_the_most_popular_names_in_place_of_a_scam_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: asyncio.Runner
) -> None:
    """As many, from each ranking at hand: none goes live, nor as a first load."""
    names = names_of(LISTS["scam"])[:2214]
    for name in ("cloudflare-top5k", "cisco_top5k", "tranco10k", "majestic_million"):
        replay = Replay(tmp_path / name, monkeypatch, loop)
        (tmp_path / name).mkdir()
        replay.publish(ranking(name)[:2214])
        replay.day()
        assert replay.live() == set(), name
        replay.publish(names)
        replay.day()
        before = replay.live()
        replay.publish(ranking(name)[:2214])
        for _ in range(60):
            replay.step()
        assert replay.live() == before, name


def test_a_real_list_of_a_million(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: asyncio.Runner) -> None:
    """Its first load is not held, and little of it is."""
    if not MILLION.is_file():
        pytest.skip("not unpacked")
    replay = Replay(tmp_path, monkeypatch, loop)
    replay.publish(MILLION.read_text().split())
    replay.step()
    assert replay.holds == 0
    assert len(replay.live()) > 1_150_000
