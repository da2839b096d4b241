"""`pdns explain`: all that is known of a name or an address, of every feed that lists it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest

from feeds.annotations import NameAnnotation
from pdns.blockset.annotations import DAY_S, FACTS_FILE
from pdns.blockset.generations import publish
from pdns.cli.explain import explain
from pdns.cli.feed_commands import show_held
from pdns.config.schema import Feed
from pdns.state.feed_status import FeedsStatus, FeedStatus
from pdns.state.overrides import FILE_NAME, Disabled, Indicator, Overrides
from tests.blocksets import compile_parsed
from tests.unit.blockset.test_annotations import parsed

CONFIG = """
[upstream]
servers = ["127.0.0.1:9"]
[state]
dir = "state"
[[feed]]
name = "c2"
url = "file:c2"
category = "c2"
[[feed]]
name = "wide"
url = "file:wide"
mode = "monitor"
"""
EMOTET = NameAnnotation("Emotet", "https://example.org/1", 19_000.0 * DAY_S, 4e9)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory in which one feed gives details of evil.test and 192.0.2.1, and another lists both."""
    monkeypatch.setenv("TZ", "UTC")
    path, state = tmp_path / "pdns.toml", tmp_path / "state"
    path.write_text(CONFIG.replace('"state"', f'"{state}"'))
    lists = [
        (Feed(name="c2", url="file:c2"), parsed({"evil.test": EMOTET}, {"192.0.2.1/32": EMOTET})),
        (Feed(name="wide", url="file:wide"), parsed({"evil.test": None, "other.test": None}, {"192.0.2.0/24": None})),
    ]
    compile_parsed(lists, state / "built", 1, 20_000.0 * DAY_S)
    publish(state, state / "built", 1)
    feeds = {
        name: FeedStatus(url="", category="", mode="block", required=False, last_success_s=20_001.0 * DAY_S)
        for name in ("c2", "wide")
    }
    (state / "feeds.json").write_bytes(msgspec.json.encode(FeedsStatus(feeds=feeds)))
    return path


def test_every_feed_on_a_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rule, threat, our dates, the publisher's dates and reference stand under each other, one line for each feed."""
    assert explain("www.evil.test", "", config) == 0
    printed = capsys.readouterr().out
    titles, first, second = (line.strip() for line in printed.splitlines()[1:4])
    reach = "the name and everything below it"
    shown = " ".join(titles.split())
    assert shown == "feed category mode listed reaches threat first seen last in the feed published expires reference"
    assert first.split("  ")[0] == "c2"
    for cell in (reach, "Emotet", "2024-10-04", "2024-10-05 00:00", "2022-01-08", "https://example.org/1", "2096-10-02 07:06"):
        assert cell in first
    assert second.startswith("wide")
    assert "Emotet" not in second
    assert first.index(reach) == second.index(reach) == titles.index("reaches")
    assert first.index("2024-10-04") == second.index("2024-10-04") == titles.index("first seen")


