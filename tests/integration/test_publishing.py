"""`pdns serve` publishes what it blocks: the zone follows lists and commands, and gives its own verdicts to real secondaries."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.exception
import dns.message
import dns.query
import dns.rcode

from loadtest.loopback import free_port
from tests.fakes import upstream as fake
from tests.integration.realservers import ask
from tests.integration.running_pdns import ROOT, RunningPdns, UpstreamThread, feed
from tests.integration.secondaries import ORIGIN, SECRET, NamedSecondary, Records, UnboundSecondary, serial_of, transferred

LISTED = ("||evil.example^", "@@||good.evil.example^", "||a.b.deep.example^", "||192.0.2.66^")
ASKED = (
    "evil.example", "www.evil.example", "good.evil.example", "x.good.evil.example", "ok.evil.example", "x.ok.evil.example",
    "a.b.deep.example", "b.deep.example", "x.a.b.deep.example", "deep.example", "other.example", "local.example",
    "x.local.example", "off.example", "monitored.example",
)  # fmt: skip


def config(directory: Path, upstream: UpstreamThread, port: int, *zones: dict[str, Any]) -> dict[str, Any]:
    return {
        "upstream": {"servers": [upstream.address]},
        "block": {"allow": ["ok.evil.example"], "action": "nxdomain"},
        "feeds": {"publish_listen": [f"127.0.0.1:{port}"]},
        "feed": [
            feed(directory, "listed", *LISTED, format="adblock", addresses=True, max_growth=1e6),
            feed(directory, "watched", "monitored.example", mode="monitor"),
        ],
        "publish": [{"zone": ORIGIN, "refresh_s": 3600, **zone} for zone in zones],
    }


def command(pdns: RunningPdns, *words: str, check: bool = True) -> None:
    run = [sys.executable, "-m", "pdns", *words, "-c", str(pdns.config_path)]
    subprocess.run(run, check=check, capture_output=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)})


def wait_for_names(pdns: RunningPdns, port: int, origin: str = ORIGIN) -> None:
    """Return when the zone has the listed names: a version before may have those of the feed that was read first."""
    names = f"evil.example.{origin}."
    pdns.wait_for(lambda: serial_of(port, origin), "the zone")
    pdns.wait_for(lambda: any(owner == names for owner, _, _ in transferred(port, origin=origin)), "its names")


def owners(records: Records) -> set[str]:
    return {owner.removesuffix(f".{ORIGIN}.") for owner, rtype, _ in records if rtype != "NS"}


def test_secondaries_give_the_same_verdicts(tmp_path: Path) -> None:
    """BIND with a key and Unbound without follow lists and commands by differences, and block what pdns blocks."""
    port, named_port, unbound_port = free_port(), free_port(), free_port()
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    signed = {"notify": [f"127.0.0.1:{named_port}"], "tsig_name": "pdns-rpz", "tsig_secret_file": str(secret)}
    with UpstreamThread(fake.answer("198.51.100.7")) as upstream:
        base = config(tmp_path, upstream, port, {**signed, "allow_transfer": ["127.0.0.1"]})
        with RunningPdns(tmp_path, base) as pdns:
            named = NamedSecondary(tmp_path / "named", port, upstream.fake.port)
            named.port = named_port
            with named:
                follow(pdns, named, port, tsig=SECRET)
            plain = config(tmp_path, upstream, port, {"allow_transfer": ["127.0.0.1"], "notify": [f"127.0.0.1:{unbound_port}"]})
            pdns.write_config(plain)
            pdns.reload()
            pdns.wait_for(lambda: serial_of(port), "the zone without a key")
            unbound = UnboundSecondary(tmp_path / "unbound", port, upstream.fake.port)
            unbound.port = unbound_port
            with unbound:
                follow(pdns, unbound, port)
            pdns.wait_for_value(serial_of(port), "publish_serial", zone=ORIGIN)
            assert pdns.value("publish_transfers_total", kind="ixfr", result="steps") >= 4
            assert pdns.value("publish_transfers_total", kind="ixfr", result="whole") <= 4  # where a step is as long as the zone
            pdns.wait_for(lambda: pdns.value("publish_notify_total", result="answered") >= 4, "answered")
            assert pdns.value("publish_failing", zone=ORIGIN) == 0
            assert pdns.value("publish_addresses", zone=ORIGIN) == 1


def follow(pdns: RunningPdns, secondary: NamedSecondary | UnboundSecondary, port: int, tsig: str = "") -> None:
    pdns.wait_for(lambda: secondary.serial, "the zone")
    command(pdns, "block", "local.example", "--reason", "test")
    command(pdns, "allow", "off.example", "--reason", "test")
    same_verdicts(pdns, secondary, port, tsig)
    assert "local.example" in owners(secondary.records)
    assert "deep.example" not in owners(secondary.records)
    command(pdns, "allow", "a.b.deep.example", "--reason", "a mistake")
    pdns.wait_for(lambda: ask(secondary.port, "a.b.deep.example").rcode() == dns.rcode.NOERROR, "allowed", within_s=30)
    same_verdicts(pdns, secondary, port, tsig)
    for name in ("local.example", "off.example", "a.b.deep.example"):
        command(pdns, "indicators", "remove", name)
    command(pdns, "feeds", "disable", "listed", "--for", "1h", "--reason", "test")
    pdns.wait_for(lambda: ask(secondary.port, "evil.example").rcode() == dns.rcode.NOERROR, "switched off", within_s=30)
    same_verdicts(pdns, secondary, port, tsig)
    command(pdns, "feeds", "enable", "listed")
    same_verdicts(pdns, secondary, port, tsig)


def same_verdicts(pdns: RunningPdns, secondary: NamedSecondary | UnboundSecondary, port: int, tsig: str) -> None:
    pdns.wait_for(lambda: secondary.records == transferred(port, secret=tsig), "the same records")
    pdns.wait_for(lambda: not differing(pdns, secondary), "the same verdicts")


def differing(pdns: RunningPdns, secondary: NamedSecondary | UnboundSecondary) -> list[str]:
    return [name for name in ASKED if ask(secondary.port, name).rcode() != pdns.ask(name).rcode()]


def test_serial_and_steps_survive(tmp_path: Path) -> None:
    """A restart, and a feeds process that is killed: the version is served again at once, and the next one is a step from it."""
    port = free_port()
    with UpstreamThread(fake.answer("198.51.100.7")) as upstream:
        with RunningPdns(tmp_path, config(tmp_path, upstream, port, {"allow_transfer": ["127.0.0.0/8"]})) as pdns:
            wait_for_names(pdns, port)
            first = serial_of(port)
            os.kill(pdns.feeds_pid, signal.SIGKILL)
            pdns.wait_for(lambda: answers(port) == first, "the same version")
        with RunningPdns(tmp_path, config(tmp_path, upstream, port, {"allow_transfer": ["127.0.0.0/8"]})) as pdns:
            pdns.wait_for(lambda: answers(port) == first, "the same version")
            command(pdns, "block", "local.example", "--reason", "test")
            pdns.wait_for(lambda: serial_of(port) == first + 1, "the next version")
            steps = dig(port, f"IXFR={first}")
            assert [line.split()[3:5] for line in steps][2:4] == [["SOA", "localhost."], ["CNAME", "."]]
            assert len(steps) == 6


def answers(port: int) -> int:
    try:
        return serial_of(port, timeout_s=0.5)
    except (OSError, dns.exception.DNSException):
        return 0


def dig(port: int, *words: str) -> list[str]:
    run = ["dig", "+noall", "+answer", "@127.0.0.1", "-p", str(port), ORIGIN, *words]
    return subprocess.run(run, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()


def test_dig_reads_the_zone(tmp_path: Path) -> None:
    """AXFR, SOA over both transports, and IXFR over UDP where it fits; other types and names are refused."""
    port = free_port()
    with (
        UpstreamThread(fake.answer("198.51.100.7")) as upstream,
        RunningPdns(tmp_path, config(tmp_path, upstream, port, {"allow_transfer": ["127.0.0.0/8"]})) as pdns,
    ):
        wait_for_names(pdns, port)
        serial = serial_of(port)
        lines = dig(port, "AXFR")
        assert lines[0] == lines[-1]
        assert lines[0].split()[-5:-4] == [str(serial)]
        assert len(lines) == 2 + 1 + 2 + 2 + 2 + 2 + 1  # SOA, NS, evil, its exception and ok, deep, an address
        assert dig(port, "SOA") == dig(port, "SOA", "+tcp") == dig(port, f"IXFR={serial}") == lines[:1]
        command(pdns, "block", "local.example", "--reason", "test")
        pdns.wait_for(lambda: serial_of(port) == serial + 1, "the next version")
        assert dig(port, f"IXFR={serial}", "+notcp") == dig(port, f"IXFR={serial}")
        assert ask(port, ORIGIN, "A").rcode() == dns.rcode.REFUSED
        assert ask(port, "other.example", "SOA").rcode() == dns.rcode.REFUSED
        answer = dns.query.udp(dns.message.make_query(ORIGIN, "AXFR"), "127.0.0.1", port=port, timeout=60)
        assert answer.rcode() == dns.rcode.FORMERR


def test_the_signed_file_is_a_feed(tmp_path: Path) -> None:
    """Another pdns reads the file and blocks the same names; when one byte has changed, it keeps what it had."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with UpstreamThread(fake.answer("198.51.100.7")) as upstream:
        with RunningPdns(first, config(first, upstream, free_port(), {"file": "pdns.rpz"})) as pdns:
            files = pdns.state_dir / "publish" / ORIGIN
            pdns.wait_for((files / "minisign.pub").exists, "the file")
            command(pdns, "block", "local.example", "--reason", "test")
            whole = ("local.example", "good.evil.example")
            pdns.wait_for(lambda: all(name in (files / "pdns.rpz").read_text() for name in whole), "the next version")
            pdns.wait_for(lambda: not list(files.glob("*.new")), "and its signature")
        key = (files / "minisign.pub").read_text().splitlines()[1]
        with web_server(files) as port:
            keys = {
                "format": "rpz",
                "minisign_key": key,
                "internal_networks": ["127.0.0.0/8"],
                "addresses": True,
                "required": True,
            }
            reader = {
                "upstream": {"servers": [upstream.address]},
                "block": {"action": "nxdomain"},
                "feed": [{"name": "partner", "url": f"http://127.0.0.1:{port}/pdns.rpz", **keys}],
            }
            with RunningPdns(second, reader) as other:
                blocked = [name for name in ASKED if other.rcode(name) == "NXDOMAIN"]
                assert blocked == [
                    "evil.example", "www.evil.example", "a.b.deep.example", "x.a.b.deep.example", "local.example",
                    "x.local.example",
                ]  # fmt: skip
                path = files / "pdns.rpz"
                path.write_text(path.read_text().replace("evil", "evik"))
                command(other, "feeds", "update", check=False)
                other.wait_for(lambda: other.value("feed_refresh_total", result="signature"), "refused")
                assert other.rcode("evil.example") == "NXDOMAIN"


@contextmanager
def web_server(directory: Path) -> Iterator[int]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(directory))

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_actions(tmp_path: Path) -> None:
    """The action of a zone: that of pdns, as far as policy zones have it, or one of its own."""
    port = free_port()
    expected = {"policy": {("A", "192.0.2.1"), ("AAAA", "2001:db8::1")}, "drop": {("CNAME", "rpz-drop.")}}
    with UpstreamThread(fake.answer("198.51.100.7")) as upstream:
        zones = [{"zone": f"{action}.example", "allow_transfer": ["127.0.0.0/8"], "action": action} for action in expected]
        tables = config(tmp_path, upstream, port, *zones)
        tables["block"]["action"] = "sinkhole"
        with RunningPdns(tmp_path, tables) as pdns:
            for action, data in expected.items():
                zone = f"{action}.example"
                wait_for_names(pdns, port, zone)
                records = transferred(port, origin=zone)
                assert {(rtype, value) for owner, rtype, value in records if owner == f"evil.example.{zone}."} == data
