"""The soak itself, for seconds, against the real resolver: it holds, and it fails when something is broken on purpose."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from loadtest import faultplan, soak
from loadtest.accounting import Sent
from loadtest.soakplay import Plan, Play
from loadtest.soakresults import Results

pytestmark = [pytest.mark.usefixtures("compiled"), pytest.mark.long, pytest.mark.realtime]
SHORT = Plan(minutes=1 / 3, rate_scale=0.02)
NO_FAULTS = Plan(minutes=0.06, rate_scale=0.02)


@pytest.fixture
def results_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(soak, "RESULTS_DIR", tmp_path / "results")
    return tmp_path / "results"


def played(plan: Plan, directory: Path) -> tuple[int, str, Results]:
    """Exit status, what was printed, what was written."""
    out = io.StringIO()
    status = soak.main(plan, Console(file=out, width=200))
    return status, out.getvalue(), msgspec.json.decode((directory / "soak-latest.json").read_bytes(), type=Results)


def test_a_week_in_twenty_seconds_holds(results_dir: Path) -> None:
    """Workers die, upstreams fail, lists break: every query is accounted for, no answer is wrong, nothing is left over."""
    status, text, results = played(SHORT, results_dir)
    assert (status, results.failed, results.failures, results.wrong) == (0, [], [], []), text
    assert "checks hold" in text
    assert {"kill worker", "list changes", "one silent"} <= {window.kind for window in results.windows}
    assert len(results.deaths) >= 1
    assert results.account.sent > 2000
    assert results.blocked_seen > 50
    assert results.tcp_sent > 20
    assert len(results.hours) == 168


def test_protection_that_is_off_and_lost_queries_are_noticed(results_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything allowed, listed names get answers from the upstream; a sender that loses 100 queries is missing them."""

    def unprotected(*arguments: object) -> str:
        return as_shipped(*arguments).replace("[block]", '[block]\nallow = ["."]')  # type: ignore[arg-type]  # handed through

    def losing(self: Play) -> Sent:
        sent = as_sent(self)
        return msgspec.structs.replace(sent, sent=sent.sent + 100)

    as_shipped, as_sent = soak.config_text, Play.sent
    monkeypatch.setattr(soak, "config_text", unprotected)
    monkeypatch.setattr(Play, "sent", losing)
    monkeypatch.setattr(faultplan, "plan", lambda *_, **__: [])
    status, text, results = played(NO_FAULTS, results_dir)
    assert status == 1
    assert results.account.unaccounted == {"arrived, never counted": 100}
    assert "expected blocked, got clean" in results.wrong[0]
    assert {"queries unaccounted for", "wrong answers"} <= {verdict.what for verdict in results.failed}
    assert "failed" in text
