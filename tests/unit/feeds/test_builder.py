"""The process that parses and compiles: what it says, and what is said of it when it cannot."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from feeds.allowance import MIB, allowance_of
from feeds.build import perform
from feeds.builder import Builder, BuildError
from feeds.entries import Entries, whole
from feeds.jobs import Compile, Compiled, Failed, Parse, Parsed, Part
from feeds.refresh import build_once
from feeds.store import Copy
from pdns.blockset.reader import Blockset
from pdns.config.schema import Feed
from pdns.wire.names import from_text
from tests.unit.feeds.configs import blockers, configuration


def feed(name: str = "sample", *, addresses: bool = False) -> Feed:
    return Feed(name=name, url="https://lists.example/", addresses=addresses)


def parse(tmp_path: Path, content: bytes, before: str = "", *, name: str = "sample", addresses: bool = False) -> Parsed | Failed:
    raw = tmp_path / f"{name}.raw"
    raw.write_bytes(content)
    job = Parse(feed(name, addresses=addresses), str(raw), str(tmp_path / f"{name}.parsed"), before)
    result = perform(job)
    assert isinstance(result, Parsed | Failed)
    return result


def test_a_list_is_judged_and_its_entries_written(tmp_path: Path) -> None:
    """The result has counts, format and skipped lines. The file has the entries, compared with those before."""
    result = parse(tmp_path, b"a.example\nb.example\n192.0.2.1\n")
    assert isinstance(result, Parsed)
    assert (result.format, result.lines, result.entries, result.addresses) == ("domains", 3, 2, 0)
    assert (result.added, result.removed) == (None, None)
    assert result.odd["address"].count == 1
    (tmp_path / "sample.parsed").rename(tmp_path / "before")
    result = parse(tmp_path, b"b.example\nc.example\nd.example\n", str(tmp_path / "before"))
    assert isinstance(result, Parsed)
    assert (result.added, result.removed) == (2, 1)
    parsed = whole(Entries(tmp_path / "sample.parsed"))
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
    with pytest.raises(BuildError, match=r"stopped: not done within 0.1 s"):
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


def children() -> set[int]:
    """The processes that this one has started."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found.update(map(int, (task / "children").read_text().split()))
    return found


async def started(before: set[int]) -> int:
    """The process that is not among those `before`, once there is one."""
    while not (new := children() - before):  # noqa: ASYNC110 (a list of processes tells of no event)
        await asyncio.sleep(0)
    return new.pop()


@pytest.mark.long
@pytest.mark.realtime
def test_a_slow_list_makes_way(tmp_path: Path) -> None:
    """Past its slice a list goes on beside the others; the next slow one is begun again when the first is done: all are read."""
    for name in "abcd":
        (tmp_path / name).write_bytes(f"{name}.example\n".encode())

    async def run() -> list[str]:
        builder = Builder(slice_s=5.0)
        done: list[str] = []

        async def parse(name: str) -> None:
            await builder.parse(Parse(feed(name), str(tmp_path / name), str(tmp_path / f"{name}.parsed")))
            done.append(name)

        async def hanging(name: str) -> tuple[asyncio.Task[None], int]:
            """One whose process does not get on."""
            before = children()
            task = asyncio.ensure_future(parse(name))
            new = await started(before)
            os.kill(new, signal.SIGSTOP)
            return task, new

        first, process = await hanging("a")
        await parse("b")
        second, killed = await hanging("c")
        await parse("d")
        assert killed not in children()
        assert not first.done()
        assert not second.done()
        os.kill(process, signal.SIGCONT)
        await asyncio.gather(first, second)
        return done

    assert asyncio.run(run()) == ["b", "d", "a", "c"]


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("while True: pass", -signal.SIGXCPU, ""),
        ("x = bytearray(300 << 20)", 1, "MemoryError"),
        ("x = [bytes(1 << 20) for _ in range(300)]", 1, "MemoryError"),
        ("open(sys.argv[1], 'wb').write(bytes(3 << 20))", 1, "File too large"),
        ("x = [open('/dev/null') for _ in range(70)]", 1, "Too many open files"),
        ("import os; os.abort()", -signal.SIGABRT, ""),
        ("os.geteuid() or os.setuid(65534); resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, 1 << 40))", 1, "ValueError"),
    ],
)
def test_the_kernel_holds_a_job_to_its_allowance(tmp_path: Path, code: str, status: int, said: str) -> None:
    """Processor time, memory, files and descriptors: what is past them fails, whatever runs, and leaves no dump of memory."""
    program = (
        "import os, resource, sys; from feeds.allowance import Allowance, hold_to; hold_to(Allowance(1, 200 << 20, 1 << 20))\n"
    )
    command = [sys.executable, "-c", program + code, str(tmp_path / "file")]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, said in ended.stderr) == (status, True), ended.stderr
    assert not list(tmp_path.glob("core*"))


