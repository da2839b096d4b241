"""The real program on file systems that are full, read-only or missing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.upstream import answer
from tests.integration.onemachine import UPSTREAM_SAYS, answers_within, config, need_root
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread(answer()) as thread:
        yield thread


@pytest.mark.long
def test_without_procfs(tmp_path: Path, upstream: UpstreamThread) -> None:
    """/proc is an empty directory: what is read from there is not needed to answer."""
    need_root()
    hide = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro none /proc && exec "$@"', "sh"]
    with RunningPdns(tmp_path, config(tmp_path, upstream), through=hide) as pdns:
        assert SINKHOLE in pdns.ask("listed.test").answer[0].to_text()
        assert pdns.get("/metrics")[0] == 200
        assert pdns.stop() == 0


@pytest.mark.long
def test_a_root_file_system_that_is_read_only(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Nothing is written but below the state directory."""
    need_root()
    read_only = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$0" && mount -o remount,ro,bind / && exec "$@"']
    through = [*read_only, str(tmp_path)]
    with RunningPdns(tmp_path, config(tmp_path, upstream), through=through) as pdns:
        assert SINKHOLE in pdns.ask("listed.test").answer[0].to_text()
        assert pdns.stop() == 0


SMALL_STATE = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=2m none "$0" && exec "$@"']


@pytest.mark.long
def test_a_state_directory_that_becomes_full(tmp_path: Path, upstream: UpstreamThread) -> None:
    """What is in force stays, also in a worker that is new; the feed says why it is not updated, and is once there is room."""
    need_root()
    state = tmp_path / "state"
    state.mkdir()
    sections = config(tmp_path, upstream, feed=[feed(tmp_path, "listed", "listed.test")])
    with RunningPdns(tmp_path, sections, through=[*SMALL_STATE, str(state)]) as pdns:
        answers_within(pdns, "listed.test", SINKHOLE)
        inside = ["nsenter", "-t", str(pdns.pid), "-m", "sh", "-c"]
        fill = 'cat /dev/zero > "$0/filler"; test -s "$0/filler"'
        subprocess.run([*inside, fill, str(state)], check=True, capture_output=True)
        (tmp_path / "listed.txt").write_text("".join(f"n{number}.later.org\n" for number in range(2000)) + "listed.test\n")
        pdns.wait_for_log(f"feed listed: no space left in {state}")
        pdns.kill_worker()
        answers_within(pdns, "listed.test", SINKHOLE)
        assert UPSTREAM_SAYS in pdns.ask("example.com").answer[0].to_text()
        assert UPSTREAM_SAYS in pdns.ask("n7.later.org").answer[0].to_text()
        assert pdns.get("/healthz")[0] == 200
        assert pdns.get("/metrics")[0] == 200
        subprocess.run([*inside, 'rm "$0/filler"', str(state)], check=True)
        (tmp_path / "listed.txt").write_text("n7.later.org\nlisted.test\n")  # tried at once; the failed one is tried again later
        answers_within(pdns, "n7.later.org", SINKHOLE)
        assert pdns.stop() == 0


@pytest.mark.long
def test_a_state_directory_that_is_full_from_the_start(tmp_path: Path, upstream: UpstreamThread) -> None:
    """It answers, says why no feed is loaded, and loads them once there is room."""
    need_root()
    state = tmp_path / "state"
    state.mkdir()
    through = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=4k "$0" "$0" && exec "$@"', str(state)]
    sections = config(tmp_path, upstream, feed=[feed(tmp_path, "listed", "listed.test", required=False)])
    with RunningPdns(tmp_path, sections, through=through, ready=False) as pdns:
        pdns.wait_for_log(f"feed listed: no space left in {state}")
        assert UPSTREAM_SAYS in pdns.ask("example.com").answer[0].to_text()
        assert pdns.get("/healthz")[0] == 200
        subprocess.run(["nsenter", "-t", str(pdns.pid), "-m", "mount", "-o", "remount,size=4m", state], check=True)
        (tmp_path / "listed.txt").write_text("listed.test\nanother.test\n")
        answers_within(pdns, "another.test", SINKHOLE)
        assert pdns.stop() == 0


@pytest.mark.long
def test_a_state_directory_that_is_read_only_from_the_start(tmp_path: Path, upstream: UpstreamThread) -> None:
    """It does not start, and names the directory."""
    need_root()
    state = tmp_path / "state"
    state.mkdir()
    through = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro none "$0" && exec "$@"', str(state)]
    pdns = RunningPdns(tmp_path, config(tmp_path, upstream), through=through)
    pdns.launch()
    assert pdns.wait() == 2
    assert f"state.dir: {state}: read-only file system" in pdns.log
    assert "Traceback" not in pdns.log
