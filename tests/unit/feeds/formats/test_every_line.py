"""Every line of every format ends up as an entry, an exception or a counted skip, unless it is blank, a comment or structure."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.formats import READERS
from feeds.formats.collector import Collector
from feeds.formats.content import Content
from feeds.normalise import Reason
from feeds.parse import parse_feed
from pdns.config.schema import Feed
from pdns.config.value_types import FeedFormat
from pdns.errors import FeedError
from tests.effort import examples

DATA = Path(os.environ.get("PDNS_DATA", "/nonexistent"))
FIXTURES = Path(__file__).parents[3] / "fixtures" / "feeds"
# What may be on a line that lists nothing and is not counted: written here a second time, apart from the readers.
SILENT = {
    "adblock": rb"\s*(!.*|#(?![#@?$%]).*|//.*|;.*|\[[^\[\]]*\])?\s*|#[@?$%](?!.*#).*",
    "bind": rb"[\s{};]*((#|//).*|/\*.*|.*\*/)?\s*",
    "csv": rb"\s*(#.*)?",
    "dnsmasq": rb"\s*#.*|\s*",
    "domains": rb"\s*([#;!].*|//.*|msFilterList.*|:(?!:).*)?",
    "hosts": rb"\s*([#;!].*|//.*)?",
    "jsonl": rb"\s*",
    "rpz": rb"\s*(;.*)?|\s*\$(TTL|ORIGIN)\s.*|.*\s(SOA|NS|RRSIG|NSEC3?|NSEC3PARAM|DNSKEY|DS)(\s.*)?|[\s\d()]*(;.*)?|@?\s.*",
    "unbound": rb"\s*([a-z-]+:)?\s*(#.*)?",
    "wildcard": rb"\s*([#;!].*|//.*|msFilterList.*|:(?!:).*)?",
}


class _Names(dict[bytes, int]):
    """The names of a list, and on which line each stands."""

    def __init__(self, out: Ledger) -> None:
        super().__init__()
        self._out = out

    def __setitem__(self, key: bytes, bits: int) -> None:
        self._out.accounted.add(self._out.line_number)
        super().__setitem__(key, bits)


class Ledger(Collector):
    """A collector that knows which lines came to something."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.accounted: set[int] = set()
        self.names = _Names(self)

    def add_network(self, key: bytes, reason: Reason, *, special: bool, allow: bool = False) -> None:
        self.accounted.add(self.line_number)
        super().add_network(key, reason, special=special, allow=allow)

    def add_plain(self, names: list[bytes]) -> None:
        self.accounted.update(range(self.line_number - len(names) + 1, self.line_number + 1))
        super().add_plain(names)

    def add_plain_key(self, key: bytes) -> None:
        self.accounted.add(self.line_number)
        super().add_plain_key(key)

    def refuse(self, reason: Reason) -> None:
        self.accounted.add(self.line_number)
        super().refuse(reason)


def lost(name: str, path: Path, **settings: Any) -> list[bytes]:
    """The lines that came to nothing, were not counted, and are not silent ones of the format."""
    out = Ledger(addresses=True)
    with path.open("rb") as file:
        content = Content(file, Feed(name="test", url=path.as_uri(), format=cast("FeedFormat", name), **settings))
        READERS[name](content, out)
        lines = [(number, line) for number, line in _numbered(content) if number not in out.accounted]
    silent = re.compile(SILENT[name], re.IGNORECASE | re.DOTALL).fullmatch
    return [line for _, line in lines if not silent(line)]


def _numbered(content: Content) -> Iterator[tuple[int, bytes]]:
    out = Collector()
    for line in content.lines(out, 1 << 20):
        yield out.line_number, line


NAME = st.sampled_from(
    ["one.test", "*.two.test", "UPPER.test.", "x", "com", "8.8.8.8", "a..b", "b\u00fccher.test", "http://x.test/y", ""]
)
SHAPES = [
    "{}", "0.0.0.0 {}", "127.0.0.1\t{} {}", "||{}^", "||{}^$important", "@@||{}^", "||{}^$badfilter",
    "||{}$third-party", "{}##.ad", "{}#@#.ad", "address=/{}/", "address=/{}/{}/0.0.0.0", "server=/{}/#", "local=/{}/",
    "server={}", "-d {}", "+d {}", "-d {} /x", ": x", 'local-zone: "{}" static', "server: local-zone: {} always_null",
    'local-data: "{} A 0.0.0.0"', "local-zone: {}", "verbosity: 1", 'zone "{}" {{ type master; }};',
    "zone {} {{type primary;}}; zone {} {{ type hint; }};", "options {{ x; }};", "}};", "{} CNAME .",
    "{} CNAME rpz-passthru.", "{} 60 IN A 192.0.2.1", "32.1.2.0.192.rpz-ip CNAME {}", "{} TXT", "{} words behind it",
    "{},x", '"{}",2', '{{"d": "{}"}}', '{{"d": []}}', "<p>{}</p>", "$INCLUDE {}", "{} # comment", "# {}", "! {}",
    "; {}", "// {}", " {} ",
]  # fmt: skip
LINE = st.builds(lambda shape, one, two: shape.format(one, two), st.sampled_from(SHAPES), NAME, NAME)


@examples(300)
@given(st.sampled_from(sorted(SILENT)), st.lists(LINE, max_size=8))
def test_no_line_is_lost(name: str, lines: list[str]) -> None:
    """Whatever lines follow each other, each comes to something, in every format that is made of lines."""
    how = {"csv": {"column": "1"}, "jsonl": {"json_path": "d[]"}}.get(name, {})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list"
        path.write_text("\n".join(lines), encoding="utf-8")
        assert lost(name, path, **how) == []


@pytest.mark.parametrize(
    "path", [path for path in FIXTURES.iterdir() if path.suffix not in (".json", ".jsonl", ".tsv")], ids=lambda path: path.name
)
def test_no_line_of_a_fixture_is_lost(path: Path) -> None:
    """Every line of the fixtures, which have the unusual lines of real lists, is read or counted."""
    try:
        name = parse_feed(path, Feed(name="test", url=path.as_uri())).format
    except FeedError:
        name = ""
    if name in SILENT:
        assert lost(name, path) == []


@pytest.mark.skipif(not DATA.is_dir(), reason="PDNS_DATA names no folder of real lists")
def test_no_line_of_a_real_list_is_lost() -> None:
    """All lists of two publishers, in all formats that they have."""
    read = 0
    for publisher in ("curbengh_urlhaus-filter", "jarelllama_Scam-Blocklist"):
        for path in sorted((DATA / f"feeds--{publisher}").rglob("*")):
            if not path.is_file() or path.stat().st_size > 8_000_000:
                continue
            try:
                name = parse_feed(path, Feed(name="real", url=path.as_uri())).format
            except FeedError:
                continue
            if name in SILENT:
                read += 1
                assert (path.name, lost(name, path)[:5]) == (path.name, [])
    assert read > 20
