"""No address of a client leaves a worker unless the configuration says so: everything that pdns writes or shows is searched."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import dns.message
import dns.query

from pdns.wire.names import to_text
from tests import tunnels
from tests.fakes.upstream import answer
from tests.integration.apiclient import ADMIN, Api, token_file
from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed

NOTHING, NETWORK, PSEUDONYM = "127.77.88.99", "127.78.88.99", "127.79.88.99"  # by what events say of clients there
SILENT: dict[str, object] = {"name": "silent", "networks": ["127.77.0.0/16"]}
COARSE: dict[str, object] = {"name": "coarse", "networks": ["127.78.0.0/16"], "events_clients": "prefix"}
VEILED: dict[str, object] = {"name": "veiled", "networks": ["127.79.0.0/16"], "events_clients": "hash"}
RECORDS = ["blocked", "monitored", "findings"]
OF_WORKERS = ("pdns-limits", "pdns-answers")  # memory that only workers read; the supervisor keeps it for their replacements
PAGES = ("/metrics", "/status", "/status.json", "/healthz", "/readyz")
API_PAGES = (
    "/api/status", "/api/feeds", "/api/version", "/api/audit", "/api/reports", "/api/indicators", "/api/explain?name=bad.example",
    "/api/events", "/api/events/findings", "/api/events/machines", "/api/events/hours", "/api/events/headline",
    "/api/events/sinks", "/api/report", "/api/incident?name=bad.example", "/api/hunt?name=fine.example", "/api/openapi.json",
)  # fmt: skip
TUNNEL = 120  # queries, of 30 bytes each


@contextmanager
def server_with(
    directory: Path, tenants: list[dict[str, object]], **sections: object
) -> Iterator[tuple[RunningPdns, UpstreamThread]]:
    with UpstreamThread(answer()) as upstream:
        feeds = [feed(directory, "bad", "bad.example"), feed(directory, "trial", "odd.example", mode="monitor")]
        config = {
            "server": {"workers": 2},
            "upstream": {"servers": [upstream.address]},
            "access": {"networks": ["127.0.0.0/8"]},
            "tenant": tenants,
            "feed": feeds,
            "record": [{"name": "www.local.example", "a": ["198.51.100.1"]}],
            "sink": [
                {"name": "all", "kind": "file", "path": str(directory / "all.jsonl"), "records": [*RECORDS, "hours"]},
                {"name": "ecs", "kind": "file", "path": str(directory / "ecs.jsonl"), "format": "ecs"},
                {"name": "away", "kind": "webhook", "url": "http://127.0.0.1:9/", "records": RECORDS},
            ],
            "history": {"days": 2},
            "admin": {"listen": "127.0.0.1:0", "token_file": token_file(directory, ADMIN)},
            **sections,
        }  # fmt: skip
        with RunningPdns(directory, config) as pdns:
            yield pdns, upstream


def ask_everything(pdns: RunningPdns, source: str) -> None:
    """Blocked, monitored, forwarded, local, refused and broken queries, repeats, and a tunnel."""

    def ask(query: dns.message.Message, *, tcp: bool = False) -> None:
        send = dns.query.tcp if tcp else dns.query.udp
        send(query, "127.0.0.1", port=pdns.dns_port, source=source, timeout=60)

    for name in ("bad.example", "a.bad.example", "odd.example", "b.odd.example", "fine.example", "www.local.example"):
        for tcp in (False, True, False):
            ask(dns.message.make_query(name, "A"), tcp=tcp)
    ask(dns.message.make_query("fine.example", "AXFR"), tcp=True)
    ask(dns.message.make_query("version.bind", "TXT", "CH"))
    subnet = dns.edns.ECSOption(source, 32)
    ask(dns.message.make_query("subnet.example", "A", use_edns=0, options=[subnet]))
    for query in tunnels.queries("hex", 30, 30, for_s=TUNNEL, domain=f"t.{source.replace('.', '-')}.example".encode()):
        ask(dns.message.make_query(to_text(query.qname), "A"))


def content_of(directory: Path) -> Iterator[tuple[str, bytes]]:
    """All that is in files below a directory, but for what this test put there itself."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != "pdns.toml":
            with suppress(FileNotFoundError):  # replaced meanwhile
                yield str(path.relative_to(directory)), path.read_bytes()


