"""docs/layouts.md and other pages: the alerts that they promise exist, and lead to the runbook."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.deploy.test_alerts import ALERTS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/layouts.md").read_text()
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md"]
_CASES = PAGE.partition("## When something fails\n")[2]
_ROWS = [line for line in _CASES.splitlines() if line.startswith("| ") and not line.startswith("| failure ")]


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_alerts_that_are_named_exist(page: Path) -> None:
    """Every alert on the page is one of deploy/prometheus."""
    named = set(re.findall(r"\bPdns[A-Z]\w*", page.read_text(encoding="utf-8")))
    assert named - set(ALERTS) - {"PdnsCollector"} == set()  # a class


def test_alerts_of_the_failure_cases_lead_to_the_runbook() -> None:
    """Each is a link to its own paragraph (`test_links_lead_somewhere` sees that there is one)."""
    links = re.findall(r"\[(Pdns\w+)\]\(runbook\.md#(\w+)\)", _CASES)
    assert len(links) > 30
    assert [(name, anchor) for name, anchor in links if anchor != name.lower()] == []
    assert set(re.findall(r"\bPdns\w+", _CASES)) == {name for name, _ in links}


def test_each_failure_has_its_five_answers() -> None:
    """What users notice, what pdns does, the alert or why there is none, what the operator does: no cell is empty."""
    assert len(_ROWS) > 30
    for row in _ROWS:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert len(cells) == 5, row
        assert all(cells), row
        if "runbook.md#" not in cells[3]:
            assert cells[3].startswith("none"), row


def test_most_alerts_belong_to_a_case() -> None:
    """Every alert that wakes somebody is the answer to a failure of the page."""
    pages = {name for name, rule in ALERTS.items() if rule["labels"]["severity"] == "page"}
    assert pages - set(re.findall(r"\bPdns\w+", _CASES)) == set()
