"""Taps of the real program, read by a real collector: a sample of all queries, and all of one tenant for a while."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any

import dns.message
import pytest

from pdns.events.frame_streams import CollectorAddress
from tests.integration.apiclient import Api
from tests.integration.running_pdns import ROOT, RunningPdns, UpstreamThread
from tests.unit.events.collectors import capture, fields_of, frames_in

NORTH, SOUTH, OTHER = "127.0.0.2", "127.0.0.3", "127.0.0.4"
QUERIES, WORKERS = 2000, 2
SINKS = ("all", "tenth", "some")


class Scene:
    """A server with its collectors."""

    def __init__(self, pdns: RunningPdns, collectors: dict[str, ExitStack]) -> None:
        self.pdns, self._collectors = pdns, collectors

    def ask(self, name: str, client: str, times: int = 1) -> None:
        """Ask from that address, over UDP, and wait for each answer."""
        query = dns.message.make_query(name, "A").to_wire()
        for _ in range(times):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((client, 0))
                sock.settimeout(60)
                sock.sendto(query, ("127.0.0.1", self.pdns.dns_port))
                sock.recv(4096)

    def command(self, *words: str, expected: int = 0) -> str:
        """What a command prints."""
        command = [sys.executable, "-m", "pdns", *words, "-c", str(self.pdns.config_path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
        assert done.returncode == expected, done
        return done.stdout + done.stderr

    def wait_for_messages(self, number: int, sink: str) -> None:
        self.pdns.wait_for_value(number, "tap_messages_total", sink=sink)

    def frames(self, sink: str) -> list[tuple[bytes, dict[int, Any], dict[str, str]]]:
        """What the collector of a sink has, whole and taken apart: the message, and what is in `extra`. It ends."""
        self._collectors[sink].close()
        path = self.pdns.directory / f"{sink}.frames"
        shown = subprocess.run(["dnstap-read", str(path)], capture_output=True, check=True).stdout.splitlines()
        frames = frames_in(path.read_bytes())
        assert len(shown) == len(frames)
        assert all(b" CQ " in line for line in shown)
        return [(frame, fields_of(fields_of(frame)[14]), json.loads(fields_of(frame)[3])) for frame in frames]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    if shutil.which("dnstap-read") is None:
        pytest.skip("no dnstap-read here")
    directory = tmp_path_factory.mktemp("taps")
    with ExitStack() as stack:
        upstream = stack.enter_context(UpstreamThread())
        collectors = {name: stack.enter_context(ExitStack()) for name in SINKS}
        for name, ending in collectors.items():
            ending.enter_context(capture(CollectorAddress(path=str(directory / name)), directory / f"{name}.frames"))
        config = {
            "upstream": {"servers": [upstream.address]},
            "tenant": [
                {"name": "north", "networks": [f"{NORTH}/32"]},
                {"name": "south", "networks": [f"{SOUTH}/32"], "events_clients": "full"},
            ],
            "sink": [
                {"name": "all", "kind": "dnstap", "path": str(directory / "all")},
                {"name": "tenth", "kind": "dnstap", "path": str(directory / "tenth"), "sample": 0.1},
                {"name": "some", "kind": "dnstap", "path": str(directory / "some"), "sample": 0.03, "tenants": ["south"]},
            ],
        }
        yield Scene(stack.enter_context(RunningPdns(directory, config)), collectors)


def test_a_share_of_all_queries(scene: Scene) -> None:
    """Each sink gets its own share, of its tenants: exactly every n-th of each worker. No address is in it without leave."""
    for client, share in ((NORTH, 0.5), (SOUTH, 0.3), (OTHER, 0.2)):
        scene.ask("www.example", client, int(QUERIES * share))
    scene.pdns.wait_for(lambda: abs(scene.pdns.value("tap_messages_total", sink="tenth") - QUERIES / 10) <= WORKERS, "a tenth")
    expected = QUERIES * 0.3 * 0.03
    scene.pdns.wait_for(lambda: abs(scene.pdns.value("tap_messages_total", sink="some") - expected) <= WORKERS, "of a tenant")
    assert scene.pdns.value("tap_dropped_total") == 0
    assert {extra["tenant"] for _, _, extra in scene.frames("some")} == {"south"}
    frames = scene.frames("tenth")
    assert abs(len(frames) - QUERIES / 10) <= WORKERS
    for frame, message, extra in frames:
        query = dns.message.from_wire(message[10])
        assert (message[1], str(query.question[0]), query.edns) == (5, "www.example. IN A", -1)
        if extra["tenant"] == "south":
            assert (message[4], extra["client"]) == (ip_address(SOUTH).packed, SOUTH)
        else:
            assert extra == {"tap": "sample", "tenant": extra["tenant"]}
            assert all(ip_address(address).packed not in frame for address in (NORTH, SOUTH, OTHER))


def test_a_tenant_for_a_while(scene: Scene) -> None:
    """From the command to its end and not after, also over a restart: the queries of that tenant, and no others."""
    pdns, api = scene.pdns, Api(scene.pdns)
    assert "no tenant is tapped" in scene.command("tap", "status")
    assert "sink some gets 3" in scene.command("tap", "status")
    assert "no dnstap sink x" in scene.command("tap", "start", "north", "--for", "1h", "--sink", "x", expected=2)
    assert "at most 24h" in scene.command("tap", "start", "north", "--for", "25h", "--sink", "all", expected=1)
    scene.ask("before.example", NORTH)
    assert "to sink all until" in scene.command("tap", "start", "north", "--for", "1h", "--sink", "all", "--reason", "ticket 7")
    assert "ticket 7" in scene.command("tap", "status")
    for number in range(3):
        scene.ask(f"during{number}.example", NORTH)
        scene.ask("south.example", SOUTH)
        scene.ask("other.example", OTHER)
    scene.wait_for_messages(3, "all")
    scene.command("tap", "stop", "north")
    assert "there is no tap" in scene.command("tap", "stop", "north", expected=1)
    scene.ask("stopped.example", NORTH)
    scene.command("tap", "start", "north", "--for", "1s", "--sink", "all")
    pdns.wait_for_log("the tap of tenant north has ended", times=2)
    scene.ask("over.example", NORTH)
    assert api.local("POST", "/api/tenants/south/tap", {"for": "1h", "sink": "tenth"}).status == 200
    refused = api.local("POST", "/api/tenants/south/tap", {"for": "1h", "sink": "other"})
    assert (refused.status, "no dnstap sink" in refused.body["error"]) == (409, True)
    assert api.local("POST", "/api/tenants/south/tap", {"for": "1h", "sink": "all"}).status == 200  # instead of the one before
    assert api.local("GET", "/api/taps").body["south"]["sink"] == "all"
    scene.ask("api.example", SOUTH)
    scene.wait_for_messages(4, "all")
    pdns.stop()
    pdns.start()
    scene.ask("restarted.example", SOUTH)
    scene.wait_for_messages(1, "all")
    assert api.local("POST", "/api/tenants/south/untap", {}).status == 200
    frames = scene.frames("all")
    frames.sort(key=lambda frame: (frame[1][8], frame[1][9]))  # those of several workers
    names = [str(dns.message.from_wire(message[10]).question[0].name) for _, message, _ in frames]
    assert names == [f"{name}.example." for name in ("during0", "during1", "during2", "api", "restarted")]
    assert [(extra["tap"], extra["tenant"], extra.get("client")) for _, _, extra in frames] == [
        *[("tenant", "north", None)] * 3, *[("tenant", "south", SOUTH)] * 2
    ]  # fmt: skip
    assert all(ip_address(NORTH).packed not in frame for frame, _, _ in frames)
    audit = json.loads(scene.command("audit", "--json"))
    told = {(line["command"], line["tenant"], line.get("sink"), line["done"]) for line in audit}
    assert told >= {("tap", "north", "all", True), ("untap", "north", None, True), ("tap", "south", "all", True)}
