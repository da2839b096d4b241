"""Reports of mistakes and case references over HTTP: an administrator handles all, a tenant those of its own clients."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import pytest

from pdns.core.case import ALPHABET, reference
from pdns.wire import names
from tests.fakes.upstream import answer
from tests.integration import pagevisits
from tests.integration.apiclient import ADMIN, LEEDS, READER, TENANTS, YORK, Api, admin_section
from tests.integration.pagevisits import ADDRESS, page_port
from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed
from tests.integration.test_commands import pdns_of

OF = {"leeds": "127.0.0.2", "york": "127.0.0.3", "default": "127.0.0.1"}
CASES = [reference(names.from_text("mistake.test"), "phish", policy) for policy in ("schools", "default")]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Names below mistake.test are blocked for every tenant; leeds has a policy of its own."""
    directory = tmp_path_factory.mktemp("reports")
    leeds, york = TENANTS
    with UpstreamThread(answer()) as upstream:
        config = {
            "upstream": {"servers": [upstream.address]},
            "admin": admin_section(directory),
            "policy": [{"name": "schools"}],
            "tenant": [{**leeds, "policy": "schools"}, york],
            "feed": [feed(directory, "phish", "mistake.test", "*.below.test", category="phishing")],
            **pagevisits.config(),
        }
        with RunningPdns(directory, config) as pdns:
            port = page_port(pdns)
            pdns.wait_for(lambda: pagevisits.visit(port, "mistake.test").status == 403, "the list")
            yield Api(pdns)


def reported(api: Api, name: str, tenant: str, comment: str = "I need it") -> int:
    """The number of a report that a client of the tenant sends."""
    assert pagevisits.report(page_port(api.pdns), name, comment, "ann@council.test", OF[tenant]).status == 200
    (found,) = [one for one in api.call("GET", "/api/reports", ADMIN).body if (one["name"], one["tenant"]) == (name, tenant)]
    return int(found["number"])


def blocked_for(api: Api, name: str) -> set[str]:
    """The tenants whose clients do not get the name."""
    return {tenant for tenant, source in OF.items() if ADDRESS in answer_for(api, name, source)}


def answer_for(api: Api, name: str, source: str) -> str:
    query = dns.message.make_query(name, "A")
    return dns.query.udp(query, "127.0.0.1", 60, port=api.pdns.dns_port, source=source).to_text()


def wait_for_cases(api: Api, *cases: str) -> None:
    for case in cases:
        api.pdns.wait_for(partial(is_known, api, case), "the case")


def is_known(api: Api, case: str) -> bool:
    return api.call("GET", f"/api/cases/{case}", READER).status == 200


def last_audited(api: Api) -> list[dict[str, Any]]:
    return list(api.call("GET", "/api/audit", ADMIN).body[:2])


def test_a_tenant_sees_its_own_reports(api: Api) -> None:
    """In the list and by number. One of another tenant is as one that does not exist."""
    ours, theirs = (reported(api, "seen.mistake.test", tenant, f"of {tenant}") for tenant in ("leeds", "york"))
    everyones = api.call("GET", "/api/reports", READER).body
    assert {one["tenant"] for one in everyones if one["name"] == "seen.mistake.test"} == {"leeds", "york"}
    assert {one["tenant"] for one in api.call("GET", "/api/tenants/leeds/reports", LEEDS).body} == {"leeds"}
    found = api.call("GET", f"/api/tenants/leeds/reports/{ours}", LEEDS).body
    assert (found["name"], found["feed"], found["comments"][0]["text"]) == ("seen.mistake.test", "phish", "of leeds")
    missing = api.call("GET", "/api/tenants/leeds/reports/999", LEEDS)
    for method, path in (("GET", ""), ("POST", "/close"), ("POST", "/allow")):
        body = {"reason": "x", "for": "1h"} if method == "POST" else None
        refused = api.call(method, f"/api/tenants/leeds/reports/{theirs}{path}", LEEDS, body)
        assert (refused.status, refused.body) == (missing.status, missing.body) == (404, missing.body)
        assert api.call(method, f"/api/tenants/york/reports/{theirs}{path}", LEEDS, body).status == 403
        assert api.call(method, f"/api/reports/{ours}{path}", LEEDS, body).status == 403
    for number in ("0", "01", "-1", "x", "9" * 50):
        assert api.call("GET", f"/api/reports/{number}", ADMIN).status == 404, number
    assert blocked_for(api, "seen.mistake.test") == set(OF)


def test_a_tenant_allows_a_name_for_itself(api: Api) -> None:
    """And for no other tenant, whatever it sends; the report is closed, and the audit log has both."""
    number = reported(api, "own.mistake.test", "leeds")
    path = f"/api/tenants/leeds/reports/{number}/allow"
    assert api.call("POST", path, LEEDS, {"for": "24h", "everyone": True}).status == 400
    assert api.call("POST", path, LEEDS, {}).status == 400
    assert blocked_for(api, "own.mistake.test") == set(OF)
    done = api.call("POST", path, LEEDS, {"for": "24h", "reason": "a supplier", "user": "ann"})
    assert (done.status, done.body["done"]) == (200, True), done
    assert "own.mistake.test is allowed for tenant leeds until" in done.body["text"]
    assert f"report {number} about own.mistake.test is closed" in done.body["text"]
    assert blocked_for(api, "own.mistake.test") == {"york", "default"}
    assert api.call("GET", f"/api/reports/{number}", ADMIN).status == 404
    closed, allowed = last_audited(api)
    assert (allowed["command"], allowed["tenant"], allowed["user"]) == ("allow", "leeds", "api leeds: ann")
    assert (closed["command"], closed["report"], closed["user"]) == ("close", number, "api leeds: ann")


