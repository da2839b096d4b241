"""What administrators order by the command line and by the admin API takes effect in every worker."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import msgspec
import pytest

from pdns.core.case import reference
from pdns.wire.names import from_text
from tests.integration.healthyfeeds import ASKED, HEALTHY, OTHER, Healthy, body, healthy_feeds, shuffled
from tests.integration.running_pdns import SINKHOLE


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Healthy]:
    with healthy_feeds(tmp_path_factory.mktemp("api")) as started:
        yield started


@pytest.fixture
def healthy(started: Healthy) -> Healthy:
    started.restore()
    return started


def test_the_kill_switch(healthy: Healthy) -> None:
    """A feed that is switched off blocks nothing, in every worker, within a second and without a compile; by itself it comes
    back; it is on record.
    """
    generation = healthy.pdns.value("blockset_generation")
    audit = healthy.pdns.state_dir / "audit.jsonl"
    before = audit.read_bytes() if audit.exists() else b""  # other tests switch feeds off too
    assert healthy.cli("feeds", "disable", "main", "--for", "1h", "--reason", "false positives")[0] == 0
    assert all(healthy.pdns.addresses(name) != [SINKHOLE] for name in ASKED[:2])
    assert healthy.pdns.addresses(ASKED[2]) == [SINKHOLE]
    healthy.pdns.wait_for_value(1, "feed_disabled", feed="main")
    assert "main: switched off until" in healthy.cli("feeds", "status")[1]
    assert healthy.cli("feeds", "disable", "main", "--for", "2s", "--reason", "nearly over")[0] == 0
    healthy.pdns.wait_for_value(0, "feed_disabled", feed="main")
    for name in ASKED:
        healthy.wait_blocked(name)
    assert healthy.pdns.value("blockset_generation") == generation
    lines = [msgspec.json.decode(line) for line in audit.read_bytes().removeprefix(before).splitlines()]
    line, _ = [line for line in lines if line["command"] == "disable"]
    assert (line["feed"], line["reason"], line["done"]) == ("main", "false positives", True)
    assert line["user"]


def test_local_indicators(healthy: Healthy) -> None:
    """A name is blocked or allowed here in every worker, whatever feeds say, with the reason told to the client; listed,
    exported, and taken back.
    """
    names = [f"w{number}.example.net" for number in range(8)]  # on both workers
    before = [healthy.pdns.addresses(name) for name in names]
    assert [SINKHOLE] not in before
    assert healthy.cli("block", "example.net", "--reason", "wave of today")[0] == 0
    healthy.pdns.wait_for(lambda: all(healthy.pdns.addresses(name) == [SINKHOLE] for name in names), "blocked")
    (option,) = healthy.pdns.ask(names[0]).options
    case = reference(from_text("example.net"), "local")
    assert option.text == f"local: wave of today (example.net) (case {case})"
    assert healthy.cli("allow", "bad0.evil.example", "--reason", "a customer", "--for", "1h")[0] == 0
    healthy.pdns.wait_for(lambda: healthy.pdns.addresses("bad0.evil.example") != [SINKHOLE], "allowed")
    assert "wave of today" in healthy.cli("indicators", "list")[1]
    assert healthy.cli("indicators", "export", "--format", "csv")[1].startswith(
        "name,action,reason,author,added_s,expires_s,tenant\n"
    )
    exported = msgspec.json.decode(healthy.cli("indicators", "export")[1])
    assert [(entry["name"], entry["action"]) for entry in exported] == [("example.net", "block"), ("bad0.evil.example", "allow")]
    assert healthy.pdns.value("local_indicators", action="block") == 1
    assert healthy.pdns.value("blocked_total", feed="local") > 0
    for name in ("example.net", "bad0.evil.example"):
        assert healthy.cli("indicators", "remove", name)[0] == 0
    healthy.pdns.wait_for(lambda: [SINKHOLE] not in [healthy.pdns.addresses(name) for name in names], "taken back")
    healthy.pdns.wait_for(lambda: healthy.pdns.addresses("bad0.evil.example") == [SINKHOLE], "blocked again")


def call(port: int, path: str, token: str = "", body_: object = None, method: str = "GET") -> tuple[int, Any]:
    """What the API says."""
    data = None if body_ is None else msgspec.json.encode(body_)
    request = Request(f"http://127.0.0.1:{port}{path}", data=data, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urlopen(request, timeout=60) as response:
            said = response.read()
            return response.status, msgspec.json.decode(said) if said.startswith((b"{", b"[")) else said.decode()
    except HTTPError as error:
        with error:
            return error.code, msgspec.json.decode(error.read())


def test_the_api_does_what_the_command_line_does(healthy: Healthy) -> None:
    """Without the token no route tells or does anything; with it commands take effect, and the audit log names the API."""
    found = re.search(r"the admin API listens on 127\.0\.0\.1 port (\d+)", healthy.pdns.log)
    assert found is not None
    port, token = int(found[1]), "a-token-of-some-length"
    for path, method in (
        ("/api/feeds", "GET"), ("/api/feeds/held", "GET"), ("/api/feeds/main/disable", "POST"), ("/api/indicators", "GET"),
        ("/api/indicators", "POST"), ("/api/indicators/x.example", "DELETE"), ("/api/explain?name=x.example", "GET"),
        ("/", "GET"),
    ):  # fmt: skip
        for wrong in ("", "a-token-of-some-lengt", "another-token-altogether"):
            assert call(port, path, wrong, {} if method == "POST" else None, method)[0] == 401, (path, wrong)
    assert healthy.pdns.get("/api/feeds")[0] == 404  # not on the page of metrics

    wide = {"action": "block", "name": "co.uk", "reason": "by a program"}
    code, said = call(port, "/api/indicators", token, wide, "POST")
    assert (code, said["done"]) == (409, False)
    assert said["text"] == 'every name below co.uk would be blocked: it is a public suffix; use "force": true to do it anyway'

    order = {"action": "block", "name": "api.example.net", "reason": "by a program", "for": "1h", "user": "soc"}
    code, said = call(port, "/api/indicators", token, order, "POST")
    assert (code, said["done"]) == (200, True)
    healthy.pdns.wait_for(lambda: healthy.pdns.addresses("x.api.example.net") == [SINKHOLE], "blocked")
    code, said = call(port, "/api/indicators", token)
    assert [(entry["name"], entry["author"]) for entry in said] == [("api.example.net", "api: soc")]
    assert call(port, "/api/indicators?format=csv", token)[1].startswith("name,action,")
    code, said = call(port, "/api/explain?name=www.api.example.net", token)
    assert said["local"] == {"name": "api.example.net", "action": "block", "reason": "by a program"}
    assert "EDE 15: local: by a program" in said["answers"]["A"]
    told = healthy.cli("explain", "www.api.example.net", "--json")[1]
    assert said["answers"] == msgspec.json.decode(told)["answers"]
    said = call(port, "/api/explain?name=www.api.example.net&client=203.0.113.7", token)[1]
    assert set(said["answers"]) == {"any type"}
    assert "REFUSED" in said["answers"]["any type"]  # this client may not ask
    for wrong in ("client=somebody", "tenant=unknown", "tenant=unknown&client=127.0.0.1"):
        assert call(port, f"/api/explain?name=x.example&{wrong}", token)[0] == 400
    assert call(port, "/api/indicators/api.example.net", token, method="DELETE")[0] == 200

    assert call(port, "/api/feeds/main/disable", token, {"for": "1h"}, "POST")[0] == 409  # no reason
    assert call(port, "/api/feeds/main/disable", token, {"for": "soon", "reason": "x"}, "POST")[0] == 400
    assert call(port, "/api/feeds/main/explode", token, {}, "POST")[0] == 404
    assert call(port, "/api/feeds/main/disable", token, {"for": "1h", "reason": "x"}, "POST")[0] == 200
    healthy.pdns.wait_for(lambda: healthy.pdns.addresses(ASKED[0]) != [SINKHOLE], "off")
    code, said = call(port, f"/api/explain?name={ASKED[0]}", token)
    assert [(listing["feed"], listing["disabled"], listing["rule"]) for listing in said["said"]] == [("main", True, "subtree")]
    assert call(port, "/api/feeds/main/enable", token, {}, "POST")[0] == 200
    healthy.pdns.wait_for(lambda: healthy.pdns.addresses(ASKED[0]) == [SINKHOLE], "on")

    healthy.server.serve("/main", body(HEALTHY[:30]), etag='"api"')
    healthy.update()
    code, said = call(port, "/api/feeds/held", token)
    assert said["main"]["update"]["finding"]["kind"] == "shrink"
    assert call(port, "/api/feeds/main/drop", token, {"reason": "no"}, "POST")[0] == 200
    assert "main" not in call(port, "/api/feeds/held", token)[1]
    audited = (healthy.pdns.state_dir / "audit.jsonl").read_text()
    assert '"user":"api: soc"' in audited
    assert '"user":"api"' in audited


@pytest.mark.realtime
@pytest.mark.long
def test_no_command_waits_behind_slow_ones(healthy: Healthy) -> None:
    """While a parser hangs and more commands wait for it than a pool has threads, a feed is switched off over HTTP and a name
    let through by the command line; each answer comes when every worker does as it says; the slow ones are done afterwards.
    """
    found = re.search(r"the admin API listens on 127\.0\.0\.1 port (\d+)", healthy.pdns.log)
    assert found is not None
    port, token = int(found[1]), "a-token-of-some-length"
    names = HEALTHY[10 : 10 + min(32, (os.cpu_count() or 1) + 4) + 2]
    order = {"reason": "x"}
    healthy.server.serve("/other", body([*OTHER, *shuffled(50_000, "slow.example")]), etag='"slow"')
    asked = threading.Thread(target=healthy.update)
    asked.start()
    parser = 0
    while not parser:
        parser = next(iter(healthy.pdns.children("feeds.build", healthy.pdns.feeds_pid)), 0)
    os.kill(parser, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(len(names)) as pool:
            slow = [pool.submit(call, port, "/api/feeds/main/hold", token, {"name": name, **order}, "POST") for name in names]
            healthy.pdns.wait_for(
                lambda: len(list((healthy.pdns.state_dir / "requests").glob("*.order"))) == len(names), "all have been given"
            )
            for _ in range(3):
                assert call(port, "/api/feeds/main/disable", token, {"for": "1h", "reason": "x"}, "POST")[0] == 200
                assert healthy.pdns.addresses(ASKED[0]) != [SINKHOLE]
                assert call(port, "/api/feeds/main/enable", token, {}, "POST")[0] == 200
                assert healthy.pdns.addresses(ASKED[0]) == [SINKHOLE]
            assert healthy.cli("allow", ASKED[0], "--reason", "x")[0] == 0
            assert healthy.pdns.addresses(ASKED[0]) != [SINKHOLE]
            assert healthy.cli("indicators", "remove", ASKED[0])[0] == 0
            assert healthy.pdns.addresses(ASKED[0]) == [SINKHOLE]
            assert not any(one.done() for one in slow)
            os.kill(parser, signal.SIGCONT)
            assert {one.result()[0] for one in slow} == {200}
    finally:
        with suppress(ProcessLookupError):
            os.kill(parser, signal.SIGCONT)
        asked.join()
        healthy.server.serve("/other", body(OTHER), etag='"other"')
        healthy.cli("feeds", "drop", "other", "--reason", "x")
    assert all(healthy.pdns.addresses(name) != [SINKHOLE] for name in names)
    assert call(port, "/api/feeds/main/release", token, {"name": names[0]}, "POST")[0] == 200
    assert healthy.pdns.addresses(names[0]) == [SINKHOLE]
    for name in names[1:]:
        assert call(port, "/api/feeds/main/release", token, {"name": name}, "POST")[0] == 200
