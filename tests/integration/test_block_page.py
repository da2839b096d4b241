"""The block page of the real program: what visitors get, what reports become, and that no answer depends on it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pdns.state import reports
from tests.fakes.upstream import answer
from tests.fuzz import httprequests
from tests.integration.onemachine import need_root
from tests.integration.pagevisits import (
    ADDRESS,
    NAVIGATION,
    config,
    exchange,
    page_pid,
    page_port,
    parsed,
    report,
    send_form,
    token_of,
    visit,
)  # fmt: skip
from tests.integration.running_pdns import ROOT, RunningPdns, UpstreamThread, feed


@pytest.fixture(scope="module")
def pdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    directory = tmp_path_factory.mktemp("blockpage")
    feeds = [
        feed(directory, "phish", "blocked.test", *(f"mistake{number}.test" for number in range(10)), category="phishing"),
        feed(directory, "bots", "bot.test", category="c2"),
    ]
    policies = [
        {"name": "default", "organisation": "Shared services", "contact": ["mailto:desk@shared.example"]},
        {"name": "schools", "contact": ["tel:+44-113-496-0000"], "page_text": "Call <us>.", "help_url": "https://help.example/x"},
    ]
    tenants = [
        {
            "name": "leeds",
            "networks": ["127.0.0.2/32"],
            "policy": "schools",
            "display_name": "Leeds City Council",
            "allow": ["mistake9.test"],
        }
    ]
    with UpstreamThread(answer()) as upstream:
        sections = {"upstream": {"servers": [upstream.address]}, "feed": feeds, "policy": policies, "tenant": tenants, **config()}
        with RunningPdns(directory, sections) as running:
            port = page_port(running)
            running.wait_for(lambda: {visit(port, name).status for name in ("blocked.test", "bot.test")} == {403}, "both feeds")
            yield running


@pytest.fixture(scope="module")
def port(pdns: RunningPdns) -> int:
    return page_port(pdns)


def command(pdns: RunningPdns, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pdns", *words, "-c", str(pdns.config_path)]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)


def test_a_blocked_name_leads_to_the_page(pdns: RunningPdns, port: int) -> None:
    """DNS answers with the address of the page, and the page says why."""
    assert pdns.addresses("www.blocked.test") == [ADDRESS]
    found = visit(port, "www.blocked.test", path=b"/login?x=1")
    assert found.status == 403
    assert found.title == "This website is blocked to protect you"
    for part in ("www.blocked.test", "imitate an organisation", "phish", "Listed since"):
        assert part in found.body
    assert found.fields["connection"] == "close"  # the browser must look the name up again
    assert found.fields["cache-control"] == "no-store"
    assert found.fields["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "server" not in found.fields
    assert "set-cookie" not in found.fields
    assert "Please act now" in visit(port, "bot.test").body


def test_each_tenant_has_its_texts(port: int) -> None:
    """Name, contact, text and link are those of the client's tenant and its policy."""
    ours, theirs = visit(port, "blocked.test", source="127.0.0.2").body, visit(port, "blocked.test").body
    for part in ("Leeds City Council", "tel:+44-113-496-0000", "Call &lt;us&gt;.", 'href="https://help.example/x"'):
        assert part in ours
        assert part not in theirs
    assert "Shared services" in theirs
    assert "mailto:desk@shared.example?subject=Blocked%20website%20blocked.test" in theirs


def test_names_that_are_not_blocked(port: int) -> None:
    """A name that no feed lists is a 503 that says when to try again; the address itself is a 404."""
    found = visit(port, "fine.test")
    assert (found.status, found.title) == (503, "This website is not blocked now")
    assert int(found.fields["retry-after"]) >= 1
    for host in (ADDRESS, f"{ADDRESS}:{port}", "[::1]", ""):
        assert visit(port, host).status == 404, host
    assert visit(port, "mistake9.test").status == 403
    assert visit(port, "mistake9.test", source="127.0.0.2").status == 503  # the tenant's own allowlist


