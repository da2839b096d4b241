"""The catalogue of public feeds, and how a configuration names its entries."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import msgspec
import pytest

from pdns.config.catalogue import ABOUT, catalogue
from pdns.config.load import load
from pdns.config.schema import Config, Feed
from pdns.config.value_types import CATEGORIES
from pdns.errors import ConfigError

REQUIRED = {"url", "format", "category", "refresh_s", "licence", "commercial", "service", "kind", "description", "homepage"}
OPENPHISH = "https://raw.githubusercontent.com/openphish/public_feed/refs/heads/main/feed.txt"


def loaded(tmp_path: Path, *feeds: str) -> Config:
    path = tmp_path / "pdns.toml"
    path.write_text('[upstream]\nservers = ["192.0.2.53"]\n' + "".join(f"[[feed]]\n{feed}\n" for feed in feeds))
    return load(path)


def test_there_are_some_thirty_entries() -> None:
    """The catalogue is worth naming from, and has something in each category that public feeds are about."""
    assert len(catalogue()) >= 30
    assert {entry["category"] for entry in catalogue().values()} >= {"malware", "phishing", "c2", "scam", "dga", "policy", "ads"}


@pytest.mark.parametrize("name", catalogue())
def test_entries_are_whole(name: str) -> None:
    """Each says what a reader must know, comes over https, in a format that is not guessed; none turns URLs into hosts."""
    entry = catalogue()[name]
    keys = {field.name for field in msgspec.structs.fields(Feed)}
    assert entry.keys() >= REQUIRED
    assert entry.keys() - set(ABOUT) <= keys - {"name", "use", "required", "mode", "url_hosts"}
    assert entry["format"] != "auto"
    assert entry["url"].startswith("https://")
    assert entry["homepage"].startswith("https://")
    assert entry["category"] in CATEGORIES
    texts = [entry[key] for key in ABOUT if key in entry and key != "mirrors"]
    assert all(text and text.isprintable() and len(text) < 120 for text in texts)
    assert {entry["commercial"], entry["service"]} <= {"yes", "no", "ask", "unknown"}
    assert entry["kind"] in {"names", "urls", "addresses"}
    assert all(mirror.startswith("https://") and mirror != entry["url"] for mirror in entry.get("mirrors", ()))
    assert "checked" not in entry or date.fromisoformat(entry["checked"])
    assert ("key" in entry) == ("token_header" in entry or "token_query" in entry)


def test_every_entry_loads(tmp_path: Path) -> None:
    """Every entry is a feed when it is named, all of them together: under its own name, with what the catalogue says."""
    config = loaded(tmp_path, *(f'use = "{name}"' for name in catalogue()))
    assert [feed.name for feed in config.feed] == list(catalogue())
    for feed in config.feed:
        said = {key: value for key, value in catalogue()[feed.name].items() if key not in (*ABOUT, "token_header", "token_query")}
        assert msgspec.structs.asdict(feed).items() >= {**said, "use": feed.name}.items()


def test_a_key_is_sent_as_its_publisher_wants_it(tmp_path: Path) -> None:
    """With a token file an entry says how it is sent; without one it loads all the same: the publisher may still answer."""
    with_key, without, query = loaded(
        tmp_path,
        'use = "urlhaus"\ntoken_file = "key"',
        'use = "threatfox"',
        'use = "urlhaus-recent"\ntoken_env = "KEY"',
    ).feed
    assert (with_key.token_header, without.token_header, query.token_query) == ("Auth-Key", "", "auth-key")


def test_stalkerware_is_the_list_without_watchware() -> None:
    """The publisher's STIX file also has apps by which parents watch children: their sites are no malware."""
    assert catalogue()["stalkerware"]["url"].endswith("/generated/hosts")


def test_what_may_not_serve_others_says_so() -> None:
    """Whoever protects other organisations sees which lists forbid that."""
    assert {name for name in ("maltrail", "openphish") if catalogue()[name]["service"] == "no"} == {"maltrail", "openphish"}


