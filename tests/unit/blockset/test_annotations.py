"""Annotations of listed names: administrators can read them, and workers map none of their pages."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from feeds.annotations import NameAnnotation
from feeds.compile import compile_blockset
from feeds.entries import Entries, write_entries
from feeds.parse import ParsedFeed
from pdns.blockset.annotations import DAY_S, FACT_TABLE_FILE, FACTS_FILE, Annotation, Annotations
from pdns.blockset.reader import Blockset
from pdns.config.schema import Feed
from pdns.core.listing import BLOCK_NAME, BLOCK_SUBTREE
from pdns.errors import BlocksetError
from pdns.wire.names import from_text, reversed_key
from tests.blocksets import compile_parsed, make_blockset

EMOTET, EXPIRING = NameAnnotation("Emotet", "https://example.org/emotet", 86400.0), NameAnnotation("QakBot", expires_s=5000.0)


def key(name: str) -> bytes:
    return reversed_key(from_text(name))


def network(text: str) -> bytes:
    parsed = ip_network(text)
    return parsed.network_address.packed + bytes((parsed.prefixlen,))


def parsed(names: dict[str, NameAnnotation | None], networks: dict[str, NameAnnotation | None] | None = None) -> ParsedFeed:
    """A list of names and networks, with what it says of each."""
    details = [detail for detail in dict.fromkeys([*names.values(), *(networks or {}).values()]) if detail]
    said = [(key(name), detail) for name, detail in names.items()] + [(network(net), d) for net, d in (networks or {}).items()]
    return ParsedFeed(
        format="csv", lines=1, odd={}, names={key(name): BLOCK_SUBTREE for name in names}, details=details,
        networks={network(text) for text in networks or {}},
        detail_of={at: details.index(detail) for at, detail in said if detail},
    )  # fmt: skip


def make(tmp_path: Path, lists: dict[str, ParsedFeed], *, now_s: float = 0.0, generation: int = 1) -> Blockset:
    inputs = [(Feed(name=name, url=f"file:///{name}"), parsed) for name, parsed in lists.items()]
    compile_parsed(inputs, tmp_path / f"{generation}", generation, now_s)
    return Blockset.open(tmp_path / f"{generation}")


def annotations_of(blockset: Blockset, name: str) -> dict[str, Annotation]:
    annotations = Annotations(blockset)
    return {listing.feed: annotations.of(listing) for listing in blockset.lookup(from_text(name))}


def test_each_feed_has_its_own_annotations(tmp_path: Path) -> None:
    """Threat, reference, the publisher's dates and ours are those of each feed, and of no other."""
    lists = {
        "a": parsed({"one.test": EMOTET, "two.test": None, "three.test": EXPIRING}),
        "b": parsed({"one.test": None, "three.test": EMOTET}),
    }
    blockset = make(tmp_path, lists, now_s=3.0 * DAY_S)
    assert annotations_of(blockset, "www.one.test") == {
        "a": Annotation("Emotet", "https://example.org/emotet", 86400.0, 3.0 * DAY_S),
        "b": Annotation(first_seen_s=3.0 * DAY_S),
    }
    assert annotations_of(blockset, "two.test") == {"a": Annotation(first_seen_s=3.0 * DAY_S)}
    assert annotations_of(blockset, "three.test")["b"].threat == "Emotet"
    assert sorted(Annotations(blockset).first_days()) == [("a", 3, 2), ("b", 3, 2)]


def test_addresses_have_annotations(tmp_path: Path) -> None:
    """Of every network that holds an address, whatever its family and length."""
    nets = {"192.0.2.0/24": EMOTET, "192.0.2.1/32": None, "2001:db8::/32": EXPIRING, "198.51.100.0/24": None}
    blockset = make(tmp_path, {"a": parsed({"one.test": None}, nets), "b": parsed({}, {"192.0.2.0/24": None})}, now_s=1.0)
    annotations = Annotations(blockset)
    said = {
        (listing.feed, listing.network): annotations.of_address(listing).threat
        for address in ("192.0.2.1", "2001:db8::1", "198.51.100.9")
        for listing in blockset.lookup_address(ip_address(address).packed)
    }
    assert said == {
        ("a", "192.0.2.1/32"): "",
        ("a", "192.0.2.0/24"): "Emotet",
        ("b", "192.0.2.0/24"): "",
        ("a", "2001:db8::/32"): "QakBot",
        ("a", "198.51.100.0/24"): "",
    }


def test_first_days_come_from_the_lists_on_disk(tmp_path: Path) -> None:
    """The day of each name is the one that is kept beside the copy, whichever day it is compiled on."""
    feed = Feed(name="a", url="file:///a")
    write_entries(tmp_path / "a", parsed({"one.test": None}), None, 10, 0)
    write_entries(tmp_path / "b", parsed({"one.test": None, "two.test": EMOTET}), Entries(tmp_path / "a"), 20, 19)
    compile_blockset([(feed, Entries(tmp_path / "b"))], tmp_path / "blockset", 1, 99.0 * DAY_S)
    blockset = Blockset.open(tmp_path / "blockset")
    assert annotations_of(blockset, "one.test")["a"].first_seen_s == 10 * DAY_S
    assert annotations_of(blockset, "two.test")["a"] == Annotation("Emotet", "https://example.org/emotet", 86400.0, 20.0 * DAY_S)


