"""`pdns feeds check`: what it finds at real servers, and the next step that it prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.feeds import feedserver
from tests.unit.feeds.feedserver import FeedServer

LIST = b"bad.example\nworse.example\n"
PAGE = b"<!doctype html><html><body><p>please sign in</p></body></html>"


def write(tmp_path: Path, *feeds: str) -> Path:
    path = tmp_path / "pdns.toml"
    path.write_text('[upstream]\nservers = ["udp://127.0.0.1:9"]\n' + "".join(f"[[feed]]\n{feed}\n" for feed in feeds))
    return path


def run(path: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pdns", "feeds", "check", *arguments, "-c", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, done.stdout


def check(tmp_path: Path, *feeds: str) -> dict[str, dict[str, Any]]:
    """What is printed of each feed, as JSON; the exit code agrees with it."""
    code, out = run(write(tmp_path, *feeds), "--json")
    checked = {one["feed"]: one for one in json.loads(out)}
    assert code == (0 if all(one["ok"] for one in checked.values()) else 1)
    return checked


def test_where_a_list_moved_for_good(server: FeedServer, tmp_path: Path) -> None:
    """The address that a chain of permanent redirects ends at is the next step; the target of a temporary one is not."""
    server.serve("/list", LIST)
    server.redirect("/old", "/older", 301)
    server.redirect("/older", "/list", 308)
    server.redirect("/tonight", "/list", 302)
    server.redirect("/half", "/tonight", 301)
    server.redirect("/behind", "/old", 307)
    names = ("list", "old", "tonight", "half", "behind")
    checked = check(tmp_path, *(f'name = "{name}"\nurl = "{server.url("/" + name)}"' for name in names))
    assert {name: (one["ok"], one["next_step"]) for name, one in checked.items()} == {
        "list": (True, ""),
        "old": (True, f'moved permanently: set url = "{server.url("/list")}"'),
        "tonight": (True, ""),
        "half": (True, f'moved permanently: set url = "{server.url("/tonight")}"'),
        "behind": (True, ""),
    }


def test_a_new_address_tells_no_secret(server: FeedServer, tmp_path: Path) -> None:
    """A server that puts the token into the address it redirects to does not have it printed."""
    server.serve("/list", LIST)
    server.redirect("/old", "/list?auth-key=s3cret-t0ken", 301)
    (tmp_path / "token").write_text("s3cret-t0ken")
    (tmp_path / "token").chmod(0o600)
    feed = f'name = "old"\nurl = "{server.url("/old")}"\ntoken_query = "auth-key"\ntoken_file = "{tmp_path / "token"}"'
    (one,) = check(tmp_path, feed).values()
    assert one["next_step"].startswith(f'moved permanently: set url = "{server.url("/list")}')
    assert "s3cret" not in json.dumps(one)


def test_the_table(server: FeedServer, tmp_path: Path) -> None:
    """A column for the licence, and for who may use the list; the next step comes last."""
    server.serve("/list", LIST)
    use = f'use = "urlhaus-filter"\nurl = "{server.url("/list")}"'
    code, out = run(write(tmp_path, use, f'name = "own"\nurl = "{server.url("/list")}"'))
    titles, filtered, own = out.splitlines()
    assert titles.split() == ["feed", "status", "format", "entries", "licence", "commercial", "service", "next", "step"]
    assert filtered.split() == ["urlhaus-filter", "ok", "domains", "2", "CC0-1.0", "yes", "yes"]
    assert own.split() == ["own", "ok", "domains", "2", "unknown", "unknown", "unknown"]
    assert code == 0


def test_what_fails_has_a_next_step(server: FeedServer, tmp_path: Path) -> None:
    """A page for an error, a wrong format, a wrong checksum, silence, no such host: each says what to do."""
    server.serve("/page", PAGE)
    server.serve("/list", LIST)
    server.serve("/wrong.sha256", b"0" * 64)
    server.serve("/json", b'{"a": ["x.example"]}')
    server.status("/gone", 410)
    server.status("/denied", 403)
    server.pages["/silent"] = feedserver.hang
    checked = check(
        tmp_path,
        f'name = "page"\nurl = "{server.url("/page")}"',
        f'name = "format"\nurl = "{server.url("/json")}"\nformat = "hosts"',
        f'name = "checksum"\nurl = "{server.url("/list")}"\nchecksum_url = "{server.url("/wrong.sha256")}"',
        f'name = "gone"\nurl = "{server.url("/gone")}"',
        f'name = "silent"\nurl = "{server.url("/silent")}"\ntimeout_s = 1',
        'name = "nowhere"\nurl = "http://nowhere.invalid/list"\ntimeout_s = 30',
        f'use = "urlhaus"\nurl = "{server.url("/denied")}"',
    )
    said = {name: f"{one['error']}; {one['next_step']}" for name, one in checked.items()}
    assert not any(one["ok"] for one in checked.values())
    for name, parts in {
        "page": ("a web page", "open it in a browser"),
        "format": ("no names in", "set format"),
        "checksum": ("checksum_url", "wait for the publisher to finish"),
        "gone": ("410", "remove the feed or find its successor"),
        "silent": ("not done after timeout_s = 1", "raise it if the list is large or the line slow"),
        "nowhere": ("no address found for nowhere.invalid", "check the url and that the upstreams answer"),
        "urlhaus": ("403", "get a key at https://auth.abuse.ch/"),
    }.items():
        for part in parts:
            assert part in said[name], said[name]


def test_a_certificate_that_no_authority_signed(certificate: Path, tmp_path: Path) -> None:
    """The next step names the clock, ca_file and proxies; with the authority in ca_file it is fine."""
    with FeedServer(certificate) as server:
        server.serve("/list", LIST)
        feed = f'name = "tls"\nurl = "{server.url("/list")}"'
        (bad,) = check(tmp_path, feed).values()
        (good,) = check(tmp_path, f'{feed}\nca_file = "{certificate}"').values()
    assert "no trusted TLS connection to 127.0.0.1" in bad["error"]
    assert "ca_file" in bad["next_step"]
    assert good["ok"]


@pytest.mark.parametrize("status", [404, 500])
def test_an_error_of_the_server(server: FeedServer, tmp_path: Path, status: int) -> None:
    """What the server said is in the table, and that it fails in the exit code."""
    server.status("/list", status)
    code, out = run(write(tmp_path, f'name = "one"\nurl = "{server.url("/list")}"'))
    assert code == 1
    assert f"the server said {status}" in out
    assert "FAILS" in out
