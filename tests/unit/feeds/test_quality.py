"""What each feed is worth: every number against one that was counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from feeds.quality import QualityCandidate, add_ages, add_benign, add_never_hit, add_overridden, benign_names, measure
from pdns.blockset.annotations import Annotations
from pdns.blockset.generations import publish
from pdns.blockset.reader import Blockset
from pdns.cli.quality import quality
from pdns.files.records import SECOND_COPY
from pdns.state import feed_hits
from pdns.state.feed_hits import MAX_NAMES, FeedHits, HitBook
from pdns.telemetry.counters import Counters
from pdns.telemetry.event_ring import name_hash
from pdns.telemetry.stats import Stats
from pdns.wire.names import from_text
from tests.blocksets import make_blockset
from tests.unit.blockset.test_annotations import make, parsed

LISTS = {
    "a": "one.test two.test three.test",
    "b": "two.test three.test *.four.test @@good.two.test",
    "c": "three.test =exact.test",
}


def test_overlap_of_every_pair() -> None:
    """Entries, unique ones, and for each pair of feeds the names that both block; exceptions are no names of a feed."""
    found = measure(make_blockset(LISTS))
    assert {feed: one.overlap for feed, one in found.items()} == {
        "a": {"b": 2, "c": 1},
        "b": {"a": 2, "c": 1},
        "c": {"a": 1, "b": 1},
    }


def test_what_nobody_asked_for() -> None:
    """A name that was met is met for every feed that lists it."""
    blockset = make_blockset(LISTS)
    found = measure(blockset)
    met = {from_text("two.test"), from_text("good.two.test"), from_text("else.test")}
    add_never_hit(found, blockset, met.__contains__)
    assert {feed: one.never_hit for feed, one in found.items()} == {"a": 2, "b": 2, "c": 2}


@pytest.mark.parametrize(
    ("allowed", "overridden"),
    [
        (["two.test"], {"a": 1, "b": 1, "c": 0}),
        (["www.three.test"], {"a": 1, "b": 1, "c": 1}),  # listed above it
        (["test"], {"a": 3, "b": 3, "c": 2}),  # listed below it
        (["*.three.test"], {"a": 1, "b": 1, "c": 1}),
        (["*.four.test"], {"a": 0, "b": 1, "c": 0}),
        (["*.exact.test"], {"a": 0, "b": 0, "c": 0}),
        (["two.test", "www.two.test"], {"a": 1, "b": 1, "c": 0}),
        (["clean.example"], {"a": 0, "b": 0, "c": 0}),
    ],
)
def test_allowlists_that_contradict(allowed: list[str], overridden: dict[str, int]) -> None:
    """A listed name counts once when an allowlist has it, a name below it, or one above it."""
    blockset = make_blockset(LISTS)
    found = measure(blockset)
    add_overridden(found, blockset, allowed)
    assert {feed: one.overridden for feed, one in found.items()} == overridden


def test_benign_names(tmp_path: Path) -> None:
    """Names that are surely no threat are found under every rule, exceptions respected, in files of names or of ranks."""
    blockset = make_blockset(LISTS)
    found = measure(blockset)
    (tmp_path / "plain").write_text("# popular\nWWW.one.test\ngood.two.test\nfour.test\n\nnot a name\n")
    (tmp_path / "ranks.csv").write_text('rank,domain\n1,x.four.test\n2,"clean.example"\n')
    names = [*benign_names(tmp_path / "plain"), *benign_names(tmp_path / "ranks.csv")]
    assert add_benign(found, blockset, names) == 5
    assert {feed: one.benign for feed, one in found.items()} == {"a": 2, "b": 1, "c": 0}
    assert found["a"].candidates == [QualityCandidate("www.one.test", "one.test"), QualityCandidate("good.two.test", "two.test")]
    assert found["b"].candidates == [QualityCandidate("x.four.test", "four.test")]


def test_ages(tmp_path: Path) -> None:
    """Names are counted by how long ago they were first seen here."""
    blockset = make(tmp_path, {"a": parsed({"one.test": None, "two.test": None})}, now_s=86400.0 * 100)
    for today, label in ((100, "1d"), (101, "1d"), (102, "7d"), (107, "7d"), (108, "30d"), (190, "90d"), (191, "older")):
        found = measure(blockset)
        add_ages(found, Annotations(blockset), today)
        ages = found["a"].ages
        assert ages is not None
        assert {label: names for label, names in ages.items() if names} == {label: 2}


def test_hits_outlive_the_process(tmp_path: Path) -> None:
    """Counts go on where the process before left them, and names stay known; the longest unseen are forgotten."""
    counters = Counters.create(64)
    Stats(counters).blocked("t", ("a", "malware", "zero", ()), ())
    Stats(counters).blocked("t", ("a", "malware", "zero", ("b",)), ())
    book = HitBook(tmp_path, 86400.0)
    book.saw([1, 2], 86400.0 * 3)
    book.write(book.state([counters], 86400.0 * 3))
    again = HitBook(tmp_path, 86400.0 * 9)
    again.saw([2], 86400.0 * 9)
    state = again.state([counters], 86400.0 * 9)
    assert state.since_s == 86400.0
    assert state.feeds == {"a": FeedHits(4, 2), "b": FeedHits(2, 0)}
    assert state.names == {1: 3, 2: 9}
    again.saw(range(10, 10 + MAX_NAMES - 1), 86400.0 * 9)
    names = again.state([], 0.0).names
    assert (len(names), 1 in names, 2 in names) == (MAX_NAMES, False, True)
    (tmp_path / feed_hits.FILE_NAME).write_bytes(b"rubbish")
    assert HitBook(tmp_path, 5.0).state([], 6.0).names == {1: 3, 2: 3}  # of the second copy
    (tmp_path / feed_hits.FILE_NAME).write_bytes(b"rubbish")
    (tmp_path / f"{feed_hits.FILE_NAME}{SECOND_COPY}").write_bytes(b"rubbish")
    assert HitBook(tmp_path, 5.0).state([], 6.0) == feed_hits.Hits(since_s=5.0, written_s=6.0)
    counters.close()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    lists = {"a": parsed({"one.test": None, "two.test": None}), "b": parsed({"two.test": None})}
    state.mkdir()
    publish(state, make(tmp_path, lists, now_s=86400.0 * 20_000).directory, 1)
    book = HitBook(state, 1.0)
    book.saw([name_hash(from_text("two.test"))], 86400.0)
    book.write(feed_hits.Hits(since_s=1.0, feeds={"a": FeedHits(7, 3)}, names={name_hash(from_text("two.test")): 1}))
    (tmp_path / "top.txt").write_text("one.test\nclean.test\n")
    path = tmp_path / "pdns.toml"
    path.write_text(
        f'[upstream]\nservers = ["127.0.0.1:9"]\n[state]\ndir = "{state}"\n[block]\nallow = ["two.test"]\n'
        '[quality]\nbenign = ["top.txt"]\n[[feed]]\nname = "a"\nurl = "file:a"\n[[feed]]\nname = "b"\nurl = "file:b"\n'
    )
    return path


def test_a_table_of_all(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each feed, and the share that each pair has in common, under titles that they line up with."""
    assert quality(config, "", as_json=False) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("feed  entries")
    assert printed[1].split("  ")[0] == "a"
    assert " ".join(printed[1].split()) == "a 2 50.0 % 7 3 50.0 % 1 1 0.0 % 100.0 %"
    assert " ".join(printed[2].split()) == "b 1 0.0 % 0 0 0.0 % 0 1 0.0 % 100.0 %"
    assert len(printed[0]) == len(printed[1]) == len(printed[2])
    assert " ".join(printed[6].split()) == "a 50.0 %"
    assert " ".join(printed[7].split()) == "b 100.0 %"


