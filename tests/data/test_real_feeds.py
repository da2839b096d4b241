"""Real lists, as their publishers put them out: `PDNS_DATA` names the folder that they are unpacked in."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from feeds.parse import ParsedFeed, parse_feed
from pdns.blockset.reader import Blockset
from pdns.config.schema import Feed
from pdns.core.listing import BLOCK_NAME, BLOCK_SUBTREE
from pdns.errors import FeedError, InvalidName
from pdns.wire.names import ancestors, from_text, reversed_key
from tests.blocksets import compile_parsed
from tests.unit.feeds.reading import networks, odd

DATA = Path(os.environ.get("PDNS_DATA", "/nonexistent"))
URLHAUS = DATA / "feeds--curbengh_urlhaus-filter/feeds/curbengh_urlhaus-filter"
JARELLLAMA = DATA / "feeds--jarelllama_Scam-Blocklist/feeds/jarelllama_Scam-Blocklist"
METAMASK = DATA / "feeds--MetaMask_eth-phishing-detect/feeds/MetaMask_eth-phishing-detect"
MALTRAIL = DATA / "feeds--stamparm_maltrail/feeds/stamparm_maltrail/trails/static"
BENIGN = DATA / "benign--MISP_misp-warninglists/benign/MISP_misp-warninglists/lists"
MILLION = DATA / "maltrail.txt"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="PDNS_DATA names no folder of real lists")

REFUSALS = (
    "a web page",
    "CSV, and not clear",
    "JSON, and not clear",
    "not valid JSON",
)  # of files that are no list, or ask for a format
NEW, OLD = "2025-07-19/urlhaus-filter", "2022-03-13/urlhaus-filter"
RULES = {"rpz": {BLOCK_NAME}, "wildcard": {BLOCK_SUBTREE}}  # of every name in a list of that format; else the whole subtree


@cache
def parse(path: Path, *, addresses: bool = False) -> ParsedFeed:
    return parse_feed(path, Feed(name="real", url=path.as_uri(), addresses=addresses))


def urlhaus(variant: str, *, addresses: bool = False) -> ParsedFeed:
    return parse(URLHAUS / variant, addresses=addresses)


def passed_over(parsed: ParsedFeed) -> int:
    return sum(lines.count for lines in parsed.odd.values())


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("-domains.txt", "domains"),
        ("-domains.txt.gz", "domains"),
        (".tpl", "domains"),
        ("-dnscrypt-blocked-names.txt", "domains"),
        ("-agh.txt", "adblock"),
        ("-hosts.txt", "hosts"),
        ("-dnsmasq.conf", "dnsmasq"),
        ("-unbound.conf", "unbound"),
        ("-bind.conf", "bind"),
        ("-rpz.conf", "rpz"),
        ("-rpz.conf.zst", "rpz"),
        ("-wildcard.txt", "wildcard"),
    ],
)
def test_urlhaus_variants_say_the_same(variant: str, expected: str) -> None:
    """Every variant of the list that is about names has the same 2,689; only how far a name reaches depends on the format."""
    parsed = urlhaus(NEW + variant)
    reference = urlhaus(f"{NEW}-hosts.txt")
    assert parsed.format == expected
    assert len(parsed.names) == 2689
    assert parsed.names.keys() == reference.names.keys()
    assert set(parsed.names.values()) == RULES.get(parsed.format, {BLOCK_SUBTREE})
    assert set(odd(parsed)) <= {"address"}


@pytest.mark.parametrize(
    "variant",
    [
        *("-hosts-online.txt", "-domains-online.txt", "-online.tpl", "-agh-online.txt", "-unbound-online.conf"),
        *("-dnsmasq-online.conf", "-bind-online.conf", "-rpz-online.conf", "-wildcard-online.txt"),
        "-dnscrypt-blocked-names-online.txt",
    ],
)
def test_urlhaus_online_variants_say_the_same(variant: str) -> None:
    """So do those of the list of what is online: 619 names."""
    assert len(urlhaus(NEW + variant).names) == 619
    assert urlhaus(NEW + variant).names.keys() == urlhaus(f"{NEW}-hosts-online.txt").names.keys()


@pytest.mark.parametrize("variant", ["-ag.txt", "-vivaldi.txt", ".txt"])
def test_urlhaus_url_variants_list_urls_as_odd(variant: str) -> None:
    """The variants with URL rules list the same names, 3 more that they block as a whole, and no domain of a URL."""
    parsed = urlhaus(NEW + variant)
    names = urlhaus(f"{NEW}-hosts.txt").names
    assert parsed.format == "adblock"
    assert names.keys() <= parsed.names.keys()
    assert len(parsed.names) == len(names) + 3
    assert odd(parsed) == {"address": 23079, "url_with_path": 6051}
    assert reversed_key(from_text("github.com")) not in parsed.names


@pytest.mark.parametrize(
    "variant", ["-domains.txt", "-agh.txt", ".tpl", ".txt", "-ag.txt", "-vivaldi.txt", "-dnscrypt-blocked-ips.txt"]
)
def test_urlhaus_addresses(variant: str) -> None:
    """The variants with addresses have the same 23,079, listed when they are wanted, counted when not."""
    assert odd(urlhaus(NEW + variant))["address"] == 23079
    wanted = urlhaus(NEW + variant, addresses=True)
    assert networks(wanted) == networks(urlhaus(f"{NEW}-dnscrypt-blocked-ips.txt", addresses=True))
    assert len(wanted.networks) == 23079
    assert "address" not in wanted.odd


@pytest.mark.parametrize("variant", ["-ag.txt", "-domains.txt", "-hosts.txt", "-rpz.conf"])
def test_urlhaus_of_2022(variant: str) -> None:
    """The variants of an older list agree on 6,027 names; addresses in octal are none of them."""
    parsed = urlhaus(OLD + variant)
    assert parsed.names.keys() == urlhaus(f"{OLD}-hosts.txt").names.keys()
    assert len(parsed.names) == 6027
    assert set(odd(parsed)) <= {"address", "single_label", "url_with_path"}
    assert "line 8: 0.0.0.0 0056.0151.0121.0114" in urlhaus(f"{OLD}-hosts.txt").odd["address"].examples


def test_urlhaus_other_files_list_nothing() -> None:
    """Rules for intrusion detection and unknown packings are no lists: nothing in them becomes a name."""
    for path in URLHAUS.rglob("*"):
        if path.suffix in {".rules", ".br"}:
            assert parse(path).names == {}
            assert passed_over(parse(path)) > 0


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        ("adblock/scams.txt", "wildcard_domains/scams.txt", 29802),
        ("adblock/scams_light.txt", "wildcard_domains/scams_light.txt", 18254),
        ("dnsmasq/scams.txt", "unbound/scams.txt", 41219),
    ],
)
def test_jarelllama_variants_say_the_same(one: str, other: str, count: int) -> None:
    """Two formats of one edition have the same names, as many as their header says, and no odd line."""
    first, second = parse(JARELLLAMA / "lists" / one), parse(JARELLLAMA / "lists" / other)
    assert first.names == second.names
    assert len(first.names) == count
    assert (first.odd, second.odd) == ({}, {})


def test_jarelllama_wildcards() -> None:
    """The list of `*.x` lists what is below 56,650 names."""
    parsed = parse(JARELLLAMA / "lists/wildcard_asterisk/scams.txt")
    assert (parsed.format, Counter(parsed.names.values())) == ("wildcard", {BLOCK_SUBTREE: 56650})


def test_jarelllama_whitelist_is_made_of_patterns() -> None:
    """A list of regular expressions lists nothing."""
    assert parse(JARELLLAMA / "config/whitelist.txt").names == {}
    assert odd(parse(JARELLLAMA / "config/whitelist.txt")) == {"regex": 1193, "single_label": 2}


def test_metamask() -> None:
    """A hosts list with one line about the machine itself."""
    parsed = parse(METAMASK / "hosts.txt")
    assert (parsed.format, len(parsed.names), odd(parsed)) == ("hosts", 1071, {"local_name": 1})


def test_every_file_is_survived() -> None:
    """Every file of every publisher is read or refused as a whole; each line with content is listed or counted."""
    for path in sorted(DATA.glob("feeds--*/**/*")):
        if path.is_file() and "trails" not in path.parts:
            try:
                parsed = parse(path)
            except FeedError as error:
                assert error.reason.startswith(REFUSALS)  # noqa: PT017 - most files raise nothing
                continue
            assert len(parsed.names) + passed_over(parsed) <= 4 * parsed.lines + 4


def test_trails_make_the_big_list() -> None:
    """The names of 3,111 trails are those of the list that was made from them, but for 15 public suffixes that it leaves out."""
    names: set[bytes] = set()
    reasons: Counter[str] = Counter()
    for path in MALTRAIL.rglob("*.txt"):
        if not path.name.startswith("mass_scanner"):
            parsed = parse_feed(path, Feed(name="trail", url=path.as_uri()))
            names.update(parsed.names)
            reasons.update(odd(parsed))
    assert len(names - parse(MILLION).names.keys()) == 15
    assert parse(MILLION).names.keys() <= names
    assert reasons["port"] > 280_000
    assert reasons["url_with_path"] > 17_000


def test_a_million_names(tmp_path: Path) -> None:
    """The list of 1,160,659 lines is listed but for one label of 74 bytes, compiled in seconds, under 12 mapped bytes a name."""
    parsed = parse(MILLION)
    assert odd(parsed) == {"label_too_long": 1}
    assert len(parsed.names) == parsed.lines - 1 == 1_160_658
    feed = Feed(name="million", url=MILLION.as_uri())
    manifest = compile_parsed([(feed, parsed)], tmp_path / "blockset", 1, 0.0)
    size_bytes = sum(path.stat().st_size for path in (tmp_path / "blockset").iterdir() if "facts" not in path.name)
    assert manifest.entries == 1_160_658
    assert size_bytes / manifest.entries < 12
    before = time.perf_counter()
    blockset = Blockset.open(tmp_path / "blockset")
    assert time.perf_counter() - before < 0.5
    for line in MILLION.read_text().splitlines()[::101]:
        if max(map(len, line.split("."))) < 64:
            assert blockset.lookup(from_text(line))
            assert blockset.lookup(from_text("www." + line))
    for text in _benign():
        name = from_text(text)
        listed = {ancestor for ancestor in ancestors(name) if reversed_key(ancestor) in parsed.names}
        assert {listing.name for listing in blockset.lookup(name)} == listed


def _benign() -> set[str]:
    names: set[str] = set()
    for path in BENIGN.glob("*/list.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["type"] in {"hostname", "string"}:
            names.update(entry.lstrip(".") for entry in content["list"])
    return {name for name in names if _is_name(name)}


def _is_name(text: str) -> bool:
    try:
        from_text(text)
    except InvalidName:
        return False
    return True