def test_the_expired_leave(tmp_path: Path) -> None:
    """A name is in what is compiled before its time is over and not after; the next such moment is known."""
    lists = {"a": parsed({"one.test": EMOTET, "two.test": EXPIRING}, {"192.0.2.0/24": EXPIRING}), "b": parsed({"two.test": None})}
    before = make(tmp_path, lists, now_s=4999.0)
    assert set(annotations_of(before, "two.test")) == {"a", "b"}
    assert (before.next_expiry_s, before.feeds["a"].entries, before.feeds["a"].expired) == (5000.0, 2, 0)
    after = make(tmp_path, lists, now_s=5000.0, generation=2)
    assert set(annotations_of(after, "two.test")) == {"b"}
    assert after.lookup_address(bytes((192, 0, 2, 1))) == ()
    assert (after.next_expiry_s, after.feeds["a"].entries, after.feeds["a"].expired) == (0.0, 1, 2)
    assert after.feeds["a"].addresses == 0


def test_what_is_held_stays_out(tmp_path: Path) -> None:
    """Names that a sieve takes out of a feed are left out of it, and of no other feed."""

    class OneTest:
        def __call__(self, names: dict[bytes, int]) -> None:
            del names[key("one.test")]

        def networks(self, networks: dict[bytes, int]) -> None:
            pass

    lists = [(Feed(name=name, url="file:///x"), parsed({"one.test": None, "two.test": None})) for name in ("a", "b")]
    compile_parsed(lists, tmp_path / "1", 1, 0.0, sieve=lambda feed: OneTest() if feed.name == "a" else None)
    blockset = Blockset.open(tmp_path / "1")
    assert [listing.feed for listing in blockset.lookup(from_text("one.test"))] == ["b"]
    assert [listing.feed for listing in blockset.lookup(from_text("two.test"))] == ["a", "b"]


@pytest.mark.parametrize("days", [3, 300, 70_000], ids=["u8", "u16", "u32"])
def test_numbers_of_any_width(tmp_path: Path, days: int) -> None:
    """However many different things are known, each name keeps its own."""
    details = [NameAnnotation(f"threat {at}", expires_s=1e12 + at) for at in range(min(days, 60_000))]
    names = {key(f"n{at}.test"): BLOCK_NAME if at >= 60_000 else BLOCK_SUBTREE for at in range(days)}
    detail_of = {key(f"n{at}.test"): at % 60_000 for at in range(days)}
    many = ParsedFeed(format="csv", lines=1, odd={}, names=names, networks=set(), details=details, detail_of=detail_of)
    blockset = make(tmp_path, {"a": many})
    for at in {0, days // 2, days - 1}:
        assert annotations_of(blockset, f"n{at}.test")["a"].threat == f"threat {at % 60_000}"


@pytest.mark.parametrize("name", [FACTS_FILE, FACT_TABLE_FILE])
@pytest.mark.parametrize("harm", ["missing", "cut", "changed"])
def test_damaged_annotations_harm_no_answer(tmp_path: Path, name: str, harm: str) -> None:
    """A reader of annotations gets an error that says what is wrong. The blockset opens and blocks all the same."""
    make(tmp_path, {"a": parsed({"one.test": EMOTET})})
    path = tmp_path / "1" / name
    data = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if harm == "cut" else bytes([data[0] ^ 1]) + data[1:])
    blockset = Blockset.open(tmp_path / "1")
    assert blockset.lookup(from_text("one.test"))
    with pytest.raises(BlocksetError, match=name):
        Annotations(blockset)


def test_names_without_annotations() -> None:
    """`Annotations` of a blockset without them raises an error."""
    with pytest.raises(BlocksetError, match="No such file"):
        Annotations(make_blockset({"a": "one.test"}))  # whose directory is gone


_MAP_AND_ASK = """
import os, sys
from pathlib import Path
from pdns.blockset.annotations import FACT_TABLE_FILE, FACTS_FILE
from pdns.blockset.reader import Blockset
from pdns.wire.names import from_text
def pss():
    total = 0
    mine = False
    for line in open("/proc/self/smaps"):
        if "-" in line.split()[0]:
            mine = "memfd:pdns-blockset" in line
        elif mine and line.startswith("Pss:"):
            total += int(line.split()[1]) * 1024
    return total
blockset = Blockset.open(Path(sys.argv[1]))
asked = (from_text(f"www.name{n}-of-a-list.example{n % 700}.test") for n in range(0, 200_000, 7))
assert sum(len(blockset.lookup(name)) for name in asked) == 28_572
maps = open("/proc/self/maps").read()
print(pss(), any(name in maps for name in (FACTS_FILE, FACT_TABLE_FILE)))
"""


def test_a_worker_maps_little_and_no_annotations(tmp_path: Path) -> None:
    """Opened and checked as a worker does, a blockset maps at most 4 bytes a name and its label. No annotations are mapped."""
    names = {key(f"name{n}-of-a-list.example{n % 700}.test"): BLOCK_SUBTREE for n in range(200_000)}
    big = ParsedFeed(format="domains", lines=1, odd={}, names=names, networks=set())
    make(tmp_path, {"a": big})
    said = subprocess.run(
        [sys.executable, "-c", _MAP_AND_ASK, str(tmp_path / "1")], capture_output=True, text=True, check=True, env=os.environ
    )  # fmt: skip
    mapped, has_annotations = said.stdout.split()
    assert has_annotations == "False"
    assert 100_000 < int(mapped) <= (len("name100000-of-a-list") + 4) * 200_000
