"""Names that are listed today and were asked for before: findings, and what counts as newly listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from pdns.blockset.reader import Blockset
from pdns.config.schema import Config
from pdns.core.listing import Rule
from pdns.events import newly_listed
from pdns.events.newly_listed import ListedNames
from pdns.events.retro_hunt import RetroHunter
from pdns.history.days import date_of, history_directory
from pdns.wire.names import to_text
from tests.blocksets import make_blockset
from tests.unit.history.asked import KEY, NOON_S, TODAY, make_history

_CONFIG = msgspec.convert({"history": {"days": 30}}, Config)


def names_of(listed: ListedNames, blockset: Blockset, **options: Any) -> dict[str, Rule]:
    return {to_text(new.name): new.rule for new in listed.take(blockset, **options)}


def test_what_is_newly_listed(tmp_path: Path) -> None:
    """Nothing the first time; then names that no blockset before had, with how far their listing reaches."""
    make_history(tmp_path, [])
    history_directory(tmp_path).mkdir(parents=True)
    listed = ListedNames(tmp_path, KEY)
    assert names_of(listed, make_blockset({"one": "a.example"})) == {}
    second = make_blockset({"one": "a.example b.example =c.example *.d.example", "two": "a.example"})
    expected = {"b.example": Rule.SUBTREE, "c.example": Rule.EXACT, "d.example": Rule.BELOW}
    assert names_of(listed, second) == expected
    assert names_of(listed, second) == {}
    assert names_of(listed, make_blockset({"one": "b.example"})) == {}
    assert names_of(listed, make_blockset({"one": "a.example"})) == {"a.example": Rule.SUBTREE}


def test_it_is_known_across_a_restart(tmp_path: Path) -> None:
    """What was listed while no process ran is found; a damaged file, or one of another key, begins anew."""
    history_directory(tmp_path).mkdir(parents=True)
    ListedNames(tmp_path, KEY).take(make_blockset({"one": "a.example"}))
    both = make_blockset({"one": "a.example b.example"})
    assert names_of(ListedNames(tmp_path, bytes(32)), both) == {}
    ListedNames(tmp_path, KEY).take(make_blockset({"one": "a.example"}))
    assert names_of(ListedNames(tmp_path, KEY), both) == {"b.example": Rule.SUBTREE}
    path = history_directory(tmp_path) / newly_listed.FILE_NAME
    path.write_bytes(path.read_bytes()[:-3])
    assert names_of(ListedNames(tmp_path, KEY), make_blockset({"one": "c.example"})) == {}


def test_a_finding_for_each_tenant(tmp_path: Path) -> None:
    """Who asked, on which days, and for which feed; nothing of other names."""
    asked = [
        (9, "north", "www.evil.example"),
        (3, "north", "evil.example"),
        (3, "south", "evil.example"),
        (1, "east", "good.example"),
    ]
    make_history(tmp_path, asked)
    hunter = RetroHunter(tmp_path, KEY, "ns1")
    assert hunter.listed(make_blockset({"one": "old.example"}), _CONFIG, NOON_S) == []
    blockset = make_blockset({"one": "old.example evil.example", "two": "evil.example"})
    found = hunter.listed(blockset, _CONFIG, NOON_S, lambda name: f"threat of {to_text(name)}")
    assert {(one.tenant, one.subject, one.n) for one in found} == {("north", "evil.example", 2), ("south", "evil.example", 1)}
    north = next(one for one in found if one.tenant == "north")
    days = f"{date_of(TODAY - 9)} {date_of(TODAY - 3)}"
    assert {key: north.details[key] for key in ("days", "feeds", "threat")} == {
        "days": days, "feeds": "one two", "threat": "threat of evil.example",
    }  # fmt: skip
    assert north.details["false_positive"].endswith("in 1,000,000,000")
    assert "probably" in north.text
    assert 0.999 < north.score <= 1
    assert (north.first_s, north.last_s) == ((TODAY - 9) * 86400.0, (TODAY - 2) * 86400.0)


def test_categories_that_are_no_threat_are_left_out(tmp_path: Path) -> None:
    """A list of advertisers says nothing about machines; a name that a feed of threats lists as well does."""
    make_history(tmp_path, [(1, "north", name) for name in ("ad.example", "both.example")])
    listed = ListedNames(tmp_path, KEY)
    listed.take(make_blockset({"one": "old.example"}))
    blockset = make_blockset({"one": "both.example", "ads": "both.example ad.example"})
    ads = blockset.feeds["ads"].category
    assert set(names_of(listed, blockset, skipped=("no such category",))) == {"both.example", "ad.example"}
    assert names_of(listed, blockset, skipped=(ads, blockset.feeds["one"].category)) == {}


def test_a_long_list_makes_few_findings(tmp_path: Path) -> None:
    """A hundred findings for a tenant, and one that counts the rest."""
    names = [f"n{number}.example" for number in range(150)]
    make_history(tmp_path, [(2, "north", name) for name in names])
    hunter = RetroHunter(tmp_path, KEY, "ns1")
    hunter.listed(make_blockset({"one": "old.example"}), _CONFIG, NOON_S)
    found = hunter.listed(make_blockset({"one": " ".join(names)}), _CONFIG, NOON_S)
    assert len(found) == 101
    assert (found[-1].subject, found[-1].n, found[-1].details) == ("", 50, {"feeds": "one"})
    assert len({one.id for one in found}) == 101


def test_without_a_history_there_is_nothing(tmp_path: Path) -> None:
    """The names are remembered all the same."""
    history_directory(tmp_path).mkdir(parents=True)
    hunter = RetroHunter(tmp_path, KEY, "ns1")
    for text in ("a.example", "a.example b.example"):
        assert hunter.listed(make_blockset({"one": text}), _CONFIG, NOON_S) == []
