"""Several lists into one blockset."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from feeds.entries import write_entries
from feeds.parse import ParsedFeed
from pdns.blockset.reader import Blockset
from pdns.config.schema import Feed
from pdns.config.source import source_fingerprint
from pdns.core.listing import BLOCK_SUBTREE, Listing, Rule
from pdns.errors import BlocksetError
from pdns.wire.names import from_text
from tests.blocksets import compile_parsed
from tests.unit.feeds.reading import read


def make(tmp_path: Path, lists: dict[str, str], *, addresses: bool = False) -> Blockset:
    inputs = [
        (Feed(name=name, url=f"file:///{name}", category=f"of-{name}"), read(content, addresses=addresses))
        for name, content in lists.items()
    ]
    compile_parsed(inputs, tmp_path / "blockset", 3, 99.5)
    return Blockset.open(tmp_path / "blockset")


def test_every_feed_is_told(tmp_path: Path) -> None:
    """A lookup names every feed that lists the name, each with its own rule."""
    blockset = make(
        tmp_path, {"a": "one.test\ntwo.test\n", "b": "*.one.test\nsix.test\n", "c": "one.test CNAME .\nthree.test CNAME .\n"}
    )
    name = from_text("one.test")
    assert blockset.lookup(name) == (Listing("a", name, Rule.SUBTREE, False), Listing("c", name, Rule.EXACT, False))
    assert blockset.lookup(from_text("www.one.test")) == (
        Listing("a", name, Rule.SUBTREE, False),
        Listing("b", name, Rule.BELOW, False),
    )
    assert blockset.lookup(from_text("four.test")) == ()


def test_counts(tmp_path: Path) -> None:
    """Names, those that no other feed blocks, exceptions and addresses are counted by feed; the whole counts each name once."""
    blockset = make(
        tmp_path,
        {
            "a": "one.test\ntwo.test\n8.8.8.8\n",
            "b": "||two.test^\n||three.test^\n@@||one.test^\n@@||four.test^\n",
            "c": "# nothing\n",
        },
        addresses=True,
    )
    counts = {name: (feed.entries, feed.unique_entries, feed.exceptions, feed.addresses) for name, feed in blockset.feeds.items()}
    assert counts == {"a": (2, 1, 0, 1), "b": (2, 1, 2, 0), "c": (0, 0, 0, 0)}
    assert blockset.entries == 3
    assert (blockset.generation, blockset.created_s) == (3, 99.5)
    assert blockset.feeds["b"].category == "of-b"
    assert blockset.feeds["b"].source == source_fingerprint(Feed(name="b", url="file:///b"))


def test_addresses(tmp_path: Path) -> None:
    """Addresses of several feeds are found, with every feed that lists them."""
    blockset = make(tmp_path, {"a": "8.8.8.8\n", "b": "8.8.8.8\n8.8.8.0/24\n2001:db8::/32\n"}, addresses=True)
    said = [(listing.feed, listing.network) for listing in blockset.lookup_address(bytes((8, 8, 8, 8)))]
    assert said == [("a", "8.8.8.8/32"), ("b", "8.8.8.8/32"), ("b", "8.8.8.0/24")]


def test_progress_is_told(tmp_path: Path) -> None:
    """Names are counted while lists are merged, and again, towards a known end, while they are written."""
    told: list[tuple[str, int, int]] = []
    lists = [(Feed(name=name, url="file:///x"), read(f"{name}.test\ncommon.test\n")) for name in ("a", "b")]
    compile_parsed(lists, tmp_path / "blockset", 1, 0.0, lambda *step: told.append(step))
    assert [step for step in told if step[0] == "merging"][-1] == ("merging", 3, 0)
    assert told[-1] == ("writing", 3, 3)


_COMPILE = """
import sys
from pathlib import Path
from feeds.compile import compile_blockset
from feeds.entries import Entries
from pdns.config.schema import Feed
lists = [(Feed(name=Path(path).name, url="file:x"), Entries(Path(path))) for path in sys.argv[2:]]
compile_blockset(lists, Path(sys.argv[1]), 1, 0.0)
print(next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""


def test_memory_has_a_bound(tmp_path: Path) -> None:
    """Lists on disk are compiled within 200 bytes a name of all of them, whatever the names and however many lists."""

    def peak(out: str, *lists: str) -> int:
        command = [sys.executable, "-c", _COMPILE, str(tmp_path / out), *(str(tmp_path / name) for name in lists)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    names = 0
    for number, name in enumerate("abc"):
        keys = {b"\4test\x0c%012x\3www" % (hash((number, at)) & 0xFFFF_FFFF_FFFF) for at in range(100_000)}
        names += len(keys)
        parsed = ParsedFeed(format="domains", lines=1, names=dict.fromkeys(keys, BLOCK_SUBTREE), networks=set(), odd={})
        write_entries(tmp_path / name, parsed, None, 1, 0)
    write_entries(tmp_path / "none", ParsedFeed(format="domains", lines=1, names={}, networks=set(), odd={}), None, 1, 0)
    assert peak("big", "a", "b", "c") - peak("small", "none") < 200 * names


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    """A blockset that cannot be written leaves no directory behind, and says why."""
    (tmp_path / "blockset").mkdir()
    with pytest.raises(BlocksetError, match="exists already"):
        compile_parsed([(Feed(name="a", url="file:///a"), read("one.test\n"))], tmp_path / "blockset", 1, 0.0)
    assert [path.name for path in tmp_path.iterdir()] == ["blockset"]


def test_same_input_same_blockset(tmp_path: Path) -> None:
    """The same lists make the same files, byte for byte."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make(tmp_path / name, {"a": "".join(f"n{number}.test\n" for number in range(2000)), "b": "n7.test\n*.n9.test\n"})
    for file in (tmp_path / "one" / "blockset").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / "blockset" / file.name).read_bytes()
