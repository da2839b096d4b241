"""The feeds process as the supervisor runs it, against real servers, files, signals and a full disk."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from pdns.blockset.generations import current_generation
from pdns.config.schema import Feed, Upstream
from pdns.confinement.priority import NICE
from pdns.ipc.messages import Configure
from pdns.state import feed_status
from tests.integration.feedsprocess import WITHIN_S, FeedsProcess
from tests.unit.feeds import feedserver
from tests.unit.feeds.configs import blockers, configuration, kept, live
from tests.unit.feeds.feedserver import FeedServer


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with FeedServer() as running:
        yield running


def names(count: int, seed: int = 0) -> bytes:
    """A list that takes a while to parse."""
    draw = random.Random(seed)
    return b"".join(b"%016x.example\n" % draw.getrandbits(64) for _ in range(count))


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_it_starts_serves_and_steps_back(server: FeedServer, tmp_path: Path) -> None:
    """A list goes live after the first configuration; the process is nice, a batch job, the first to go when memory runs out."""
    server.serve("/list", b"bad.example\n")
    with FeedsProcess(configuration(tmp_path, Feed(name="sample", url=server.url("/list")))) as process:
        status = process.first()
        assert status.feeds["sample"].loaded
        assert status.generation == current_generation(tmp_path)
        assert blockers(tmp_path, "bad.example") == {"sample"}
        pid = process.process.pid
        assert os.getpriority(os.PRIO_PROCESS, pid) == max(NICE, os.nice(0))
        assert os.sched_getscheduler(pid) == os.SCHED_BATCH
        assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) > 0
        assert process.end() == 0
    assert any("feed sample: updated: 1 name" in line for line in process.log)


def test_a_restart_asks_conditionally_and_compiles_nothing(server: FeedServer, tmp_path: Path) -> None:
    """The validators survive on disk: the new process hears 304, and the blockset of the old one stays live."""
    server.serve("/list", b"bad.example\n", etag='"1"')
    config = configuration(tmp_path, Feed(name="sample", url=server.url("/list")))
    with FeedsProcess(config) as process:
        before = process.first()
    made_ns = (tmp_path / "blocksets" / "current" / "manifest.json").stat().st_mtime_ns
    with FeedsProcess(config) as process:
        after = process.first()
    assert [seen.status for seen in server.seen] == [200, 304]
    assert server.seen[1].headers["If-None-Match"] == '"1"'
    assert after.generation == before.generation
    assert after.feeds["sample"].results == {"unchanged": 1}
    assert (tmp_path / "blocksets" / "current" / "manifest.json").stat().st_mtime_ns == made_ns


def test_a_start_without_network_protects_before_anything_is_fetched(server: FeedServer, tmp_path: Path) -> None:
    """Last-good copies are compiled first: the names are live while the server still hangs."""
    server.serve("/list", b"bad.example\n")
    config = configuration(tmp_path, Feed(name="sample", url=server.url("/list"), timeout_s=60))
    with FeedsProcess(config) as process:
        process.first()
    shutil.rmtree(tmp_path / "blocksets")
    (tmp_path / feed_status.FILE_NAME).unlink()
    server.pages["/list"] = feedserver.hang
    with FeedsProcess(config) as process:
        status = process.wait(lambda status: status.feeds["sample"].loaded)
        assert status.feeds["sample"].last_attempt_s == 0
        assert blockers(tmp_path, "bad.example") == {"sample"}


def test_an_outage_and_its_end(server: FeedServer, tmp_path: Path) -> None:
    """The server goes away: the same generation stays live and the status says why. It comes back with news: they go live."""
    server.serve("/list", b"bad.example\n")
    config = configuration(tmp_path, Feed(name="sample", url=server.url("/list")))
    with FeedsProcess(config) as process:
        before = process.first()
        server.status("/list", 503)
        during = process.update()
        assert "503" in during.feeds["sample"].last_error
        assert during.generation == before.generation
        assert blockers(tmp_path, "bad.example") == {"sample"}
        server.serve("/list", b"new.example\n")
        after = process.update()
        assert after.feeds["sample"].last_error == ""
        assert after.feeds["sample"].results == {"updated": 2, "error": 1}
        assert after.generation == before.generation + 1
        assert blockers(tmp_path, "new.example") == {"sample"}


@pytest.mark.long
def test_a_request_during_an_attempt_is_not_lost(server: FeedServer, tmp_path: Path) -> None:
    """A feed that is being fetched when an update is asked for is fetched once more."""
    arrived, gate = threading.Event(), threading.Event()

    async def slow(_: web.Request) -> web.Response:
        arrived.set()
        await asyncio.to_thread(gate.wait)
        return web.Response(body=b"bad.example\n")

    server.pages["/list"] = slow
    with FeedsProcess(configuration(tmp_path, Feed(name="sample", url=server.url("/list")))) as process:
        assert arrived.wait(WITHIN_S)
        asked_s = process.ask()
        time.sleep(1)  # noticed by now, while the first attempt still waits
        gate.set()
        process.wait(lambda status: status.feeds["sample"].last_attempt_s >= asked_s)
    assert len(server.seen) == 2


@pytest.mark.long
def test_a_new_configuration_keeps_what_it_does_not_change(server: FeedServer, tmp_path: Path) -> None:
    """Feeds come, go and change while the process runs; an untouched one keeps its counters and is not fetched again."""
    for name in "abc":
        server.serve(f"/{name}", f"{name}.example\n".encode())
    a, b, c = (Feed(name=name, url=server.url(f"/{name}")) for name in "abc")
    with FeedsProcess(configuration(tmp_path, a, b)) as process:
        process.first()
        process.configure(configuration(tmp_path, msgspec.structs.replace(a, category="botnet", required=True), c))
        status = process.wait(lambda status: "c" in status.feeds and status.feeds["c"].loaded)
        assert list(status.feeds) == ["a", "c"]
        assert status.feeds["a"].results == {"updated": 1}
        assert (status.feeds["a"].category, status.feeds["a"].required) == ("botnet", True)
        assert live(tmp_path).feeds["a"].category == "botnet"
        assert not blockers(tmp_path, "b.example")
        assert not (tmp_path / "feeds" / "b").exists()
        assert [seen.path for seen in server.seen].count("/a") == 1
        process.configure(configuration(tmp_path, msgspec.structs.replace(a, url=server.url("/gone")), c))
        status = process.wait(lambda status: "404" in status.feeds["a"].last_error)
        assert not status.feeds["a"].loaded
        assert status.feeds["a"].results == {"updated": 1, "error": 1}
        assert blockers(tmp_path, "a.example") == {"a"}, "what it listed under its old url stays in force"
        server.serve("/gone", b"moved.example\n")
        (tmp_path / "requests").mkdir(exist_ok=True)
        (tmp_path / "requests" / "update").touch()
        process.wait(lambda status: status.feeds["a"].loaded)
        assert (blockers(tmp_path, "moved.example"), blockers(tmp_path, "a.example")) == ({"a"}, set())


def test_local_files_are_noticed(tmp_path: Path) -> None:
    """A list that is replaced or written over goes live within seconds, without being asked for."""
    source = tmp_path / "list"
    source.write_bytes(b"one.example\n")
    state_dir = tmp_path / "state"
    with FeedsProcess(configuration(state_dir, Feed(name="local", url=source.as_uri()))) as process:
        process.first()
        (tmp_path / "new").write_bytes(b"one.example\ntwo.example\n")
        (tmp_path / "new").rename(source)
        process.wait(lambda status: status.entries == 2)
        with source.open("ab") as file:
            file.write(b"three.example\n")
        process.wait(lambda status: status.entries == 3)
        assert blockers(state_dir, "three.example") == {"local"}


@pytest.mark.long
def test_directories_are_noticed(tmp_path: Path) -> None:
    """A file that comes, and one that goes, change what is live, without being asked for."""
    lists, state_dir = tmp_path / "lists", tmp_path / "state"
    lists.mkdir()
    (lists / "one").write_bytes(b"one.example\n")
    with FeedsProcess(configuration(state_dir, Feed(name="local", url=lists.as_uri()))) as process:
        process.first()
        (lists / "two").write_bytes(b"0.0.0.0 two.example\n")
        process.wait(lambda status: status.entries == 2)
        (lists / "one").unlink()
        process.wait(lambda status: status.entries == 1)
        assert (blockers(state_dir, "one.example"), blockers(state_dir, "two.example")) == (set(), {"local"})


@pytest.mark.parametrize("how", ["SIGTERM", "end of the channel"])
def test_it_leaves_at_once(server: FeedServer, tmp_path: Path, how: str) -> None:
    """Whatever a server makes it wait for: exit code 0, in a moment, and Ctrl-C alone does not end it."""
    server.pages["/list"] = feedserver.hang
    with FeedsProcess(configuration(tmp_path, Feed(name="sample", url=server.url("/list"), timeout_s=600))) as process:
        process.wait(lambda status: bool(status.feeds))
        process.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert process.process.poll() is None
        began = time.monotonic()
        if how == "SIGTERM":
            assert process.end() == 0
        else:
            process.channel.close()
            assert process.gone() == 0
        assert time.monotonic() - began < WITHIN_S
    assert not any("Traceback" in line for line in process.log), process.log


@pytest.mark.long
def test_a_killed_child_changes_nothing(server: FeedServer, tmp_path: Path) -> None:
    """The process that parses is killed with -9: the error says so, the old list blocks, and the next attempt succeeds."""
    server.serve("/list", b"bad.example\n")
    with FeedsProcess(configuration(tmp_path, Feed(name="sample", url=server.url("/list"), max_growth=1e6))) as process:
        before = process.first()
        server.serve("/list", names(300_000))
        asked_s = process.ask()
        os.kill(process.child(), signal.SIGKILL)
        status = process.wait(lambda status: status.feeds["sample"].last_attempt_s >= asked_s)
        assert "it was killed" in status.feeds["sample"].last_error
        assert status.generation == before.generation
        assert blockers(tmp_path, "bad.example") == {"sample"}
        left = {path.suffix for path in (tmp_path / "feeds" / "sample").iterdir()}
        assert left == {".json", ".backup", ".raw", ".parsed"}
        assert len(list((tmp_path / "feeds" / "sample").iterdir())) == 6  # two records, each twice, the list and its entries
        assert process.update().entries == 300_000
        assert not blockers(tmp_path, "bad.example")
        assert int(Path(f"/proc/{process.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") < 120e6


@pytest.mark.long
def test_a_kill_at_any_moment_leaves_everything_whole(server: FeedServer, tmp_path: Path) -> None:
    """The process itself is killed with -9, again and again, while it fetches, parses, compiles and publishes.

    Each time the live blockset verifies and is that of a whole list, the copy on disk is the list that its record says, and no
    child stays behind.
    """
    draw = random.Random(1)
    lists = [names(20_000, seed) for seed in range(2)]
    markers = [content.split(b"\n", 1)[0].decode() for content in lists]
    feed = Feed(name="sample", url=server.url("/list"))
    server.serve("/list", lists[0])
    config = configuration(tmp_path, feed)
    with FeedsProcess(config) as process:
        process.first()
    generation = 0
    for turn in range(1, 9):
        server.serve("/list", lists[turn % 2])
        with FeedsProcess(config) as process:
            process.wait(lambda status: bool(status.feeds))
            process.ask()
            time.sleep(draw.uniform(0, 1))
            children = Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()
            process.end(signal.SIGKILL)
        blockset = live(tmp_path)
        assert blockset.generation >= generation
        generation = blockset.generation
        assert blockset.entries == 20_000
        assert any(blockers(tmp_path, marker) for marker in markers)
        copy = kept(tmp_path, feed)
        assert copy is not None
        assert hashlib.sha256((tmp_path / "feeds" / "sample" / copy.raw).read_bytes()).hexdigest() == copy.sha256
        give_up = time.monotonic() + WITHIN_S
        while any(alive(int(pid)) for pid in children):
            assert time.monotonic() < give_up
            time.sleep(0.01)
    with FeedsProcess(config) as process:
        process.first()
        process.update()
    assert blockers(tmp_path, markers[0]) == {"sample"}
    leftovers = [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp") or path.name.startswith((".", "candidate"))]
    assert not leftovers


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(directory)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs root to mount a small file system")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


@pytest.mark.long
@pytest.mark.parametrize(
    ("room_bytes", "full"),
    [(300_000, "feeds/sample"), (800_000, "feeds/sample"), (1_200_000, "blocksets")],
    ids=["for the list", "for its entries", "for the blockset"],
)
def test_a_full_disk_changes_nothing(server: FeedServer, small_disk: Path, room_bytes: int, full: str) -> None:
    """No space: the error says what to do, the old list blocks, nothing half-made stays; with room, all goes on."""
    server.serve("/list", b"bad.example\n")
    with FeedsProcess(configuration(small_disk, Feed(name="sample", url=server.url("/list"), max_growth=1e6))) as process:
        before = process.first()
        new = names(20_000)
        server.serve("/list", new)
        disk = os.statvfs(small_disk)
        (small_disk / "ballast").write_bytes(bytes(disk.f_bavail * disk.f_frsize - room_bytes))
        status = process.update()
        assert f"no space left in {small_disk / full}: make room there" in status.feeds["sample"].last_error
        assert status.generation == before.generation
        assert blockers(small_disk, "bad.example") == {"sample"}
        assert not [path for path in small_disk.rglob("*") if path.name.startswith(".") or path.name.endswith(".tmp")]
        (small_disk / "ballast").unlink()
        status = process.update()
        assert status.feeds["sample"].last_error == ""
        assert status.entries == 20_000


def test_a_configuration_that_cannot_be_read_is_ignored(server: FeedServer, tmp_path: Path) -> None:
    """Rubbish on the channel leaves the configuration before in force."""
    server.serve("/list", b"bad.example\n")
    with FeedsProcess(configuration(tmp_path, Feed(name="sample", url=server.url("/list")))) as process:
        process.first()
        fd = os.memfd_create("rubbish")
        os.write(fd, b'{"upstream": 1}')
        process.channel.send(Configure(2, "pdns.toml"), [fd])
        process.channel.send(Configure(3, "pdns.toml"))
        os.close(fd)
        assert process.update().feeds["sample"].loaded


def test_the_last_of_many_configurations_counts(server: FeedServer, tmp_path: Path) -> None:
    """A burst of reloads ends with the last one."""
    feeds = [Feed(name=f"feed{number}", url=server.url(f"/{number}")) for number in range(10)]
    for number in range(10):
        server.serve(f"/{number}", f"{number}.example\n".encode())
    with FeedsProcess(configuration(tmp_path, feeds[0])) as process:
        for feed in feeds:
            process.configure(configuration(tmp_path, feed))
        process.configure(
            msgspec.structs.replace(configuration(tmp_path, *feeds[3:5]), upstream=Upstream(servers=("udp://127.0.0.1:9",)))
        )
        status = process.wait(
            lambda status: list(status.feeds) == ["feed3", "feed4"] and all(f.loaded for f in status.feeds.values())
        )
        assert status.entries == 2
        assert set(live(tmp_path).feeds) == {"feed3", "feed4"}