def test_an_administrator_allows_a_name_for_the_tenant_or_everyone(api: Api) -> None:
    """Also on the command line. What a client of no tenant reports is about everyone."""
    for number, (tenant, body, words, left) in enumerate(
        [
            ("york", {}, [], {"leeds", "default"}),
            ("york", {"everyone": True}, ["--everyone"], set()),
            ("default", {}, [], set()),
        ]
    ):
        name = f"api{number}.mistake.test"
        done = api.call("POST", f"/api/reports/{reported(api, name, tenant)}/allow", ADMIN, {"for": "24h", **body})
        assert done.status == 200, done
        assert blocked_for(api, name) == left, name
        name = f"cli{number}.mistake.test"
        command = pdns_of(api.pdns, "reports", "allow", str(reported(api, name, tenant)), "--for", "24h", *words)
        assert command.returncode == 0, command.stderr
        assert blocked_for(api, name) == left, name


def test_a_report_is_closed_with_a_reason(api: Api) -> None:
    """The name stays blocked."""
    number = reported(api, "real.mistake.test", "york")
    refused = api.call("POST", f"/api/reports/{number}/close", ADMIN, {})
    assert (refused.status, refused.body["done"]) == (409, False)
    assert api.call("POST", f"/api/tenants/york/reports/{number}/close", YORK, {"reason": "a real one"}).status == 200
    assert api.call("POST", f"/api/reports/{number}/close", ADMIN, {"reason": "again"}).status == 404
    assert blocked_for(api, "real.mistake.test") == set(OF)


def test_a_case_is_explained(api: Api) -> None:
    """To everyone who reads all, and to a tenant whose policy it is."""
    assert blocked_for(api, "a.mistake.test") == set(OF)
    wait_for_cases(api, *CASES)
    schools, default = CASES
    (found,) = api.call("GET", f"/api/cases/{schools.lower().replace('-', '')}", READER).body
    assert found["case"].items() >= {"reference": schools, "listed": "mistake.test", "feed": "phish", "policy": "schools"}.items()
    assert found["is_listed"]
    assert [said["feed"] for said in found["explanation"]["said"]] == ["phish"]
    (found,) = api.call("GET", f"/api/cases/{schools}?tenant=leeds", LEEDS).body
    assert found["explanation"]["decision"].items() >= {"policy": "schools", "outcome": "blocked", "by": "phish"}.items()
    assert api.call("GET", f"/api/cases/{default}?tenant=leeds", LEEDS).status == 404
    assert api.call("GET", f"/api/cases/{default}?tenant=york", YORK).status == 200
    assert api.call("GET", f"/api/cases/{schools}?tenant=york", LEEDS).status == 403


def test_what_is_no_case_is_refused(api: Api) -> None:
    """A mistyped one, and one that no block here has."""
    wrong = CASES[0][:-1] + ALPHABET[(ALPHABET.index(CASES[0][-1]) + 1) % 32]
    refused = api.call("GET", f"/api/cases/{wrong}", ADMIN)
    assert (refused.status, "is mistyped" in refused.body["error"]) == (400, True)
    assert api.call("GET", "/api/cases/x.example", ADMIN).status == 400
    assert api.call("GET", "/api/cases/0000-0000", ADMIN).status == 404
    for body, status in (
        ({"action": "allow", "case": wrong}, 400),
        ({"action": "allow", "case": "0000-0000"}, 404),
        ({"action": "allow", "case": CASES[0], "name": "x.example"}, 400),
        ({"action": "block", "case": CASES[0]}, 400),
    ):
        assert api.call("POST", "/api/indicators", ADMIN, body).status == status, body


def test_a_case_is_allowed(api: Api) -> None:
    """The listed name, for a tenant or for everyone, with the case in the reason; a tenant uses cases of its policy only."""
    assert blocked_for(api, "a.below.test") == set(OF)
    ours, theirs = (reference(names.from_text("below.test"), "phish", policy) for policy in ("schools", "default"))
    wait_for_cases(api, ours, theirs)
    path = "/api/tenants/leeds/indicators"
    assert api.call("POST", path, LEEDS, {"action": "allow", "case": theirs, "for": "1h"}).status == 404
    done = api.call("POST", path, LEEDS, {"action": "allow", "case": ours, "for": "1h", "reason": "ticket 7"})
    assert done.status == 200, done
    assert "*.below.test is allowed for tenant leeds until" in done.body["text"]
    assert f"case {ours}: ticket 7" in done.body["text"]
    assert blocked_for(api, "a.below.test") == {"york", "default"}
    assert api.call("POST", "/api/indicators", ADMIN, {"action": "allow", "case": theirs, "for": "1h"}).status == 200
    assert blocked_for(api, "a.below.test") == set()


def test_damaged_reports_are_an_error_of_the_server(tmp_path: Path) -> None:
    """Not one of the caller, and the API goes on."""
    with RunningPdns(tmp_path, {"admin": admin_section(tmp_path), "tenant": TENANTS}) as pdns:
        api = Api(pdns)
        assert api.call("GET", "/api/reports", ADMIN).body == []
        (pdns.state_dir / "closed_reports.json").write_text("{")
        refused = api.call("GET", "/api/reports", ADMIN)
        assert (refused.status, "the reports cannot be read" in refused.body["error"]) == (500, True)
        assert api.call("GET", "/api/version", ADMIN).status == 200
