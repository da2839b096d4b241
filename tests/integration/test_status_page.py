"""The status page of the real program: who sees names, events, limits on viewers, and what it costs without them."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

import pytest

from pdns.supervisor.http.status_pages import MOST_VIEWERS_OF_ADDRESS
from tests.fakes.upstream import answer
from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed

TENANTS = [{"name": "leeds", "networks": ["127.0.0.1/32"]}, {"name": "york", "networks": ["127.0.0.2/32"]}]


@pytest.fixture(scope="module")
def pdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    directory = tmp_path_factory.mktemp("live")
    with UpstreamThread(answer()) as upstream:
        config = {
            "upstream": {"servers": [upstream.address]}, "feed": [feed(directory, "urlhaus", "bad.example")], "tenant": TENANTS,
        }  # fmt: skip
        with RunningPdns(directory, config) as running:
            running.ask("www.bad.example")
            running.ask("fine.example")
            yield running


class Viewer:
    """A connection that gets events."""

    def __init__(self, pdns: RunningPdns) -> None:
        self._connection = HTTPConnection("127.0.0.1", pdns.metrics_port, timeout=30)
        self._connection.request("GET", "/status/events")
        self.response = self._connection.getresponse()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.response.close()
        self._connection.close()

    def next_event(self) -> dict[str, Any]:
        while not (line := self.response.readline()).startswith(b"data: "):
            assert line, "the stream has ended"
        event: dict[str, Any] = json.loads(line[6:])
        return event

    def read_to_the_end(self) -> None:
        while self.response.readline():
            pass


def asked(pdns: RunningPdns, path: str, host: str = "127.0.0.1", **fields: str) -> tuple[int, str, str]:
    """Status, Content-Security-Policy and body."""
    connection = HTTPConnection(host, pdns.metrics_port, timeout=30)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in fields.items()})
        response = connection.getresponse()
        return response.status, response.headers["Content-Security-Policy"], response.read().decode()
    finally:
        connection.close()


def test_the_numbers_are_those_of_the_metrics(pdns: RunningPdns) -> None:
    """`/status.json` and `/metrics` agree."""
    status = json.loads(pdns.get("/status.json")[1])
    assert status["totals"]["queries"] == pdns.value("queries_total")
    assert status["totals"]["blocked"] == pdns.value("blocked_total") == 1
    assert status["totals"]["domains_24h"] == pdns.value("blocked_domains_overall", window="24h")
    assert {tenant["name"]: tenant["blocked"] for tenant in status["tenants"]}["leeds"] == 1
    assert [worker["up"] for worker in status["workers"]] == [True, True]
    assert [one["name"] for one in status["feeds"]] == ["urlhaus"]
    assert status["not_ready"] == []


def test_the_page_and_its_policy(pdns: RunningPdns) -> None:
    """`/` and `/status` are the page; it is a whole one without scripts, and its policy allows only what has its own path."""
    for path in ("/", "/status"):
        code, policy, page = asked(pdns, path)
        assert code == 200
        assert "leeds" in page
        assert re.search(r"script-src 'self'; connect-src 'self'", policy)
        assert "unsafe" not in policy
        assert '<meta http-equiv="refresh"' in page
    for path in re.findall(r'(?:src|href)="(/[^"]*)"', page):
        assert pdns.get(path)[0] in (200, 503), path


def test_events(pdns: RunningPdns) -> None:
    """The first event has every part, later ones what has changed; each within a second or so."""
    with Viewer(pdns) as viewer:
        first = viewer.next_event()
        assert {"numbers", "charts", "feeds", "tenants", "answers"} <= first["parts"].keys()
        pdns.ask("again.bad.example")
        for _ in range(30):
            event = viewer.next_event()
            assert event["version"] == first["version"]
            assert "upstreams" not in event["parts"] or event["parts"]["upstreams"] != first["parts"]["upstreams"]
            if "numbers" in event["parts"]:
                break
        assert event["parts"]["numbers"] != first["parts"]["numbers"]


@pytest.mark.parametrize("field", ["X_Forwarded_For", "Forwarded", "Via", "X_Real_IP"])
def test_a_proxy_is_a_stranger(pdns: RunningPdns, field: str) -> None:
    """Its clients may be anywhere: they get numbers, and neither names nor tenants."""
    code, _, body = asked(pdns, "/status.json", **{field: "192.0.2.9"})
    status = json.loads(body)
    assert (code, status["names_shown"], status["tenants"], status["recent"]) == (200, False, [], [])
    assert status["totals"]["queries"] > 0
    assert "leeds" not in asked(pdns, "/status", **{field: "192.0.2.9"})[2]


def test_another_website(pdns: RunningPdns) -> None:
    """A page that a viewer visits cannot take the places of viewers, nor read anything; a link to the page works."""
    for path in ("/status.json", "/status/events"):
        assert asked(pdns, path, Sec_Fetch_Site="cross-site")[0] == 403
        assert asked(pdns, path, Host="evil.example")[0] == 421
    assert asked(pdns, "/status", Sec_Fetch_Site="cross-site")[0] == 200
    assert asked(pdns, "/status.json", Sec_Fetch_Site="same-origin")[0] == 200


def test_viewers_are_bounded(pdns: RunningPdns) -> None:
    """One address gets so many streams and no more; a viewer that leaves makes room; the other pages are served meanwhile."""
    with ExitStack() as viewers:

        def is_one_more(there: ExitStack = viewers) -> bool:
            viewer = there.enter_context(Viewer(pdns))
            return viewer.response.status == 200

        for _ in range(MOST_VIEWERS_OF_ADDRESS):
            pdns.wait_for(is_one_more, "a place for a viewer: those of other tests leave within a second")
        with Viewer(pdns) as refused:
            assert refused.response.status == 503
            assert refused.response.headers["Retry-After"] == "10"
        assert pdns.get("/healthz")[0] == 200
        assert pdns.get("/metrics")[0] == 200
    with ExitStack() as later:
        pdns.wait_for(lambda: is_one_more(later), "a place for a viewer")


def test_a_viewer_that_does_not_read_delays_no_other(pdns: RunningPdns) -> None:
    """Its events wait in the kernel; others get theirs."""
    with socket.create_connection(("127.0.0.1", pdns.metrics_port)) as slow, Viewer(pdns) as viewer:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        slow.sendall(b"GET /status/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(3):
            assert viewer.next_event()["parts"]


def test_modes(pdns: RunningPdns) -> None:
    """`counters` shows no names on this machine either, `off` nothing, `full` everything to all; a reload is enough."""
    text = pdns.config_path.read_text()
    try:
        for mode, code, names in (("counters", 200, False), ("full", 200, True)):
            pdns.write_text(text.replace("[metrics]", f'[metrics]\nstatus_page = "{mode}"'))
            pdns.reload()
            found, _, body = asked(pdns, "/status.json", Via="proxy")
            assert (found, json.loads(body)["names_shown"]) == (code, names)
            assert json.loads(asked(pdns, "/status.json")[2])["names_shown"] == names
        with Viewer(pdns) as viewer:
            viewer.next_event()
            pdns.write_text(text.replace("[metrics]", '[metrics]\nstatus_page = "off"'))
            pdns.reload()
            viewer.read_to_the_end()
        for path in ("/status", "/status.json", "/status/events", "/status.js", "/status.css"):
            assert pdns.get(path)[0] == 404
        assert 'metrics.status_page is "off"' in pdns.get("/status")[1]
        assert "/metrics" in pdns.get("/")[1]
    finally:
        pdns.write_text(text)
        pdns.reload()


def test_a_stop_does_not_wait_for_viewers(tmp_path: Path) -> None:
    """The server ends while pages are open, and their streams end."""
    with RunningPdns(tmp_path) as running, Viewer(running) as viewer:
        viewer.next_event()
        before_s = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - before_s < 60
        viewer.read_to_the_end()
