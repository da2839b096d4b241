"""A name is asked for, and listed later: the whole program finds out who asked, and keeps neither names nor clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest

from tests.fakes.upstream import answer
from tests.integration.apiclient import ADMIN, LEEDS, READER, TENANTS, Api, admin_section
from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed
from tests.integration.test_commands import done, pdns_of

OF = {"leeds": "127.0.0.2", "york": "127.0.0.3"}
ASKED = {"leeds": ["www.evil.example", "good.example", "dns.google"], "york": ["evil.example", 'odd\\000\\010\\".example']}


def ask(pdns: RunningPdns, tenant: str, name: str) -> str:
    query = dns.message.make_query(name, "A")
    return dns.query.udp(query, "127.0.0.1", 60, port=pdns.dns_port, source=OF[tenant]).to_text()


@pytest.fixture(scope="module")
def pdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    """Two tenants have asked for some names, with an answer; one of the names was listed afterwards."""
    directory = tmp_path_factory.mktemp("hunt")
    with UpstreamThread(answer()) as upstream:
        config = {
            "upstream": {"servers": [upstream.address]},
            "admin": admin_section(directory),
            "tenant": list(TENANTS),
            "history": {"days": 30},
            "feed": [feed(directory, "threats", "blocked.example", refresh_s=30)],
        }
        with RunningPdns(directory, config) as running:
            running.wait_for(lambda: "192.0.2.1" in ask(running, "york", "blocked.example"), "the list")
            for tenant, names in ASKED.items():
                for name in names * 3:
                    ask(running, tenant, name)
            (directory / "threats.txt").write_text("blocked.example\nevil.example\n")
            done(running, "feeds", "update")
            yield running


def test_a_finding_for_each_tenant_within_a_minute(pdns: RunningPdns) -> None:
    """Both have asked for the name or for one below it before it was listed."""
    for tenant in OF:
        pdns.wait_for_value(1, "findings_total", kind="retro", tenant=tenant)
    assert pdns.value("findings_total", kind="retro") == 2


def test_the_command_line_hunts(pdns: RunningPdns) -> None:
    """What was answered is found, with odd names too; what was blocked or asked for by no client is not."""
    pdns.wait_for(lambda: len(hunted(pdns, "evil.example").get("evil.example", ())) == 2, "the filters")
    assert hunted(pdns, "evil.example", "good.example", "never.example", "blocked.example") == {
        "evil.example": ["leeds", "york"],
        "good.example": ["leeds"],
    }
    assert hunted(pdns, 'odd\\000\\010\\".example') == {'odd\\000\\010\\".example': ["york"]}
    assert "the name was not asked for" in done(pdns, "hunt", "never.example")
    refused = pdns_of(pdns, "hunt", "evil.example", "--tenant", "hull")
    assert (refused.returncode, "no tenant hull" in refused.stderr) == (2, True)


def hunted(pdns: RunningPdns, *names: str) -> dict[str, list[str]]:
    report = json.loads(done(pdns, "hunt", *names, "--json"))
    return {one["name"]: [asked["tenant"] for asked in one["tenants"]] for one in report["found"]}


def test_a_trial_of_a_list(pdns: RunningPdns, tmp_path: Path) -> None:
    """It says which names would be blocked, for whom, and which of them are popular."""
    listed = tmp_path / "new.txt"
    listed.write_text("good.example\nnever.example\ndns.google\n")
    report = json.loads(done(pdns, "feeds", "trial", str(listed), "--json"))
    assert (report["names"], report["asked"]) == (3, 2)
    assert [(one["tenant"], one["names"]) for one in report["tenants"]] == [("leeds", 2)]
    assert "2 of 3 names were asked for, by 1 tenants" in done(pdns, "feeds", "trial", listed.as_uri(), "--format", "domains")
    refused = pdns_of(pdns, "feeds", "trial", str(tmp_path / "missing.txt"))
    assert (refused.returncode, "No such file" in refused.stderr) == (1, True)


def test_a_tenant_sees_itself_only(pdns: RunningPdns) -> None:
    """The API hunts for all with a token that may read, and for one tenant with that of the tenant."""
    api = Api(pdns)
    found = api.call("GET", "/api/hunt?name=evil.example&name=%2A.evil.example", READER).body["found"]
    assert [[asked["tenant"] for asked in one["tenants"]] for one in found] == [["leeds", "york"]]
    assert api.call("GET", "/api/hunt?name=evil.example", LEEDS).status == 403
    assert api.call("GET", "/api/hunt?name=evil.example&tenant=york", LEEDS).status == 403
    ours = api.call("GET", "/api/hunt?name=evil.example&tenant=leeds", LEEDS).body["found"]
    assert [[asked["tenant"] for asked in one["tenants"]] for one in ours] == [["leeds"]]
    for target, status in (("name=", 400), ("", 400), ("name=a..b", 400), ("name=a.example&days=x", 400)):
        assert api.call("GET", f"/api/hunt?{target}", ADMIN).status == status


def test_neither_names_nor_clients_are_on_the_disk(pdns: RunningPdns) -> None:
    """Not in any file of the history."""
    files = [path for path in (pdns.state_dir / "events" / "names").rglob("*") if path.is_file()]
    assert len(files) >= 4
    for path in files:
        content = path.read_bytes()
        assert not any(part in content for part in (b"evil", b"example", b"127.0.0."))


def test_switched_off_nothing_stays(pdns: RunningPdns) -> None:
    """The filters are removed, names are no longer noted, and the command line says what to do. Runs last."""
    pdns.write_text(pdns.config_path.read_text().replace("days = 30", "days = 0"))
    pdns.reload()
    pdns.wait_for(lambda: not (pdns.state_dir / "events" / "names").exists(), "the end of the history")
    for tenant in OF:
        ask(pdns, tenant, "later.example")
    refused = pdns_of(pdns, "hunt", "later.example")
    assert (refused.returncode, "set history.days" in refused.stderr) == (1, True)
    assert not (pdns.state_dir / "events" / "names").exists()