def test_columns_that_say_nothing_are_left_out(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name without threat, reference and expiry has no empty columns for them."""
    assert explain("other.test", "", config) == 0
    titles = " ".join(capsys.readouterr().out.splitlines()[1].split())
    assert titles == "feed category mode listed reaches first seen last in the feed"


def test_json(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for programs, times in seconds since the epoch."""
    assert explain("evil.test", "", config, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["asked"], told["generation"]) == ("evil.test", 1)
    assert told["said"][0] == {
        "feed": "c2", "category": "c2", "mode": "block", "listed": "evil.test", "rule": "subtree", "allow": False,
        "disabled": False,
        "threat": "Emotet", "reference": "https://example.org/1", "published_s": 19_000.0 * DAY_S,
        "first_seen_s": 20_000.0 * DAY_S, "last_seen_s": 20_001.0 * DAY_S, "expires_s": 4e9,
    }  # fmt: skip
    assert told["said"][1]["feed"] == "wide"
    assert "is listed by c2" in told["answers"]["A"]


def test_addresses(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An address is explained by every network that holds it, and what becomes of answers that lead there."""
    assert explain("192.0.2.1", "", config) == 0
    printed = capsys.readouterr().out
    assert "Emotet" in next(line for line in printed.splitlines() if "192.0.2.1/32" in line)
    assert next(line for line in printed.splitlines() if "192.0.2.0/24" in line).split()[0] == "wide"
    assert "is blocked by c2 (c2)" in printed
    assert explain("192.0.2.2", "", config) == 0
    assert "passes; wide would block it" in capsys.readouterr().out
    assert explain("2001:db8::1", "", config) == 0
    assert "listed by no feed" in capsys.readouterr().out


def test_damaged_facts_are_said(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its annotations a listing is still explained, and the damaged file is named."""
    facts = config.parent / "state" / "blocksets" / "1" / FACTS_FILE
    facts.write_bytes(facts.read_bytes()[:-1])
    assert explain("evil.test", "", config) == 0
    said = capsys.readouterr()
    assert "c2" in said.out
    assert FACTS_FILE in said.err


def test_what_was_said_here(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A local entry and a feed that is switched off are told, and decide what a client gets; what is over says nothing."""
    path = config.parent / "state" / FILE_NAME
    block = Indicator(name="*.evil.test", action="block", reason="ticket 4711", author="me", added_s=0.0)
    allow = Indicator(name="evil.test", action="allow", reason="false positive", author="me", added_s=0.0)
    path.write_bytes(msgspec.json.encode(Overrides(indicators=(block, allow))))
    assert explain("www.evil.test", "", config) == 0
    printed = capsys.readouterr().out
    assert "blocked here: *.evil.test: ticket 4711" in printed
    assert "EDE 15: local: ticket 4711 (*.evil.test)" in printed
    assert explain("evil.test", "", config) == 0
    printed = capsys.readouterr().out
    assert "allowed here: evil.test: false positive" in printed
    assert "is listed by" not in printed
    off = Disabled(reason="x", author="me", since_s=0.0, until_s=9e9)
    path.write_bytes(msgspec.json.encode(Overrides(disabled={"c2": off})))
    assert explain("evil.test", "", config) == 0
    printed = capsys.readouterr().out
    assert next(line for line in printed.splitlines() if line.strip().startswith("c2")).split()[2:4] == ["switched", "off"]
    assert "is listed by" not in printed
    over = msgspec.structs.replace(block, name="other.test", expires_s=1.0)
    path.write_bytes(msgspec.json.encode(Overrides(indicators=(over,))))
    assert explain("other.test", "", config) == 0
    assert "blocked here" not in capsys.readouterr().out
    path.write_bytes(b"{")
    assert explain("evil.test", "", config) == 2
    assert f"local entries are unknown: {FILE_NAME} cannot be read" in capsys.readouterr().err


URLS = (
    "https://www.evil.test/path?q=1", "http://user@WWW.evil.test:8080", "hxxp://www.evil.test/", "www.evil.test:53",
    "www.evil.test/x",
)  # fmt: skip


@pytest.mark.parametrize("asked", URLS)
def test_the_host_of_a_url(config: Path, capsys: pytest.CaptureFixture[str], asked: str) -> None:
    """A URL is explained by its host, which is shown."""
    assert explain(asked, "", config) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "www.evil.test"
    assert any(line.split()[:1] == ["c2"] for line in printed)


def test_the_address_in_a_url(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Likewise."""
    assert explain("http://192.0.2.1:8080/x", "", config) == 0
    assert "192.0.2.1/32" in capsys.readouterr().out


@pytest.mark.parametrize("asked", ["https://", "https:///path", "http://[::1/", ":53", "192.0.2.0/24"])
def test_what_is_no_name_is_refused(config: Path, capsys: pytest.CaptureFixture[str], asked: str) -> None:
    """It is not a name that no feed lists."""
    assert explain(asked, "", config) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f'"{asked}" is not a domain name' in said.err


def test_without_a_blockset_nothing_is_known(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is an error with the next step, and no statement about any feed; without feeds there is nothing to know."""
    shutil.rmtree(config.parent / "state" / "blocksets")
    assert explain("evil.test", "", config) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "which feeds list it is not known" in said.err
    assert "start `pdns serve`, or fetch the feeds now with `pdns feeds update`" in said.err
    config.write_text(config.read_text().partition("[[feed]]")[0])
    assert explain("evil.test", "", config) == 0
    assert "listed by no feed" in capsys.readouterr().out


def test_the_blockset_of_another_version(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It cannot be read, and the message says by which program it can."""
    manifest = config.parent / "state" / "blocksets" / "1" / "manifest.json"
    written = json.loads(manifest.read_bytes())
    del written["checksum"]
    manifest.write_text(json.dumps({**written, "format": 99}))
    assert explain("evil.test", "", config) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "its format is 99; use the version of pdns that runs" in said.err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
@pytest.mark.parametrize("command", ["explain", "held"])
def test_what_may_not_be_read_is_not_known(config: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """A user who may not look into the state directory is told so."""
    (config.parent / "state").chmod(0o700)
    for parent in config.parents:
        if parent.is_relative_to(tempfile.gettempdir()) and parent != Path(tempfile.gettempdir()):
            parent.chmod(parent.stat().st_mode | 0o055)
    os.seteuid(12345)
    try:
        assert (explain("evil.test", "", config) if command == "explain" else show_held(config)) == 2
    finally:
        os.seteuid(0)
    said = capsys.readouterr()
    assert said.out == ""
    assert "not known" in said.err


def test_the_entry_that_allows_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whose it is, and how it is spelt; with --tenant only what counts for its clients."""
    config.write_text(
        config.read_text()
        + """
[block]
allow = ["other.test"]
[[tenant]]
name = "library"
networks = ["10.1.0.0/16"]
allow = ["evil.test", "*.other.test"]
[[tenant]]
name = "school"
networks = ["10.2.0.0/16"]
allow = ["www.evil.test"]
"""
    )
    assert explain("www.evil.test", "library", config) == 0
    printed = capsys.readouterr().out
    assert "  allowed by tenant library: evil.test\n" in printed
    assert "school" not in printed
    assert "is listed by" not in printed
    assert explain("www.evil.test", "", config) == 0
    printed = capsys.readouterr().out
    assert "  allowed by tenant library: evil.test\n  allowed by tenant school: www.evil.test\n" in printed
    assert "is listed by" in printed
    assert explain("other.test", "library", config, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["allowed"] == [{"by": "block.allow", "name": "other.test"}]


def test_addresses_are_decided_for_the_tenant(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The policy of the tenant says which feeds block an answer that leads to an address."""
    config.write_text(
        config.read_text()
        + """
[[policy]]
name = "trial"
feeds = { c2 = "monitor" }
[[tenant]]
name = "library"
networks = ["10.1.0.0/16"]
policy = "trial"
"""
    )
    assert explain("192.0.2.1", "library", config, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["answers"] == {"any": "passes; c2, wide would block it, in monitor mode"}
    assert explain("192.0.2.1", "", config, as_json=True) == 0
    assert "is blocked by c2" in json.loads(capsys.readouterr().out)["answers"]["any"]


def test_where_a_question_goes(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The zone that decides, its servers and what comes after them; for names of no zone the upstreams of all names."""
    with config.open("a") as file:
        file.write(
            '[[group]]\nname = "backup"\nservers = ["10.9.9.9"]\n'
            '[[zone]]\nname = "corp.example"\nservers = ["10.1.1.1", "10.1.1.2"]\nstrategy = "ordered"\nfallback = "backup"\n'
            '[[zone]]\nname = "dnsbl.example"\ngroup = "backup"\nblock = false\n'
            '[[zone]]\nname = "www.corp.example"\nservers = "default"\n'
        )
    for name, told in (
        (
            "dc1.CORP.example",
            "forwarded to udp://10.1.1.1:53, udp://10.1.1.2:53 (zone corp.example, ordered); if they fail, to group backup",
        ),
        ("1.dnsbl.example", "forwarded to udp://10.9.9.9:53 (zone dnsbl.example); not checked by feeds and local blocks"),
        ("www.corp.example", "forwarded to udp://127.0.0.1:9 (zone www.corp.example)"),
        ("other.example", "forwarded to udp://127.0.0.1:9 (in no zone)"),
    ):
        assert explain(name, "", config) == 0
        assert f"  {told}\n" in capsys.readouterr().out, name
    assert explain("dc1.corp.example", "", config, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["route"] == {
        "zone": "corp.example",
        "group": "zone:corp.example",
        "servers": ["udp://10.1.1.1:53", "udp://10.1.1.2:53"],
        "strategy": "ordered",
        "fallback": "backup",
        "checked": True,
        "states": {},
    }


def test_no_question_of_a_special_name_goes_anywhere(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A special-use name and one that is never forwarded have no upstream; one of one label, and one that a zone has, do."""
    with config.open("a") as file:
        file.write(
            '[local]\nnever_forward = ["lan"]\nforward_single_labels = false\n'
            '[[zone]]\nnames = ["corp.internal", "evil.test"]\nservers = ["10.1.1.1"]\n'
        )
    for name, told in (
        ("printer.local", ""),
        ("nas.lan", ""),
        ("10.in-addr.arpa", ""),
        ("printer", "  forwarded to udp://127.0.0.1:9 (in no zone)\n"),
        ("dc1.corp.internal", "  forwarded to udp://10.1.1.1:53 (zone corp.internal)\n"),
        ("evil.test", "  if not blocked, forwarded to udp://10.1.1.1:53 (zone evil.test)\n"),
    ):
        assert explain(name, "", config) == 0
        output = capsys.readouterr().out
        assert told in output, name
        assert ("forwarded" in output) == bool(told), name


def test_states_of_upstreams(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While a server runs its upstreams are shown with their state, by its metrics; another page there changes nothing."""
    pages = [
        "# TYPE pdns_upstream_up gauge\n"
        + "".join(f'pdns_upstream_up{{upstream="udp://10.1.1.{number}:53"}} {float(number > 1)}\n' for number in (1, 2, 3))
        + 'pdns_upstream_useful{upstream="udp://10.1.1.2:53"} 0.0\n',
        "<html>not metrics</html>",
        'pdns_upstream_up{a="b"} 1.0\n',
    ]

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(pages[0].encode())

        def log_message(self, *_args: object) -> None:
            pass

    zone = '[[zone]]\nname = "corp.example"\nservers = ["10.1.1.1", "10.1.1.2", "10.1.1.3", "10.1.1.4"]\n'
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with config.open("a") as file:
            file.write(f'{zone}[metrics]\nlisten = "127.0.0.1:{server.server_port}"\n')
        shown = "udp://10.1.1.1:53 [down], udp://10.1.1.2:53 [useless], udp://10.1.1.3:53 [up], udp://10.1.1.4:53 (zone"
        assert explain("a.corp.example", "", config) == 0
        assert shown in capsys.readouterr().out
        for _ in range(2):
            del pages[0]
            assert explain("a.corp.example", "", config) == 0
            assert "forwarded to udp://10.1.1.1:53, udp://10.1.1.2:53," in capsys.readouterr().out
        server.shutdown()
    assert explain("a.corp.example", "", config) == 0
    assert "forwarded to udp://10.1.1.1:53, udp://10.1.1.2:53," in capsys.readouterr().out
