"""The catalogue of public feeds, and how a configuration names its entries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from pdns.catalogue import ABOUT, catalogue
from pdns.config import CATEGORIES, Config, Feed
from pdns.configload import load
from pdns.errors import ConfigError

REQUIRED = {"url", "format", "category", "refresh_s", *ABOUT}


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
    assert all(entry[key] and entry[key].isprintable() and len(entry[key]) < 120 for key in ABOUT)


def test_every_entry_loads(tmp_path: Path) -> None:
    """Every entry is a feed when it is named, all of them together: under its own name, with what the catalogue says."""
    config = loaded(tmp_path, *(f'use = "{name}"' for name in catalogue()))
    assert [feed.name for feed in config.feed] == list(catalogue())
    for feed in config.feed:
        said = {key: value for key, value in catalogue()[feed.name].items() if key not in ABOUT}
        assert msgspec.structs.asdict(feed).items() >= {**said, "use": feed.name}.items()


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
    assert (first.url, first.category) == ("https://openphish.com/feed.txt", "phishing")
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
