"""Which tenants asked for a name, and what a list would have blocked."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.core.listing import Rule
from pdns.history.days import date_of
from pdns.history.hunt import HuntReport, NameHunt, NoHistoryError, WantedName
from pdns.history.trial import trial
from pdns.wire.names import ROOT, from_text
from tests.unit.history.asked import KEY, TODAY, make_history

_ASKED = [
    (0, "north", "evil.example"),
    (2, "north", "www.evil.example"),
    (2, "south", "a.b.evil.example"),
    (5, "south", "good.example"),
    (40, "south", "old.example"),
    (1, "west", "org"),
    (1, "west", '\\000\\010\\255.odd\\".example'),
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    make_history(tmp_path, _ASKED, days=60)
    return tmp_path


def hunt(state: Path, *names: str, rule: Rule = Rule.SUBTREE, days: int = 30) -> HuntReport:
    return NameHunt.of(state, days, TODAY).find(WantedName(from_text(name), rule) for name in names)


def days_of(report: HuntReport) -> dict[str, dict[str, list[int]]]:
    """Name -> tenant -> days ago."""
    ago = {date_of(TODAY - ago): ago for ago in range(60)}
    return {one.name: {asked.tenant: [ago[day] for day in asked.days] for asked in one.tenants} for one in report.found}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule.SUBTREE, {"north": [2, 0], "south": [2]}),
        (Rule.EXACT, {"north": [0]}),
        (Rule.BELOW, {"north": [2], "south": [2]}),
    ],
)
def test_a_rule_reaches_as_far_as_it_does_in_a_list(state: Path, rule: Rule, expected: dict[str, list[int]]) -> None:
    """A name itself, what is below it, or both."""
    assert days_of(hunt(state, "evil.example", rule=rule)) == {"evil.example": expected}


def test_names_in_between_are_found(state: Path) -> None:
    """`b.evil.example` was never asked for, but a name below it was; the name of a neighbour was not."""
    assert days_of(hunt(state, "b.evil.example", "c.evil.example", "example", "org")) == {
        "b.evil.example": {"south": [2]},
        "org": {"west": [1]},
    }


def test_odd_names_are_found(state: Path) -> None:
    """NUL, newline, 255 and quotes are bytes like others; the root and the longest name can be looked for."""
    assert days_of(hunt(state, '\\000\\010\\255.odd\\".example')) == {'\\000\\010\\255.odd\\".example': {"west": [1]}}
    longest = from_text(".".join(["a"] * 127))
    report = NameHunt.of(state, 30, TODAY).find([WantedName(ROOT), WantedName(longest)])
    assert (report.names, report.found) == (2, [])


def test_only_the_last_days_are_searched(state: Path) -> None:
    """The report says which days there were."""
    report = hunt(state, "old.example", "good.example")
    assert days_of(report) == {"good.example": {"south": [5]}}
    assert report.days == [date_of(TODAY - ago) for ago in (5, 2, 1, 0)]
    assert days_of(hunt(state, "old.example", days=50)) == {"old.example": {"south": [40]}}
    assert days_of(hunt(state, "good.example", days=5)) == {}


def test_one_tenant_alone(state: Path) -> None:
    """Nothing of the others is said to a tenant."""
    report = NameHunt.of(state, 30, TODAY).find([WantedName(from_text("evil.example"))], ["south"])
    assert days_of(report) == {"evil.example": {"south": [2]}}


def test_the_chance_of_a_false_report_is_small_and_said(state: Path) -> None:
    """Of 100,000 names that were not asked for, none is found; what is found has a probability."""
    report = NameHunt.of(state, 30, TODAY).find(WantedName(from_text(f"n{number}.test")) for number in range(100_000))
    assert (report.names, report.found) == (100_000, [])
    assert report.expected_false < 1e-3
    asked = hunt(state, "evil.example").found[0].tenants
    assert all(0 <= one.chance < 1e-3 for one in asked)


def test_without_a_history(tmp_path: Path) -> None:
    """The reason says what to do."""
    with pytest.raises(NoHistoryError, match=r"set history\.days"):
        NameHunt.of(tmp_path, 30, TODAY)
    (tmp_path / "names.key").write_bytes(KEY)
    report = hunt(tmp_path, "evil.example")
    assert (report.names, report.days, report.found) == (1, [], [])


def test_progress_is_told(state: Path) -> None:
    """From nothing to all, never backwards."""
    shares: list[float] = []
    NameHunt.of(state, 30, TODAY).find([WantedName(from_text("evil.example"))] * 200, progress=shares.append, count=200)
    assert shares == sorted(shares)
    assert 0.0 <= shares[0] <= shares[-1] <= 1.0


def test_a_trial_counts_by_tenant_and_day(state: Path) -> None:
    """Names that were asked for, whom by, on which days; popular ones are pointed out."""
    listed = [from_text(name) for name in ("evil.example", "good.example", "never.example")]
    report = trial(NameHunt.of(state, 30, TODAY), map(WantedName, listed), count=3, popular={listed[1], listed[2]})
    assert (report.names, report.asked) == (3, 2)
    assert [(one.tenant, one.names, one.days) for one in report.tenants] == [
        ("south", 2, {date_of(TODAY - 5): 1, date_of(TODAY - 2): 1}),
        ("north", 1, {date_of(TODAY - 2): 1, date_of(TODAY): 1}),
    ]
    assert [one.name for one in report.examples] == ["evil.example", "good.example"]
    assert (report.popular, report.popular_count) == (["good.example"], 2)