def memories_of(pid: int) -> Iterator[tuple[str, bytes]]:
    """The shared memories that a process has."""
    for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 (of links that lead nowhere)
        with suppress(FileNotFoundError):  # closed meanwhile
            target = os.readlink(f"/proc/{pid}/fd/{number}")  # noqa: PTH115 (the same)
            name = target.removeprefix("/memfd:").removesuffix(" (deleted)")
            if target.startswith("/memfd:") and name not in OF_WORKERS:
                yield name, Path(f"/proc/{pid}/fd/{number}").read_bytes()


def first_status_event(pdns: RunningPdns) -> bytes:
    connection = HTTPConnection("127.0.0.1", pdns.metrics_port, timeout=30)
    try:
        connection.request("GET", "/status/events")
        with connection.getresponse() as response:
            while not (line := response.readline()).startswith(b"data: "):
                assert line, "the stream has ended"
        return line
    finally:
        connection.close()


def everything(pdns: RunningPdns) -> Iterator[tuple[str, bytes]]:
    """Where it could be: pages, memory that other processes read, files."""
    for page in PAGES:
        status, text = pdns.get(page)
        assert status == 200, page
        yield page, text.encode()
    yield "/status/events", first_status_event(pdns)
    api = Api(pdns)
    for page in API_PAGES:
        reply = api.call("GET", page, ADMIN)
        assert reply.status == 200, page
        yield page, json.dumps(reply.body).encode()
    for pid in (pdns.pid, *pdns.children("pdns.events")):
        yield from memories_of(pid)
    yield from content_of(pdns.directory)


def places_of(address: str, places: list[tuple[str, bytes]]) -> set[str]:
    packed = ipaddress.ip_address(address).packed
    forms = (address.encode(), packed, packed.hex().encode())
    return {place for place, content in places if any(form in content for form in forms)}


def places_after(pdns: RunningPdns, upstream: UpstreamThread, *sources: str) -> list[tuple[str, bytes]]:
    for source in sources:
        ask_everything(pdns, source)
    pdns.wait_for_value(len(sources), "findings_total", kind="tunnel")
    pdns.wait_for_value(0, "event_sink_lag_seconds", sink="all")
    pdns.wait_for(lambda: b"tunnel" in (pdns.directory / "all.jsonl").read_bytes(), "findings are written")
    asked = b"".join(query.wire for query in upstream.fake.queries)
    assert b"subnet" in asked.lower()
    places = [("upstream", asked), *everything(pdns)]
    assert pdns.stop() == 0
    places += content_of(pdns.directory)
    return places


def test_no_address_leaves_a_worker(tmp_path: Path) -> None:
    """Of the tenants whose events say nothing, a network or a pseudonym."""
    with server_with(tmp_path, [SILENT, COARSE, VEILED]) as (pdns, upstream):
        places = places_after(pdns, upstream, NOTHING, NETWORK, PSEUDONYM)
    names = {place for place, _ in places}
    assert names >= {"pdns-evnt", "pdns-tunl", "pdns-askd", "state/events/events.db", "all.jsonl", "ecs.jsonl", "stderr"}
    assert any(name.startswith("state/events/spool/") for name in names)
    assert b"127.78.88.0/24" in dict(places)["all.jsonl"]
    for address in (NOTHING, NETWORK, PSEUDONYM):
        assert places_of(address, places) == set()


def test_the_search_finds_an_address_that_may_leave(tmp_path: Path) -> None:
    """In every place where the other test looks for it."""
    with server_with(tmp_path, [SILENT], events={"clients": "full"}, log={"level": "info", "clients": True}) as (pdns, upstream):
        found = places_of(NOTHING, places_after(pdns, upstream, NOTHING))
    assert found >= {"pdns-evnt", "pdns-tunl", "all.jsonl", "ecs.jsonl", "stderr"}
    for kept in ("state/events/spool/", "state/events/events.db"):  # of the latter, the file or its log
        assert any(place.startswith(kept) for place in found), kept