def test_all_of_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything there is of one feed, with the benign names that it lists."""
    assert quality(config, "a", as_json=False) == 0
    printed = capsys.readouterr().out
    assert "one.test  for it lists one.test" in printed
    assert "1 names (50.0 %) are listed by b too" in printed
    assert quality(config, "x", as_json=False) == 2
    assert "has no feed x; it has a, b" in capsys.readouterr().err


def test_for_programs(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same numbers as JSON. An unknown number is null, and `problem` says why."""
    assert quality(config, "", as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["names"], told["benign_names"], told["problem"]) == (2, 2, "")
    assert told["feeds"][0]["candidates"] == [{"benign": "one.test", "listed": "one.test"}]
    for path in (config.parent / "state").glob(f"{feed_hits.FILE_NAME}*"):
        path.unlink()
    assert quality(config, "", as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["feeds"][0]["hits"] is None
    assert "hits are not known yet" in told["problem"]


def test_a_big_blockset_has_every_overlap(tmp_path: Path) -> None:
    """Counts of combinations add up to those of feeds, whatever overlaps."""
    lists = {f"f{feed}": " ".join(f"n{name}.test" for name in range(300) if name % (feed + 2) == 0) for feed in range(6)}
    blockset: Blockset = make_blockset(lists)
    assert sum(blockset.counts) == blockset.names
    found = measure(blockset)
    for one in range(6):
        for other in range(6):
            both = sum(1 for name in range(300) if name % (one + 2) == 0 == name % (other + 2))
            assert one == other or found[f"f{one}"].overlap.get(f"f{other}", 0) == both
