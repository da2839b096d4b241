"""From a blocked query to the event store of the running program, its command line and its API; and out of it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dns.message
import dns.query
import msgspec
import pytest

from tests.fakes.upstream import answer
from tests.integration.apiclient import ADMIN, LEEDS, READER, TENANTS, Api, admin_section
from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed
from tests.integration.test_commands import pdns_of

OF = {"leeds": "127.0.0.2", "york": "127.0.0.3"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Two tenants; one query of each for a listed name, and an odd one below it, are in the store."""
    directory = tmp_path_factory.mktemp("events")
    leeds, york = TENANTS
    with UpstreamThread(answer()) as upstream:
        config = {
            "upstream": {"servers": [upstream.address]},
            "admin": admin_section(directory),
            "events": {"clients": "full", "node": "node-1"},
            "tenant": [leeds, {**york, "events_clients": "hash"}],
            "feed": [feed(directory, "phish", "bad.test", "*.bad.test", category="phishing")],
        }
        with RunningPdns(directory, config) as pdns:
            api = Api(pdns)
            pdns.wait_for(lambda: "192.0.2" in ask(api, "bad.test", "leeds"), "the list")
            ask(api, r"a\010\"b.bad.test", "leeds")
            ask(api, "bad.test", "york")
            pdns.wait_for(lambda: len({(one["tenant"], one["qname"]) for one in shown(api)}) == 3, "the events")
            yield api


def ask(api: Api, name: str, tenant: str) -> str:
    query = dns.message.make_query(name, "A")
    return dns.query.udp(query, "127.0.0.1", 60, port=api.pdns.dns_port, source=OF[tenant]).to_text()


def shown(api: Api, *words: str) -> list[dict[str, Any]]:
    """What `pdns events --json` prints; nothing while there is no store."""
    done = pdns_of(api.pdns, "events", "--json", *words)
    return [msgspec.json.decode(line) for line in done.stdout.splitlines()]


def test_the_command_line(api: Api) -> None:
    """By tenant, name and client, also by an address that events have as a pseudonym."""
    assert {one["qname"] for one in shown(api, "--tenant", "leeds")} == {"bad.test", r"a\010\"b.bad.test"}
    assert {one["tenant"] for one in shown(api, "--name", "BAD.test.")} == {"leeds", "york"}
    assert shown(api, "--name", "ad.test") == []
    assert {one["client"] for one in shown(api, "--client", OF["leeds"])} == {OF["leeds"]}
    (york,) = shown(api, "--client", OF["york"])
    assert york["client"].startswith("h:")
    table = pdns_of(api.pdns, "events", "--limit", "2").stdout.splitlines()
    assert table[0].split() == ["time", "times", "tenant", "client", "name", "type", "listed", "feed", "category", "action"]
    assert len(table) == 3
    machines = pdns_of(api.pdns, "events", "machines").stdout
    assert OF["leeds"] in machines
    assert "bad.test" in machines
    for words in (("findings",), ("hours",)):
        assert pdns_of(api.pdns, "events", *words).returncode == 0
    assert pdns_of(api.pdns, "events", "--since", "soon").returncode == 2


def test_a_tenant_sees_its_own_events(api: Api) -> None:
    """And a reader all of them; numbers come from the same events."""
    for path in ("", "/machines", "/findings", "/hours", "/headline", "/top?by=listed"):
        mark = "&" if "?" in path else "?"
        assert api.call("GET", f"/api/events{path}", LEEDS).status == 403, path
        assert api.call("GET", f"/api/events{path}{mark}tenant=york", LEEDS).status == 403, path
        assert api.call("GET", f"/api/events{path}{mark}tenant=leeds", LEEDS).status == 200, path
        assert api.call("GET", f"/api/events{path}", READER).status == 200, path
    assert {one["tenant"] for one in api.call("GET", "/api/events?tenant=leeds", LEEDS).body} == {"leeds"}
    headline = api.call("GET", "/api/events/headline", READER).body
    assert (headline["domains"], headline["tenants"], headline["clients"]) == (1, 2, 2)
    top = api.call("GET", "/api/events/top?by=tenant", READER).body
    assert sum(row["n"] for row in top) == headline["blocked"]
    for path in ("/top", "/top?by=id", "?limit=0", "?limit=x", "?since=soon"):
        assert api.call("GET", f"/api/events{path}", READER).status == 400, path
    assert api.call("GET", "/api/events?tenant=hull", READER).status == 404
    assert {one["name"] for one in api.call("GET", "/api/events/sinks", READER).body} == {"store"}


def test_a_client_is_erased(api: Api) -> None:
    """By its address, also where events have a pseudonym; only administrators may. The writer goes on."""
    body = {"client": OF["york"]}
    assert api.call("POST", "/api/events/erase", READER, body).status == 403
    assert api.call("POST", "/api/events/erase", ADMIN, {}).status == 400
    done = api.call("POST", "/api/events/erase", ADMIN, body)
    assert (done.status, done.body["text"].split(",")[0]) == (200, f"{OF['york']}: 1 events")
    assert {one["tenant"] for one in shown(api)} == {"leeds"}
    said = pdns_of(api.pdns, "events", "erase", "--tenant", "leeds")
    assert said.returncode == 0, said
    assert "records on their way" in said.stdout
    assert shown(api) == []
    ask(api, "again.bad.test", "york")
    api.pdns.wait_for(lambda: [one["qname"] for one in shown(api)] == ["again.bad.test"], "the next event")
    assert pdns_of(api.pdns, "events", "erase").returncode == 2