def test_urls_are_different() -> None:
    """No list is there twice."""
    urls = [entry["url"] for entry in catalogue().values()]
    assert len(set(urls)) == len(urls)


def test_keys_beside_use_count(tmp_path: Path) -> None:
    """What the configuration says itself goes before what the catalogue says; one entry may be used twice under two names."""
    first, second = loaded(
        tmp_path,
        'use = "openphish"\nurl_hosts = true\nrefresh_s = 86400\nmode = "monitor"',
        'name = "mirror"\nurl = "https://mirror.example.net/openphish.txt"\nuse = "openphish"',
    ).feed
    assert (first.name, first.url_hosts, first.refresh_s, first.mode) == ("openphish", True, 86400, "monitor")
    assert (first.url, first.category) == (OPENPHISH, "phishing")
    assert (second.name, second.url, second.url_hosts) == ("mirror", "https://mirror.example.net/openphish.txt", False)


@pytest.mark.parametrize(
    ("feed", "error"),
    [
        ('use = "urlhuas"', 'feed[0].use: expected a feed that `pdns feeds catalogue` prints; did you mean "urlhaus"'),
        ('use = "amnesty"', 'did you mean "amnesty-pegasus"?, got "amnesty"'),
        ('use = "qqqqqqqq"', 'expected a feed that `pdns feeds catalogue` prints, got "qqqqqqqq"'),
        ('use = "urlhaus"\nrefresh_s = "soon"', 'feed[0].refresh_s: expected int >= 30, got "soon"'),
        ('use = "metamask"\nformat = "hosts"', 'feed[0].json_path: only for format = "json" or "jsonl", not "hosts"'),
        ('use = ""', "feed[0].name: required"),
        ("use = 7", "feed[0].use: expected string, got 7"),
        ('name = "a"\nurl = "b"\nformat = "json"', 'feed[0].json_path: required with format = "json", such as "data[].host"'),
        ('name = "a"\nurl = "b"\nformat = "json"\njson_path = "a["', "expected JSON path"),
        ('name = "a"\nurl = "b"\ncolumn = "domain"', 'feed[0].column: only for format = "csv", not "auto"'),
        ('name = "a"\nurl = "b"\nformat = "csv"\ncolumn = "0"', "the first column is 1"),
        ('name = "a"\nurl = "b"\nformat = "csv"\ndelimiter = "||"', "expected one character"),
        ('name = "a"\nurl = "b"\ncategory = "bad"', "feed[0].category: expected one of malware, phishing, c2"),
    ],
)
def test_mistakes(tmp_path: Path, feed: str, error: str) -> None:
    """A name that is not there is answered with near ones; what is set beside it is checked as everywhere."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, feed)
    assert error in str(caught.value)


def test_json_paths_that_pass(tmp_path: Path) -> None:
    """All spellings of a path that readers know are accepted, a long one in no time."""
    for path in ("data[].host", "$.domains[*].name", "[]", "$[*]['source.ip']", "a.*.b", "$", "x" * 50_000):
        feed = f'name = "a"\nurl = "b"\nformat = "json"\njson_path = {json.dumps(path)}'
        assert loaded(tmp_path, feed).feed[0].json_path == path


def test_the_table() -> None:
    """`pdns feeds catalogue` prints each entry on a line, with category, format and licence; `--urls` adds where it is."""
    for arguments, shown in (((), False), (("--urls",), True)):
        command = [sys.executable, "-m", "pdns", "feeds", "catalogue", *arguments]
        lines = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.splitlines()
        assert lines[0].split()[:5] == ["use", "category", "format", "refresh", "licence"]
        for line, (name, entry) in zip(lines[1:], catalogue().items(), strict=True):
            assert line.split()[:3] == [name, entry["category"], entry["format"]]
            assert entry["licence"] in line
            assert (entry["url"] in line and entry["homepage"] in line) is shown
