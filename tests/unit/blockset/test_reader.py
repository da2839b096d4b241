"""Blocksets: what is written is what is found, and nothing damaged is ever used."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest
from pybloom_live import BloomFilter

from pdns.blockset.generations import blocksets_directory, current_generation, next_generation, publish
from pdns.blockset.layout import FeedEntry, read_manifest
from pdns.blockset.reader import Blockset
from pdns.config.schema import Feed
from pdns.config.source import source_fingerprint
from pdns.core.listing import ALLOW_NAME, ALLOW_SUBTREE, BLOCK_BELOW, BLOCK_NAME, BLOCK_SUBTREE, AddressListing, Listing, Rule
from pdns.errors import BlocksetError
from pdns.wire.names import from_labels, from_text, labels_of, reversed_key
from tests.blocksets import make_blockset, write_all

FILES = ("manifest.json", "bloom.bin", "names.bin", "nets.bin")


def listed(blockset: Blockset, name: str) -> list[tuple[str, bytes, Rule, bool]]:
    return [(said.feed, said.name, said.rule, said.allow) for said in blockset.lookup(from_text(name))]


def small(directory: Path, generation: int = 1) -> Path:
    """A blockset with a name, an exception and a network, on the disk."""
    write_all(
        directory,
        generation=generation,
        created_s=12.5,
        feeds=[FeedEntry(name="a", source="s", category="malware", entries=1)],
        names={reversed_key(from_text("evil.test")): 0, reversed_key(from_text("good.evil.test")): 1},
        networks={bytes((192, 0, 2, 0, 24)): 0},
        combinations=[[(0, BLOCK_SUBTREE)], [(0, ALLOW_SUBTREE)]],
    )
    return directory


def test_subtree() -> None:
    """A subtree listing applies to its name and to every name below it, and to no name above or beside it."""
    blockset = make_blockset({"a": "evil.test"})
    expected = [("a", from_text("evil.test"), Rule.SUBTREE, False)]
    assert listed(blockset, "evil.test") == expected
    assert listed(blockset, "a.b.c.evil.test") == expected
    for clean in ("test", "notevil.test", "evil.test.example", "evil.tes", "xevil.test", "."):
        assert listed(blockset, clean) == []


def test_exact() -> None:
    """An exact listing applies to its name alone."""
    blockset = make_blockset({"a": "=evil.test"})
    assert listed(blockset, "evil.test") == [("a", from_text("evil.test"), Rule.EXACT, False)]
    assert listed(blockset, "www.evil.test") == []


def test_below() -> None:
    """`*.x` applies to everything below x, at any depth, and not to x."""
    blockset = make_blockset({"a": "*.evil.test"})
    assert listed(blockset, "evil.test") == []
    for name in ("www.evil.test", "a.b.evil.test"):
        assert listed(blockset, name) == [("a", from_text("evil.test"), Rule.BELOW, False)]


def test_exact_and_below_are_a_subtree() -> None:
    """A feed that lists x and `*.x` lists the subtree."""
    assert listed(make_blockset({"a": "=evil.test *.evil.test"}), "evil.test")[0][2] is Rule.SUBTREE


def test_most_specific_first() -> None:
    """Listings come from the name asked about upwards, and of one name in the order of the feeds."""
    blockset = make_blockset({"a": "evil.test =www.evil.test", "b": "www.evil.test", "c": "*.evil.test"})
    assert [(feed, labels_of(name), rule) for feed, name, rule, _ in listed(blockset, "www.evil.test")] == [
        ("a", [b"www", b"evil", b"test"], Rule.EXACT),
        ("b", [b"www", b"evil", b"test"], Rule.SUBTREE),
        ("a", [b"evil", b"test"], Rule.SUBTREE),
        ("c", [b"evil", b"test"], Rule.BELOW),
    ]


def test_exceptions_are_told_apart() -> None:
    """An exception is a listing like any other, marked `allow`; it hides nothing by itself."""
    blockset = make_blockset({"a": "evil.test @@good.evil.test"})
    assert [(labels_of(name)[0], allow) for _, name, _, allow in listed(blockset, "x.good.evil.test")] == [
        (b"good", True),
        (b"evil", False),
    ]


def test_block_and_allow_of_one_name(tmp_path: Path) -> None:
    """A feed may list a name and except it: both are said, each with its own reach."""
    key = reversed_key(from_text("both.test"))
    feeds = [FeedEntry(name="a", source="", category="x")]
    said = [[(0, BLOCK_SUBTREE | ALLOW_NAME)]]
    write_all(tmp_path / "b", generation=1, created_s=0, feeds=feeds, names={key: 0}, networks={}, combinations=said)
    blockset = Blockset.open(tmp_path / "b")
    name = from_text("both.test")
    assert blockset.lookup(name) == (Listing("a", name, Rule.SUBTREE, False), Listing("a", name, Rule.EXACT, True))
    assert blockset.lookup(from_text("x.both.test")) == (Listing("a", name, Rule.SUBTREE, False),)


@pytest.mark.parametrize("entry", ["test", "*.test", "=test"])
def test_single_label(entry: str) -> None:
    """A whole top-level domain can be listed, and is found under names of any depth."""
    blockset = make_blockset({"a": f"{entry} deep.other.example"})
    assert bool(listed(blockset, "test")) == (entry != "*.test")
    for name in ("evil.test", "a.b.c.evil.test"):
        assert bool(listed(blockset, name)) == (entry != "=test")
    assert listed(blockset, "evil.tests") == []


def test_root() -> None:
    """The root can be listed: then every name is."""
    blockset = make_blockset({"a": "."})
    assert blockset.lookup(b"\0") == (Listing("a", b"\0", Rule.SUBTREE, False),)
    assert blockset.lookup(from_text("any.name.test")) == (Listing("a", b"\0", Rule.SUBTREE, False),)


def test_escaped_dots() -> None:
    r"""A dot inside a label is no label end: `a\.b.test` is neither `a.b.test` nor below `b.test`."""
    blockset = make_blockset({"a": r"a\.b.test", "b": "b.example"})
    assert [feed for feed, *_ in listed(blockset, r"x.a\.b.test")] == ["a"]
    for name in ("a.b.test", "x.a.b.test", r"a\.b.example"):
        assert listed(blockset, name) == []


def test_any_bytes_in_labels(tmp_path: Path) -> None:
    """Labels may hold any bytes, also those that look like length bytes."""
    odd = from_labels([b"\x04test", bytes(range(1, 64)), b"\0\xff"])
    feeds = [FeedEntry(name="a", source="", category="x")]
    names = {reversed_key(odd): 0}
    write_all(
        tmp_path / "b", generation=1, created_s=0, feeds=feeds, names=names, networks={}, combinations=[[(0, BLOCK_SUBTREE)]]
    )
    blockset = Blockset.open(tmp_path / "b")
    assert blockset.lookup(b"\3www" + odd) == (Listing("a", odd, Rule.SUBTREE, False),)
    assert blockset.lookup(odd[6:]) == ()


def test_longest_names(tmp_path: Path) -> None:
    """A name of 255 bytes can be listed, and found, and so can its ancestors be found from it."""
    longest = from_labels([b"a" * 63, b"b" * 63, b"c" * 63, b"d" * 61])
    assert len(longest) == 255
    top = from_labels([b"c" * 63, b"d" * 61])
    feeds = [FeedEntry(name="a", source="", category="x")]
    names = {reversed_key(longest): 0, reversed_key(top): 1}
    said = [[(0, BLOCK_NAME)], [(0, BLOCK_BELOW)]]
    write_all(tmp_path / "b", generation=1, created_s=0, feeds=feeds, names=names, networks={}, combinations=said)
    assert Blockset.open(tmp_path / "b").lookup(longest) == (
        Listing("a", longest, Rule.EXACT, False),
        Listing("a", top, Rule.BELOW, False),
    )


@pytest.mark.parametrize("count", [1, 300, 70000], ids=["u8", "u16", "u32"])
def test_records_of_any_width(tmp_path: Path, count: int) -> None:
    """However many combinations of feeds and rules there are, each name keeps its own."""
    feeds = [FeedEntry(name=f"f{index}", source="", category="x") for index in range(count)]
    names = {reversed_key(from_text(f"n{index}.test")): index for index in range(count)}
    combinations = [[(index, BLOCK_SUBTREE)] for index in range(count)]
    write_all(tmp_path / "b", generation=1, created_s=0, feeds=feeds, names=names, networks={}, combinations=combinations)
    blockset = Blockset.open(tmp_path / "b")
    for index in {0, count // 2, count - 1}:
        assert [listing.feed for listing in blockset.lookup(from_text(f"www.n{index}.test"))] == [f"f{index}"]


def test_bloom_filter_is_one_of_pybloom_live(tmp_path: Path) -> None:
    """The filter file is what pybloom-live writes: it reads it, and finds the last two labels of every name."""
    for count in (3, 30000):  # positions of 16 and of 32 bits
        names = {reversed_key(from_text(f"www.n{index}.test")): 0 for index in range(count)}
        feeds = [FeedEntry(name="a", source="", category="x")]
        directory = tmp_path / str(count)
        write_all(
            directory, generation=1, created_s=0, feeds=feeds, names=names, networks={}, combinations=[[(0, BLOCK_SUBTREE)]]
        )
        with (directory / "bloom.bin").open("rb") as file:
            bloom = BloomFilter.fromfile(file)
        cuts = [from_text(f"n{index}.test").decode() for index in range(count)]
        assert all(cut in bloom for cut in cuts)
        clean = [from_text(f"c{index}.test").decode() for index in range(10000)]
        assert sum(cut in bloom for cut in clean) < (30 if count == 3 else 900)  # 1 in 16 of a full one


def test_empty(tmp_path: Path) -> None:
    """A blockset of nothing is a blockset: everything is clean."""
    write_all(tmp_path / "b", generation=4, created_s=0, feeds=[], names={}, networks={}, combinations=[])
    blockset = Blockset.open(tmp_path / "b")
    assert (blockset.generation, blockset.entries, blockset.feeds) == (4, 0, {})
    assert blockset.lookup(from_text("evil.test")) == ()
    assert blockset.lookup(b"\0") == ()
    assert blockset.lookup_address(bytes(4)) == ()


def test_addresses() -> None:
    """An address is found under every listed network that holds it, the longest prefix first, IPv4 also inside IPv6."""
    blockset = make_blockset({
        "a": "192.0.2.1/32 192.0.2.0/24 198.51.100.0/25 2001:db8::1/128 2001:db8::/32 0.0.0.0/0",
        "b": "192.0.2.0/24 2001:db8:0:1::/64 2001:db8:0:2::/64",
    })  # fmt: skip

    def found(address: str) -> list[tuple[str, str]]:
        return [(said.feed, said.network) for said in blockset.lookup_address(ip_address(address).packed)]

    assert found("192.0.2.1") == [("a", "192.0.2.1/32"), ("a", "192.0.2.0/24"), ("b", "192.0.2.0/24"), ("a", "0.0.0.0/0")]
    assert found("::ffff:192.0.2.1") == found("192.0.2.1")
    assert found("198.51.100.127") == [("a", "198.51.100.0/25"), ("a", "0.0.0.0/0")]
    assert found("198.51.100.128") == [("a", "0.0.0.0/0")]
    assert found("2001:db8::1") == [("a", "2001:db8::1/128"), ("a", "2001:db8::/32")]
    assert found("2001:db8:0:2::9") == [("b", "2001:db8:0:2::/64"), ("a", "2001:db8::/32")]
    assert found("2001:db9::1") == []
    assert blockset.lookup_address(bytes((192, 0, 2, 9)))[0] == AddressListing("a", "192.0.2.0/24")


def test_manifest_tells_what_is_inside(tmp_path: Path) -> None:
    """Generation, time, counts of names and the feeds can be read without touching the other files."""
    blockset = Blockset.open(small(tmp_path / "b", generation=7))
    assert (blockset.generation, blockset.created_s, blockset.entries) == (7, 12.5, 1)
    assert blockset.feeds["a"].category == "malware"
    assert {listing.name for listing in blockset.listings()} == {from_text("evil.test"), from_text("good.evil.test")}
    assert read_manifest(tmp_path / "b").names == 2


def test_a_mapped_blockset_outlives_its_directory(tmp_path: Path) -> None:
    """Files that are removed while mapped go on answering: a worker may lag behind."""
    blockset = Blockset.open(small(tmp_path / "b"))
    for name in FILES:
        (tmp_path / "b" / name).unlink()
    assert blockset.lookup(from_text("evil.test"))
    assert blockset.lookup_address(bytes((192, 0, 2, 7)))


@pytest.mark.parametrize("name", FILES)
def test_missing_file(tmp_path: Path, name: str) -> None:
    """A missing file is named."""
    (small(tmp_path / "b") / name).unlink()
    with pytest.raises(BlocksetError, match=f"b/{name}: No such file"):
        Blockset.open(tmp_path / "b")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "cut",
    [lambda data: data[:-1], lambda data: data[: len(data) // 2], lambda _: b"", lambda data: data + b"x"],
    ids=["last byte", "half", "empty", "longer"],
)
def test_file_of_a_wrong_size(tmp_path: Path, name: str, cut: Callable[[bytes], bytes]) -> None:
    """A file that was cut short, emptied or grew is named, and the blockset is not used."""
    path = small(tmp_path / "b") / name
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(BlocksetError, match=f"b/{name}: "):
        Blockset.open(tmp_path / "b")


@pytest.mark.parametrize("name", FILES[1:])
def test_damage_within_a_file(tmp_path: Path, name: str) -> None:
    """One wrong bit is found by `verify`."""
    path = small(tmp_path / "b") / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(BlocksetError, match=f"b/{name}: its SHA-256"):
        Blockset.open(tmp_path / "b")


@pytest.mark.parametrize("name", ["manifest.json", "bloom.bin", "names.bin"])
def test_foreign_content(tmp_path: Path, name: str) -> None:
    """Another file of the same size is noticed without reading it through, where the format carries a mark."""
    path = small(tmp_path / "b") / name
    path.write_bytes(b"\xa5" * path.stat().st_size)
    with pytest.raises(BlocksetError, match=f"b/{name}: "):
        Blockset.open(tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"format": 3}, "not a blockset of format 4: its format is 3"),
        ({"format": 5}, "not a blockset of format 4: its format is 5"),
        ({"names": 3}, "2 names where 3 are announced"),
        ({"files": {}}, "says nothing of bloom.bin"),
        ({"counts": [1]}, "not a count for each combination"),
        ({"combinations": [[[1, 3]]], "counts": [2]}, "names a feed that is not there"),
        ({"runs": [{"address_bytes": 4, "prefix_bits": 24, "count": 9, "offset": 0}]}, "leaves the file"),
        ({"runs": [{"address_bytes": 4, "prefix_bits": 40, "count": 1, "offset": 0}]}, "leaves the file"),
    ],
)
def test_manifest_that_lies(tmp_path: Path, change: dict[str, object], complaint: str) -> None:
    """A manifest of another format, or one that does not fit the files, is refused with the reason."""
    path = small(tmp_path / "b") / "manifest.json"
    manifest = msgspec.json.decode(path.read_bytes()) | change
    del manifest["checksum"]
    path.write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(BlocksetError, match=complaint):
        Blockset.open(tmp_path / "b")


def test_not_a_directory(tmp_path: Path) -> None:
    """A file where the blockset should be is an error like any other."""
    (tmp_path / "b").write_text("")
    with pytest.raises(BlocksetError, match="Not a directory"):
        Blockset.open(tmp_path / "b")


def test_write_leaves_no_part(tmp_path: Path) -> None:
    """What exists already is not overwritten, and what could not be written is not there at all."""
    small(tmp_path / "b")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BlocksetError, match="exists already"):
        small(tmp_path / "b")
    (tmp_path / "file").write_text("")
    with pytest.raises(BlocksetError, match="file"):
        small(tmp_path / "file" / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == [*before, "file"]


def test_publish(tmp_path: Path) -> None:
    """`current` moves to the new generation in one step; the one before stays, older ones and unfinished work go."""
    assert (current_generation(tmp_path), next_generation(tmp_path)) == (0, 1)
    directory = blocksets_directory(tmp_path)
    for generation in range(1, 5):
        assert next_generation(tmp_path) == generation
        small(directory / ".building", generation)
        (directory / ".left.over").mkdir()
        assert publish(tmp_path, directory / ".building", generation) == directory / str(generation)
        assert current_generation(tmp_path) == generation
        assert Blockset.open(directory / "current").generation == generation
    assert sorted(path.name for path in directory.iterdir()) == ["3", "4", "current"]
    assert (directory / "current").readlink() == Path("4")


def test_publish_what_was_built_in_place(tmp_path: Path) -> None:
    """A blockset that was written as its generation is published where it is; what was never published before goes."""
    directory = blocksets_directory(tmp_path)
    for generation in (1, 2, 3):
        small(directory / str(generation), generation)
    publish(tmp_path, directory / "2", 2)
    assert sorted(path.name for path in directory.iterdir()) == ["1", "2", "current"]


def test_publish_nothing(tmp_path: Path) -> None:
    """What is not there is not published: `current` stays as it was."""
    small(blocksets_directory(tmp_path) / "1")
    publish(tmp_path, blocksets_directory(tmp_path) / "1", 1)
    with pytest.raises(BlocksetError, match="missing"):
        publish(tmp_path, tmp_path / "missing", 2)
    assert current_generation(tmp_path) == 1


def test_open_follows_current_once(tmp_path: Path) -> None:
    """The directory of an opened blockset is the generation, not the link that moves on."""
    small(blocksets_directory(tmp_path) / "1")
    publish(tmp_path, blocksets_directory(tmp_path) / "1", 1)
    assert Blockset.open(blocksets_directory(tmp_path) / "current").directory.name == "1"


def test_source_fingerprint() -> None:
    """A feed's fingerprint changes with what decides its content, and with nothing else."""
    feed = Feed(name="a", url="https://feeds.test/x")
    assert source_fingerprint(feed) == source_fingerprint(
        Feed(name="b", url="https://feeds.test/x", category="phishing", refresh_s=60, required=True, mode="monitor")
    )
    others = [
        Feed(name="a", url="https://feeds.test/y"),
        Feed(name="a", url="https://feeds.test/x", format="rpz"),
        Feed(name="a", url="https://feeds.test/x", wildcard_includes_apex=True),
        Feed(name="a", url="https://feeds.test/x", addresses=True),
    ]
    assert len({source_fingerprint(other) for other in [feed, *others]}) == 5
