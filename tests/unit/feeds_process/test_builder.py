"""The process that parses and compiles: what it says, and what is said of it when it cannot."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

import pytest

from feeds.build import load, perform
from feeds.builder import Builder, BuildError
from feeds.jobs import Compile, Compiled, Failed, Parse, Parsed, Part
from pdns.blockset import Blockset
from pdns.config import Feed
from pdns.core.names import from_text


def feed(name: str = "sample", *, addresses: bool = False) -> Feed:
    return Feed(name=name, url="https://lists.example/", addresses=addresses)


def parse(tmp_path: Path, content: bytes, before: str = "", *, name: str = "sample", addresses: bool = False) -> Parsed | Failed:
    raw = tmp_path / f"{name}.raw"
    raw.write_bytes(content)
    job = Parse(feed(name, addresses=addresses), str(raw), str(tmp_path / f"{name}.parsed"), before)
    result = perform(job)
    assert not isinstance(result, Compiled)
    return result


def test_a_list_is_judged_and_its_entries_written(tmp_path: Path) -> None:
    """Counts, format and odd lines are in the result; the entries are in the file, and compared with those before."""
    result = parse(tmp_path, b"a.example\nb.example\n192.0.2.1\n")
    assert isinstance(result, Parsed)
    assert (result.format, result.lines, result.entries, result.addresses) == ("domains", 3, 2, 0)
    assert (result.added, result.removed) == (None, None)
    assert result.odd["address"].count == 1
    (tmp_path / "sample.parsed").rename(tmp_path / "before")
    result = parse(tmp_path, b"b.example\nc.example\nd.example\n", str(tmp_path / "before"))
    assert isinstance(result, Parsed)
    assert (result.added, result.removed) == (2, 1)
    parsed = load(tmp_path / "sample.parsed")
    assert parsed is not None
    assert parsed.entries == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the list is empty"),
        (b"\n\n", "no names in 2 lines, read as domains"),
        (
            b"@@||one.test^\n@@||two.test^\n",
            "2 exceptions and no name to block, read as adblock: exceptions reach only what the same feed",
        ),
        (
            b"@@||one.test^\n! x\n",
            "1 exception and no name to block, read as adblock: exceptions reach only what the same feed lists",
        ),
        (b"<html>bad.example</html>", "a web page, not a list"),
        (b"1.2.3.4\nhttp://a.example/x\n5.6.7.8", "most often address, as in line 1: 1.2.3.4"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """No entry, no list: nothing is written, and the reason names what was there instead."""
    result = parse(tmp_path, content)
    assert isinstance(result, Failed)
    assert result.unusable
    assert reason in result.reason
    assert not (tmp_path / "sample.parsed").exists()


def test_parts_become_a_blockset(tmp_path: Path) -> None:
    """All lists in one; a list whose entries are damaged is named, and then nothing is made."""
    for name in "ab":
        parse(tmp_path, f"{name}.example\n".encode(), name=name)
    parts = [Part(feed(name), str(tmp_path / f"{name}.parsed")) for name in "ab"]
    result = perform(Compile(str(tmp_path / "1"), 1, 5.0, parts))
    assert isinstance(result, Compiled)
    assert result.entries == 2
    blockset = Blockset.open(tmp_path / "1")
    assert [listing.feed for listing in blockset.lookup(from_text("www.b.example"))] == ["b"]
    (tmp_path / "a.parsed").write_bytes(b"rubbish")
    assert perform(Compile(str(tmp_path / "2"), 2, 5.0, parts)) == Failed("damaged on disk: the entries of a", damaged=("a",))
    assert not (tmp_path / "2").exists()


def test_a_job_in_a_child_process(tmp_path: Path) -> None:
    """The same result, from a process of its own; what goes wrong in it is raised with its reason."""
    (tmp_path / "raw").write_bytes(b"a.example\n")

    async def run() -> Parsed:
        return await Builder().parse(Parse(feed(), str(tmp_path / "raw"), str(tmp_path / "parsed")))

    assert asyncio.run(run()).entries == 1
    (tmp_path / "raw").write_bytes(b"")
    with pytest.raises(BuildError, match="the list is empty") as caught:
        asyncio.run(run())
    assert caught.value.unusable
    (tmp_path / "raw").unlink()
    with pytest.raises(BuildError, match="No such file") as caught:
        asyncio.run(run())
    assert not caught.value.unusable


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """A job has a time limit; the one after it runs."""
    (tmp_path / "raw").write_bytes(b"".join(b"%d.example\n" % number for number in range(300_000)))
    job = Parse(feed(), str(tmp_path / "raw"), str(tmp_path / "parsed"))
    with pytest.raises(BuildError, match=r"given up after 0.1 s"):
        asyncio.run(Builder(timeout_s=0.1).parse(job))
    assert not (tmp_path / "parsed").exists()


def test_a_child_ends_with_its_parent() -> None:
    """When standard input ends the child does, whatever it is doing; and one that is asked nonsense says so by its exit code."""
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import feeds.build, threading, time; threading.Thread(target=feeds.build._die_with_parent).start(); time.sleep(60)",
        ],
        stdin=subprocess.PIPE,
    )
    assert child.stdin is not None
    time.sleep(0.1)
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(10) == 1
    command = [sys.executable, "-m", "feeds.build"]
    assert subprocess.run(command, check=False, input=b"nonsense\n", capture_output=True).returncode == 1