ODD = {
    "no host": (b"GET / HTTP/1.0\r\n\r\n", 404),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: blocked.test\r\n" + NAVIGATION + b"\r\n\r\n", 403),
    "HTTP/1.1 without a host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "an invalid host": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "bytes as a host": (b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n", 400),
    "absolute": (b"GET http://blocked.test/x HTTP/1.1\r\nHost: other.test\r\n\r\n", 403),
    "a script": (b"GET /x.js HTTP/1.1\r\nHost: blocked.test\r\nAccept: */*\r\n\r\n", 403),
    "a frame": (b"GET / HTTP/1.1\r\nHost: blocked.test\r\nSec-Fetch-Dest: iframe\r\n" + NAVIGATION + b"\r\n\r\n", 403),
    "HEAD": (b"HEAD / HTTP/1.1\r\nHost: blocked.test\r\n" + NAVIGATION + b"\r\n\r\n", 403),
    "PUT": (b"PUT / HTTP/1.1\r\nHost: blocked.test\r\nContent-Length: 3\r\n\r\nabc", 403),
    "POST": (b"POST /gate.php HTTP/1.1\r\nHost: bot.test\r\nContent-Length: 3\r\n\r\nabc", 403),
    "OPTIONS": (b"OPTIONS * HTTP/1.1\r\nHost: blocked.test\r\n\r\n", 403),
    "CONNECT": (b"CONNECT blocked.test:443 HTTP/1.1\r\nHost: blocked.test:443\r\n\r\n", 403),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50, 400),
    "an upgrade": (b"GET / HTTP/1.1\r\nHost: blocked.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 403),
    "a long header": (b"GET / HTTP/1.1\r\nHost: blocked.test\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    "not a form": (b"POST /.pdns/report HTTP/1.1\r\nHost: blocked.test\r\nContent-Length: 3\r\n\r\nabc", 415),
    "a form that is long": (b"POST /.pdns/report HTTP/1.1\r\nHost: blocked.test\r\nContent-Length: 99999\r\n\r\n", 413),
}


@pytest.mark.parametrize(("request_bytes", "status"), ODD.values(), ids=ODD)
def test_requests_of_programs(pdns: RunningPdns, port: int, request_bytes: bytes, status: int) -> None:
    """They get a short answer, never a page, a redirect or a 500; the connection ends."""
    found = parsed(exchange(port, request_bytes))
    assert found.status == status
    assert found.fields.get("connection", "close") == "close"
    assert "location" not in found.fields
    if request_bytes != ODD["HTTP/1.0"][0]:
        assert len(found.body) < 100
        assert "<" not in found.body
    assert "Traceback" not in pdns.log


@pytest.mark.parametrize(
    "host", ["<script>alert(1)</script>.test", 'x"onmouseover="a.test', "%3Cb%3E.test", "a&lt;.blocked.test"]
)
def test_a_hostile_host_is_text(port: int, host: str) -> None:
    """No part of a host becomes markup."""
    found = visit(port, host, path=b"/<script>alert(2)</script>")
    assert found.status in (400, 403, 404, 503)
    assert "<script" not in found.body
    assert 'onmouseover="' not in found.body


def test_visits_are_counted_by_tenant_and_feed(pdns: RunningPdns, port: int) -> None:
    """Each request is a visit, whatever it asks for; the log names a sample of them, without the client."""
    before = pdns.value("sinkhole_visits_total", tenant="leeds", feed="bots")
    visit(port, "bot.test", source="127.0.0.2")
    exchange(port, ODD["POST"][0], source="127.0.0.2")
    pdns.wait_for(lambda: pdns.value("sinkhole_visits_total", tenant="leeds", feed="bots") == before + 2, "both visits")
    pdns.wait_for_log("sinkhole visit: POST bot.test, tenant leeds, blocked by bots (c2)")
    assert "127.0.0.2" not in "".join(line for line in pdns.log.splitlines() if "sinkhole visit" in line)


@pytest.mark.realtime
def test_a_report_is_seen_and_allowed(pdns: RunningPdns, port: int) -> None:
    """A mistake reported on the page is listed, allowed for a day with one command, and answered from then on."""
    name = "www.mistake0.test"
    assert pdns.addresses(name) == [ADDRESS]
    found = report(port, name, "Our supplier <b>is</b> here", "ann@council.test")
    assert (found.status, found.title) == (200, "Thank you for your report")
    (one,) = [one for one in reports.open_reports(pdns.state_dir) if one.name == name]
    pdns.wait_for(lambda: pdns.value("open_reports") >= 1, "the gauge")
    listed = command(pdns, "reports")
    row = next(line for line in listed.stdout.splitlines() if name in line)
    assert row.split()[:4] == [str(one.number), name, "default", "phish"]
    shown = command(pdns, "reports", "show", str(one.number)).stdout
    assert "Our supplier <b>is</b> here" in shown
    assert "ann@council.test" in shown
    assert "127.0.0.1" not in shown
    allowed = command(pdns, "reports", "allow", str(one.number), "--for", "24h")
    assert allowed.returncode == 0, allowed.stderr
    assert pdns.addresses(name) != [ADDRESS]
    assert name not in command(pdns, "reports").stdout
    pdns.wait_for(lambda: visit(port, name).title == "This website is not blocked now", "the page knows")
    assert command(pdns, "reports", "show", str(one.number)).returncode == 2


def test_a_report_is_closed(pdns: RunningPdns, port: int) -> None:
    """`close` needs a reason, ends the report, and leaves the name blocked; the audit log has it."""
    report(port, "mistake1.test")
    (one,) = [one for one in reports.open_reports(pdns.state_dir) if one.name == "mistake1.test"]
    assert command(pdns, "reports", "close", str(one.number)).returncode == 2
    assert command(pdns, "reports", "close", str(one.number), "--reason", "a real phish").returncode == 0
    assert "mistake1.test" not in command(pdns, "reports").stdout
    assert "a real phish" in (pdns.state_dir / "audit.jsonl").read_text()
    assert pdns.addresses("mistake1.test") == [ADDRESS]
    again = command(pdns, "reports", "close", str(one.number), "--reason", "x")
    assert again.returncode == 1
    assert "no open report" in again.stderr


def test_forged_and_incomplete_forms(pdns: RunningPdns, port: int) -> None:
    """Without a token of this host and client nothing is kept; the form comes back with what was typed."""
    good = {"name": "mistake2.test", "comment": "I need it", "contact": ""}
    token = token_of(visit(port, "mistake2.test"))
    for host, fields in (
        ("mistake2.test", {**good, "token": ""}),
        ("mistake2.test", {**good, "token": token[:-1] + ("0" if token[-1] != "0" else "1")}),
        ("mistake3.test", {**good, "token": token}),
        ("mistake2.test", {**good, "token": token, "comment": "  "}),
        ("mistake2.test", {**good, "token": token, "comment": "x" * 600}),
        ("mistake2.test", {**good, "token": token, "comment": "a\u202eb"}),
        ("mistake2.test", {**good, "token": token, "contact": "not an address"}),
        ("mistake2.test", {**good, "token": token, "name": "192.0.2.1"}),
    ):
        found = send_form(port, host, **fields)
        assert found.status == 422, fields
        assert 'role="alert"' in found.body or 'class="wrong"' in found.body
    assert send_form(port, "mistake2.test", "127.0.0.2", **good, token=token).status == 422
    assert not [one for one in reports.open_reports(pdns.state_dir) if one.name == "mistake2.test"]
    assert send_form(port, "mistake2.test", **good, token=token).status == 200
    assert send_form(port, "mistake2.test", **good, token=token).status == 200  # reloaded: counted once
    (one,) = [one for one in reports.open_reports(pdns.state_dir) if one.name == "mistake2.test"]
    assert one.count == 1


def test_a_dead_process_is_replaced(pdns: RunningPdns, port: int) -> None:
    """After kill -9 the page is back, with its sockets and reports; forms of open tabs stay valid; answers go on meanwhile."""
    report(port, "mistake4.test")
    token = token_of(visit(port, "mistake5.test"))
    before = pdns.value("page_restarts_total")
    killed = page_pid(pdns)
    os.kill(killed, signal.SIGKILL)
    assert pdns.addresses("blocked.test") == [ADDRESS]
    assert pdns.ask("www.example.net").answer
    assert visit(port, "blocked.test").status == 403  # it waits in the kernel
    pdns.wait_for(lambda: page_pid(pdns) not in (0, killed), "another process")
    assert pdns.value("page_restarts_total") == before + 1
    assert send_form(port, "mistake5.test", name="mistake5.test", comment="x", contact="", token=token).status == 200
    names = [one.name for one in reports.open_reports(pdns.state_dir)]
    assert {"mistake4.test", "mistake5.test"} <= set(names)


def test_a_flood_delays_no_answer(pdns: RunningPdns, port: int) -> None:
    """While many connections ask, hang and break off, DNS is answered, and the page afterwards."""
    served = page_pid(pdns)

    def flood(number: int) -> None:
        unfinished = b"GET / HTTP/1.1\r\nHost: blocked.test\r\n" + NAVIGATION
        kinds = (ODD["POST"][0], b"GET / HT", b"", ODD["a long header"][0], unfinished)
        try:
            exchange(port, kinds[number % len(kinds)], timeout_s=0.5)
        except OSError:
            return

    with ThreadPoolExecutor(100) as threads:
        flooding = [threads.submit(flood, number) for number in range(2000)]
        for number in range(50):
            assert pdns.addresses(f"n{number}.blocked.test") == [ADDRESS]
        for one in flooding:
            one.result()
    assert visit(port, "blocked.test").status == 403
    assert page_pid(pdns) == served
    assert "Traceback" not in pdns.log


def test_a_slow_client_is_closed(port: int) -> None:
    """A header or a form that never ends is given up."""
    began_s = time.monotonic()
    head = b"POST /.pdns/report HTTP/1.1\r\nHost: blocked.test\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    slow = [head + b"Content-Length: 10\r\n\r\na", b"GET / HTTP/1.1\r\nHo"]
    with ThreadPoolExecutor(2) as threads:
        form, header = threads.map(lambda request: exchange(port, request), slow)
    assert parsed(form).status == 408
    assert header == b""
    assert time.monotonic() - began_s < 100


def test_requests_at_random(pdns: RunningPdns, port: int) -> None:
    """Hostile requests get answers by design: no 500, no page for what is not a browser, no traceback, and the same process."""
    served = page_pid(pdns)
    hostile = list(httprequests.requests(20261130, 600))

    def send(request: bytes) -> bytes:
        try:
            return exchange(port, request, timeout_s=1.0)
        except OSError:
            return b""

    with ThreadPoolExecutor(50) as threads:
        for request, said in zip(hostile, threads.map(send, hostile), strict=True):
            for status in re.findall(rb"^HTTP/1\.[01] (\d{3}) ", said, re.MULTILINE):
                assert status in (b"400", b"403", b"404", b"408", b"413", b"415", b"422", b"431", b"503"), (
                    request[:300],
                    said[:300],
                )
    assert visit(port, "blocked.test").status == 403
    assert page_pid(pdns) == served
    assert "Traceback" not in pdns.log


def test_limits_of_reports(tmp_path: Path) -> None:
    """A client has its share, and the queue an end; each refusal is a page that says what to do instead."""
    listed = [f"n{number}.test" for number in range(20)]
    sections = {
        "upstream": {"servers": ["127.0.0.1:9"]},
        "feed": [feed(tmp_path, "listed", *listed)],
        **config(reports_per_hour_per_client=3, max_reports=4),
    }
    with RunningPdns(tmp_path, sections) as pdns:
        port = page_port(pdns)
        pdns.wait_for(lambda: visit(port, "n0.test").status == 403, "the blockset")
        assert [report(port, name).status for name in listed[:4]] == [200, 200, 200, 429]
        assert [report(port, name, source="127.0.0.3").status for name in listed[4:6]] == [200, 503]
        assert report(port, "n0.test", source="127.0.0.4").status == 200  # merged
        assert len(reports.open_reports(pdns.state_dir)) == 4
        assert pdns.value("reports_total", result="limited") == 1
        assert pdns.value("reports_total", result="full") == 1
        assert pdns.value("reports_total", result="merged") == 1


def test_a_reload_moves_the_page(tmp_path: Path) -> None:
    """Listening begins, changes and ends with a new configuration; an address in use is refused and changes nothing."""
    sections = {"upstream": {"servers": ["127.0.0.1:9"]}, "feed": [feed(tmp_path, "listed", "blocked.test")]}
    with RunningPdns(tmp_path, sections) as pdns:
        assert page_pid(pdns) == 0
        pdns.write_config({**sections, **config()})
        pdns.reload()
        port = page_port(pdns)
        pdns.wait_for(lambda: visit(port, "blocked.test").status == 403, "the blockset")
        pid = page_pid(pdns)
        pdns.write_config({**sections, **config(max_reports=7)})
        pdns.reload()
        assert visit(port, "blocked.test").status == 403
        assert page_pid(pdns) == pid
        pdns.write_config({**sections, "block_page": {"listen": []}})
        pdns.reload()
        pdns.wait_for(lambda: page_pid(pdns) == 0, "the end of the page process")
        with pytest.raises(ConnectionRefusedError):
            exchange(port, b"")


def test_a_full_disk(tmp_path: Path) -> None:
    """A report that does not fit is a page that says so, and can be sent again once there is room."""
    need_root()
    state = tmp_path / "state"
    state.mkdir()
    small = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=2m none "$0" && exec "$@"', str(state)]
    sections = {"upstream": {"servers": ["127.0.0.1:9"]}, "feed": [feed(tmp_path, "listed", "a.test", "b.test")], **config()}
    with RunningPdns(tmp_path, sections, through=small) as pdns:
        port = page_port(pdns)
        pdns.wait_for(lambda: visit(port, "a.test").status == 403, "the blockset")
        assert report(port, "a.test").status == 200
        inside = ["nsenter", "-t", str(pdns.pid), "-m", "sh", "-c"]
        subprocess.run([*inside, 'cat /dev/zero > "$0/filler"; test -s "$0/filler"', str(state)], check=True, capture_output=True)
        found = report(port, "b.test")
        assert (found.status, found.title) == (503, "Your report did not arrive")
        assert visit(port, "b.test").status == 403
        subprocess.run([*inside, 'rm "$0/filler"', str(state)], check=True)
        assert report(port, "b.test").status == 200
        assert pdns.value("reports_total", result="failed") == 1
        pdns.wait_for(lambda: pdns.value("open_reports") == 2, "both reports")


def test_a_rolling_restart_replaces_the_process(tmp_path: Path) -> None:
    """SIGUSR2 replaces the page process too; visitors meanwhile wait in the kernel."""
    sections = {"upstream": {"servers": ["127.0.0.1:9"]}, "feed": [feed(tmp_path, "listed", "a.test")], **config()}
    with RunningPdns(tmp_path, sections) as pdns:
        port = page_port(pdns)
        pdns.wait_for(lambda: visit(port, "a.test").status == 403, "the blockset")
        before = page_pid(pdns)
        pdns.send_signal(signal.SIGUSR2)
        pdns.wait_for(lambda: page_pid(pdns) not in (0, before), "another process")
        assert visit(port, "a.test").status == 403
        assert pdns.value("page_restarts_total") == 0


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    """The same without the directory of the reports; nothing is lost of those before."""
    sections = {"upstream": {"servers": ["127.0.0.1:9"]}, "feed": [feed(tmp_path, "listed", "a.test", "b.test")], **config()}
    with RunningPdns(tmp_path, sections) as pdns:
        port = page_port(pdns)
        pdns.wait_for(lambda: visit(port, "a.test").status == 403, "the blockset")
        assert report(port, "a.test").status == 200
        directory = pdns.state_dir / reports.DIRECTORY
        directory.rename(directory.with_name("away"))
        found = report(port, "b.test")
        assert (found.status, found.title) == (503, "Your report did not arrive")
        directory.with_name("away").rename(directory)
        assert report(port, "b.test").status == 200
        assert {one.name for one in reports.open_reports(pdns.state_dir)} == {"a.test", "b.test"}
