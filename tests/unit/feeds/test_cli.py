"""`pdns feeds status` and `pdns feeds update`."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from pdns.cli.feed_table import age, odd_lines
from pdns.files.safe_files import write_whole
from pdns.state import feed_status
from pdns.state.feed_status import FeedsStatus, FeedStatus, SkippedLines
from pdns.state.lock import StateDirectory
from tests.unit.feeds.configs import blockers
from tests.unit.feeds.feedserver import FeedServer

CONFIG = """
[upstream]
servers = ["127.0.0.1:9"]
[state]
dir = "state"
[[feed]]
name = "first"
url = "{first}"
required = true
[[feed]]
name = "second"
url = "{second}"
category = "phishing"
"""


def run(*arguments: str | Path) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "pdns", "feeds", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def config(server: FeedServer, tmp_path: Path) -> Path:
    server.serve("/first", b"bad.example\nworse.example\n")
    server.serve("/second", b"phish.example\nhttps://phish.example/a/path\n")
    path = tmp_path / "pdns.toml"
    path.write_text(CONFIG.format(first=server.url("/first"), second=server.url("/second")))
    return path


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def served(state_dir: Path) -> Iterator[StateDirectory]:
    """The lock that a running resolver holds."""
    lock = StateDirectory(state_dir, "pdns.toml")
    yield lock
    lock.close()


def write(state_dir: Path, status: FeedsStatus) -> None:
    write_whole(state_dir / feed_status.FILE_NAME, msgspec.json.encode(status))


def test_without_a_status_there_is_a_next_step(config: Path, state_dir: Path) -> None:
    """Nothing was ever fetched: it says how to change that, and exits 1."""
    code, out, err = run("status", "-c", config)
    assert (code, out) == (1, "")
    assert err == f"no feed status in {state_dir}: start `pdns serve`, or fetch the feeds now with `pdns feeds update`\n"


def test_update_without_a_resolver_fetches_here(config: Path, state_dir: Path) -> None:
    """No resolver runs: it says so, fetches, compiles and tells what changed; the second time nothing does."""
    code, out, err = run("update", "-c", config)
    assert err == f"no resolver is running on {state_dir}: this command refreshes its feeds\n"
    assert code == 0
    lines = out.splitlines()
    assert lines[:2] == ["first   updated  2 names (+2)", "second  updated  1 name (+1)"]
    assert lines[2].endswith("is live: 3 names")
    assert blockers(state_dir, "phish.example") == {"second"}
    code, out, _ = run("update", "-c", config)
    assert code == 0
    assert out.splitlines()[:2] == ["first   unchanged  2 names", "second  unchanged  1 name"]
    assert out.splitlines()[2].endswith("stays live: nothing changed")


def test_status_is_plain_aligned_text_in_a_pipe(config: Path, state_dir: Path, server: FeedServer) -> None:
    """One line for each feed, columns under their titles, however long the error is; then the skipped lines."""
    run("update", "-c", config)
    server.status("/first", 404)
    run("update", "-c", config)
    code, out, err = run("status", "-c", config)
    assert code == 0, "a failing source does not unload what it gave before"
    assert "no resolver is running" in err
    title, first, second, live, odd = out.splitlines()
    assert title.split("  ")[0] == "feed"
    at = title.index("result")
    assert first[at:].startswith("error")
    assert first.endswith("the list has moved or ended; ask its publisher for the new url")
    assert second[at:] == "unchanged"
    assert second[title.index("category") :].startswith("phishing")
    assert live.startswith("blockset ")
    assert odd == "second: skipped lines: 1 url_with_path"
    assert "\x1b" not in out
    _, out, _ = run("status", "-c", config, "--odd")
    assert out.splitlines()[-1] == "  url_with_path  line 2: https://phish.example/a/path"


def test_json_is_the_file(config: Path, state_dir: Path) -> None:
    """`--json` prints the status file as it is, fit to be decoded by the same types."""
    run("update", "-c", config)
    code, out, _ = run("status", "-c", config, "--json")
    assert code == 0
    assert msgspec.json.decode(out, type=FeedsStatus) == feed_status.read(state_dir)


def test_status_shows_a_feed_that_is_switched_off(config: Path, state_dir: Path) -> None:
    """Its mode is OFF, and below the table it says until when and why; once that is over it is as before."""
    feed = FeedStatus(url="u", category="c", mode="block", required=False, loaded=True)
    off = msgspec.structs.replace(feed, disabled_until_s=time.time() + 3600, disabled_reason="too many false positives")
    over = msgspec.structs.replace(off, disabled_until_s=time.time() - 1)
    write(state_dir, FeedsStatus(written_s=1, generation=1, feeds={"first": off, "second": over}))
    _, out, _ = run("status", "-c", config)
    title, first, second, _, said = out.splitlines()
    at = title.index("mode")
    assert (first[at : at + 5].strip(), second[at : at + 5]) == ("OFF", "block")
    assert re.fullmatch(r"first: switched off until [-\d]+ [:\d]+: too many false positives", said)


def test_status_fails_while_a_required_feed_is_missing(config: Path, state_dir: Path) -> None:
    """Exit code 1, and which feed it is; one that is not required may be missing."""
    feed = FeedStatus(url="u", category="c", mode="block", required=True)
    write(state_dir, FeedsStatus(written_s=1, generation=1, feeds={"first": feed, "second": feed}))
    code, _, err = run("status", "-c", config)
    assert code == 1
    assert "feed first: required, not loaded" in err
    assert "second" not in err
    write(state_dir, FeedsStatus(feeds={"first": msgspec.structs.replace(feed, loaded=True)}))
    assert run("status", "-c", config)[0] == 0


def test_update_asks_the_running_resolver(config: Path, state_dir: Path, served: StateDirectory) -> None:
    """It leaves a request, follows the status file until every feed was tried since, and reports failures."""
    old = FeedStatus(url="u", category="c", mode="block", required=False, loaded=True, entries=5, last_attempt_s=1)
    write(state_dir, FeedsStatus(generation=7, feeds={"first": old, "second": old}))
    result: list[tuple[int, str, str]] = []
    asking = threading.Thread(target=lambda: result.append(run("update", "-c", config)))
    asking.start()
    request = state_dir / "requests" / "update"
    while not request.exists():
        assert asking.is_alive(), result
    done = request.stat().st_mtime + 1
    new = msgspec.structs.replace(old, entries=6, last_attempt_s=done, last_result="updated")
    write(state_dir, FeedsStatus(generation=8, entries=9, feeds={"first": new, "second": old}))
    asking.join(0.5)
    assert asking.is_alive(), "the second feed was not tried yet"
    failed = msgspec.structs.replace(old, last_attempt_s=done, last_result="error", last_error="gone")
    write(state_dir, FeedsStatus(generation=8, entries=9, feeds={"first": new, "second": failed}))
    asking.join(30)
    code, out, err = result[0]
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "first   updated  6 names (+1)",
        "second  error    5 names       gone",
        "blockset 8 is live: 9 names",
    ]


def test_update_does_not_wait_for_ever(config: Path, state_dir: Path, served: StateDirectory) -> None:
    """A resolver that does not act on the request: what is missing is named, exit code 1."""
    write(state_dir, FeedsStatus(feeds={"first": FeedStatus(url="u", category="c", mode="block", required=False)}))
    code, _, err = run("update", "-c", config, "--timeout", "1")
    assert code == 1
    assert "not done after 1 s: first;" in err
    assert "unknown to the running resolver: second;" in err


def test_a_broken_configuration_exits_2(tmp_path: Path) -> None:
    """As everywhere: 2, and what is wrong."""
    path = tmp_path / "pdns.toml"
    path.write_text("[upstream]\nservers = 5\n")
    for command in ("status", "update"):
        code, out, err = run(command, "-c", path)
        assert (code, out) == (2, "")
        assert "upstream.servers" in err


def test_many_odd_lines_are_shown_by_reason() -> None:
    """The counts are readable, and the examples stay in their order."""
    odd = {
        "regex": SkippedLines(count=500_000, examples=["line 1: /a/", "line 2: /b/"]),
        "port": SkippedLines(count=1, examples=[]),
    }
    status = FeedsStatus(feeds={"x": FeedStatus(url="u", category="c", mode="block", required=False, odd=odd)})
    console = Console(width=40, file=io.StringIO())
    odd_lines(console, status, examples=True)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "x: skipped lines: 500,000 regex, 1 port",
        "  regex  line 1: /a/",
        "  regex  line 2: /b/",
    ]


def test_ages_are_told_in_the_unit_that_fits() -> None:
    """From seconds to days."""
    assert [age(seconds) for seconds in (-1, 0, 59, 61, 7200, 86400, 86400 * 9)] == [
        "0 s ago",
        "0 s ago",
        "59 s ago",
        "1 min ago",
        "2 h ago",
        "1 day ago",
        "9 days ago",
    ]


def test_check_tries_each_source_and_changes_nothing(config: Path, state_dir: Path, server: FeedServer) -> None:
    """A row for each source, with the next step for one that fails; no state is left; one feed alone can be asked for."""
    server.serve("/second", b"<!doctype html><html><body>Please log in</body></html>")
    code, out, err = run("check", "-c", config)
    titles, first, second = out.splitlines()
    assert (code, err) == (1, "")
    assert first.split()[:4] == ["first", "ok", "domains", "2"]
    assert second.split()[:2] == ["second", "FAILS"]
    assert "a web page, not a list" in second
    assert "open it in a browser" in second
    assert second.index("a web page") == titles.index("next step")
    assert "\x1b" not in out
    assert list(state_dir.iterdir()) == []
    assert run("check", "first", "-c", config)[0] == 0
    assert run("check", "third", "-c", config)[0] == 2
    told = msgspec.json.decode(run("check", "--json", "-c", config)[1])
    assert [(one["feed"], one["ok"]) for one in told] == [("first", True), ("second", False)]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "get a key at https://auth.abuse.ch/"),
        (403, "set token_file"),
        (404, "the list has moved or ended"),
        (410, "successor"),
    ],
)
def test_check_says_the_next_step(config: Path, state_dir: Path, server: FeedServer, status: int, said: str) -> None:
    """A key that is missing, with where to get it; a list that has moved or ended."""
    server.status("/second", status)
    config.write_text(config.read_text() + 'use = "urlhaus"\nformat = "auto"\n')
    code, out, _ = run("check", "second", "-c", config)
    assert code == 1
    assert said in out
    assert list(state_dir.iterdir()) == []