def test_what_a_list_may_take(tmp_path: Path) -> None:
    """It grows with what there is to read: a packed list may unpack to much, up to max_bytes."""
    raw = tmp_path / "raw"
    job = Parse(Feed(name="x", url="https://x.example/", max_bytes=100 * MIB), str(raw), str(tmp_path / "parsed"))
    raw.write_bytes(b"a.example\n")
    small = allowance_of(job)
    raw.write_bytes(b"a.example\n" * MIB)
    plain = allowance_of(job)
    raw.write_bytes(gzip.compress(b"a.example\n" * MIB))
    packed = allowance_of(job)
    assert small.cpu_s == 30
    assert small.memory_bytes == 512 * MIB + 160
    assert (plain.cpu_s, plain.memory_bytes) == (45, (512 + 160) * MIB)
    assert plain.memory_bytes < packed.memory_bytes <= (512 + 1600) * MIB
    raw.write_bytes(b"PK\x03\x04" + bytes(MIB))
    assert allowance_of(job).memory_bytes == (512 + 1600) * MIB


def test_a_stopped_parser_is_a_clear_reason(tmp_path: Path) -> None:
    """The reason says that it is the list; the next job runs."""
    (tmp_path / "raw").write_bytes(b"a.example\n")
    job = Parse(feed(), str(tmp_path / "raw"), str(tmp_path / "parsed"))

    async def run() -> None:
        builder = Builder()
        before = children()
        task = asyncio.ensure_future(builder.parse(job))
        os.kill(await started(before), signal.SIGXCPU)
        with pytest.raises(BuildError, match="stopped: it took more processor time than a list of this size may") as caught:
            await task
        assert caught.value.stopped
        assert (await builder.parse(job)).entries == 1

    asyncio.run(run())


def test_a_copy_that_cannot_be_read_again_holds_up_no_feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an upgrade the parser does not survive one feed's copy: its names stay, and the other feed is brought up to date."""
    for name in ("hostile", "honest"):
        (tmp_path / name).write_bytes(f"{name}.example\n".encode())
    config = configuration(
        tmp_path / "state", *(Feed(name=name, url=(tmp_path / name).as_uri()) for name in ("hostile", "honest"))
    )
    build_once(config)
    record = tmp_path / "state/feeds/hostile/copy.json"
    copy = msgspec.json.decode(record.read_bytes(), type=Copy)
    older = msgspec.structs.replace(copy, reading=msgspec.structs.replace(copy.reading, reader="older"))
    record.write_bytes(msgspec.json.encode(older))
    (tmp_path / "honest").write_bytes(b"new.example\n")
    program, python = tmp_path / "program.py", tmp_path / "python"
    python.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{program}'\n")
    program.write_text(
        """
import os, signal, sys
sys.path.insert(0, os.getcwd())
from feeds import build
parse = build.parse
build.parse = lambda job: signal.raise_signal(signal.SIGXCPU) if job.feed.name == "hostile" else parse(job)
build.main()
"""
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    status = build_once(config)
    assert status.feeds["honest"].last_error == ""
    assert blockers(tmp_path / "state", "new.example") == {"honest"}
    assert blockers(tmp_path / "state", "hostile.example") == {"hostile"}
