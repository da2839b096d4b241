"""Local records that come, change and leave: what becomes of cached answers, and of questions that are out."""

from __future__ import annotations

from typing import Any

import pytest

from pdns.core.outcome import Answer
from pdns.wire import names
from tests.unit.core.localrecords import RECORDS, Local


@pytest.fixture
def local() -> Local:
    return Local()


def test_a_reload_replaces_cached_answers(local: Local) -> None:
    """At once, in both directions; answers of names that it does not concern stay."""
    kept, changed = "kept.example.net", "new.example.net"
    for name in (kept, changed):
        local.said(local.forward(name), f"{name} 600 IN A 192.0.2.1")
    leading = local.said(
        local.forward("l.example.net"), "l.example.net 600 IN CNAME new.example.net.", "new.example.net 600 IN A 192.0.2.1"
    )
    assert leading.rcode == 0
    local.reload([*RECORDS, {"name": changed, "a": ["10.0.0.99"]}])
    assert local.text(changed) == [f"{changed}. 300 IN A 10.0.0.99"]
    assert local.text(kept) == [f"{kept}. 600 IN A 192.0.2.1"]
    local.forward("l.example.net")
    local.reload(RECORDS)
    local.forward(changed)
    assert local.text(kept) == [f"{kept}. 600 IN A 192.0.2.1"]


def test_a_reload_of_what_leads_outside(local: Local) -> None:
    """An answer that is still right stays, and one whose records changed is asked again."""
    local.said(local.forward("far.corp.example"), "www.example.net 600 IN A 192.0.2.1")
    local.reload([*RECORDS, {"name": "more.example", "a": ["10.0.0.1"]}])
    assert local.text("far.corp.example")[1] == "www.example.net. 600 IN A 192.0.2.1"
    local.reload([{"name": "far.corp.example", "cname": "other.example.net"}])
    assert local.forward("far.corp.example").asked_name == names.from_text("other.example.net")
    local.reload([])
    assert local.forward("far.corp.example").asked_name == names.from_text("far.corp.example")


def test_a_name_that_comes_into_being(local: Local) -> None:
    """A remembered NXDOMAIN of a name above a new one is gone, and so is the NODATA when that leaves again."""
    soa = "example.org 600 IN SOA ns.example.org. host.example.org. 1 2 3 4 600"
    local.said(local.forward("b.example.org"), authority=soa, rcode=3)
    assert local.text("b.example.org") == ["NXDOMAIN"]
    local.reload([{"name": "a.b.example.org", "a": ["10.0.0.1"]}])
    local.said(local.forward("b.example.org"), authority=soa, rcode=3)
    assert local.text("b.example.org") == ["NODATA"]
    local.reload([])
    local.forward("b.example.org")


@pytest.mark.parametrize("name", ["new.example.net", "far.example.net"])
def test_a_reload_while_a_question_is_out(local: Local, name: str) -> None:
    """Its answer, which comes later, is not what local records say by now."""
    forward = local.forward(name)
    local.reload([{"name": "new.example.net", "a": ["10.0.0.99"]}, {"name": "far.example.net", "cname": "www.example.org"}])
    outcome = local.said(forward, f"{name} 600 IN A 192.0.2.1")
    if name.startswith("new"):
        assert local.text(name) == ["new.example.net. 300 IN A 10.0.0.99"]
        assert local.records(Answer(outcome, ""), name, "A") == ["new.example.net. 300 IN A 10.0.0.99"]
    else:
        assert outcome.asked_name == names.from_text("www.example.org")


@pytest.mark.parametrize(
    ("records", "asked"),
    [
        ([{"name": "far.corp.example", "cname": "other.example.net"}], "other.example.net"),
        ([], "far.corp.example"),
        ([{"name": "far.corp.example", "a": ["10.0.0.1"]}], ""),
        ([{"name": "far.corp.example", "cname": "www.example.net"}, {"name": "x.example", "a": ["10.0.0.1"]}], None),
    ],
)
def test_a_reload_while_the_rest_of_a_chain_is_asked(local: Local, records: list[dict[str, Any]], asked: str | None) -> None:
    """The beginning is that of now: another target is asked, the name itself, none; or it goes on as before."""
    forward = local.forward("far.corp.example")
    local.reload(records)
    outcome = local.said(forward, "www.example.net 600 IN A 192.0.2.1")
    if asked:
        assert outcome.asked_name == names.from_text(asked)
    else:
        last = "10.0.0.1" if asked == "" else "192.0.2.1"
        assert local.records(Answer(outcome, ""), "far.corp.example", "A")[-1].split()[-1] == last
