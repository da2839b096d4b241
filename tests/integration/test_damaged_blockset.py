"""The live blockset, or the files that it is made of, are damaged or gone: what feeds list stays blocked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread, feed

pytestmark = pytest.mark.long

LISTED = ("bad.example", "worse.example")


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread() as upstream:
        yield upstream


@pytest.mark.parametrize("how", ["truncated", "overwritten"])
@pytest.mark.parametrize("required", [True, False])
def test_a_live_blockset_that_is_damaged_is_made_anew(tmp_path: Path, upstream: UpstreamThread, how: str, required: bool) -> None:
    """Its files are cut short or overwritten where they are: no worker dies, every name stays blocked, and a new blockset is live
    within seconds.
    """
    config = {"upstream": {"servers": [upstream.address]}, "feed": [feed(tmp_path, "bad", *LISTED, required=required)]}
    with RunningPdns(tmp_path, config) as pdns:
        pdns.wait_for(lambda: pdns.addresses(LISTED[0]) == [SINKHOLE], "blocked")
        workers, generation = pdns.worker_pids, pdns.value("blockset_generation")
        for path in sorted((pdns.state_dir / "blocksets" / "current").resolve().iterdir()):
            size = path.stat().st_size
            with path.open("r+b") as file:
                if how == "truncated":
                    file.truncate(0)
                else:
                    file.write(b"\xa5" * size)
        until_s = time.monotonic() + 120
        while time.monotonic() < until_s and pdns.value("blockset_generation") <= generation:
            for number in range(20):
                assert pdns.addresses(f"x{number}.{LISTED[number % 2]}") == [SINKHOLE]
                assert pdns.rcode(f"fine{number}.example.net") == "NOERROR"
        assert pdns.value("blockset_generation") > generation
        assert pdns.worker_pids == workers
        pdns.wait_for_log("is damaged on the disk and is made anew")


def test_without_a_blockset_it_is_not_ready(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A feed is configured and none of it is in force: /readyz says so, though clients are answered: the feed is not required."""
    config = {
        "upstream": {"servers": [upstream.address]},
        "feed": [{"name": "gone", "url": (tmp_path / "gone").as_uri(), "required": False}],
    }
    with RunningPdns(tmp_path, config, ready=False) as pdns:
        assert pdns.rcode("www.example.net") == "NOERROR"
        status, text = pdns.get("/readyz")
        assert (status, text) == (503, "no blockset: nothing that feeds list is blocked\n")
        assert pdns.value("ready") == 0


def test_a_worker_that_dies_gets_the_same_blockset_again(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Also when nothing of it is left on the disk."""
    config = {"server": {"workers": 1}, "upstream": {"servers": [upstream.address]}, "feed": [feed(tmp_path, "bad", *LISTED)]}
    with RunningPdns(tmp_path, config) as pdns:
        os.kill(pdns.feeds_pid, signal.SIGSTOP)
        try:
            for path in (pdns.state_dir / "blocksets" / "current").resolve().iterdir():
                path.unlink()
            before = pdns.kill_worker()
            pdns.wait_for(lambda: pdns.worker_pid not in (0, before), "another worker")
            assert pdns.addresses(LISTED[0]) == [SINKHOLE]
        finally:
            os.kill(pdns.feeds_pid, signal.SIGCONT)


def test_the_generation_before_is_used_until_a_new_one_is_made(tmp_path: Path, upstream: UpstreamThread) -> None:
    """The live blockset is damaged while the program is stopped: at the start the one before blocks, then a new one."""
    path = tmp_path / "bad.txt"
    config = {"upstream": {"servers": [upstream.address]}, "feed": [feed(tmp_path, "bad", *LISTED)]}
    with RunningPdns(tmp_path, config) as pdns:
        path.write_text("".join(f"{name}\n" for name in (*LISTED, "third.example")))
        pdns.wait_for(lambda: pdns.addresses("third.example") == [SINKHOLE], "the second generation")
        pdns.stop()
        names = (pdns.state_dir / "blocksets" / "current").resolve() / "names.bin"
        os.truncate(names, names.stat().st_size // 2)
        pdns.start()
        assert pdns.addresses(LISTED[0]) == [SINKHOLE]
        pdns.wait_for(lambda: pdns.addresses("third.example") == [SINKHOLE], "the third generation")
        pdns.wait_for_log("is used until")
        pdns.wait_for(lambda: pdns.get("/readyz") == (200, "ok\n"), "/readyz")


@pytest.mark.parametrize("running", [True, False], ids=["while running", "while stopped"])
def test_no_name_is_lost_with_the_files_of_a_feed(tmp_path: Path, upstream: UpstreamThread, running: bool) -> None:
    """Record, second copy, list and entries of the only feed are removed, and its source is away: its names stay blocked, also
    when another feed is taken up; the log, /readyz, a metric and the command line say so until the source is back.
    """
    listed, other = feed(tmp_path, "listed", *LISTED), feed(tmp_path, "other", "other.example")
    source = tmp_path / "listed.txt"
    sections = {"upstream": {"servers": [upstream.address]}}
    with RunningPdns(tmp_path, {**sections, "feed": [listed]}) as pdns:
        if not running:
            pdns.stop()
        content = source.read_bytes()
        source.unlink()
        for path in (pdns.state_dir / "feeds" / "listed").iterdir():
            path.unlink()
        if not running:
            pdns.start()
        command = [sys.executable, "-m", "pdns", "feeds", "update", "-c", str(pdns.config_path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        assert subprocess.run(command, capture_output=True, timeout=60, env=environment, check=False).returncode == 1
        pdns.write_config({**sections, "feed": [listed, other]})
        pdns.wait_for(lambda: pdns.addresses("other.example") == [SINKHOLE], "the other feed")
        assert [pdns.addresses(name) for name in LISTED] == [[SINKHOLE], [SINKHOLE]]
        said = "its names stay blocked from the blockset until the source answers again"
        pdns.wait_for_log(f"feed listed: its files are lost: {said}")
        pdns.wait_for(lambda: pdns.value("feed_lost", feed="listed") == 1, "the metric")
        assert "feed listed: its files are lost" in pdns.get("/readyz")[1]
        command[4:5] = ["status"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
        assert f"listed: its files are lost: {said}" in done.stdout
        source.write_bytes(content + b"third.example\n")
        pdns.wait_for(lambda: pdns.addresses("third.example") == [SINKHOLE], "the source")
        pdns.wait_for(lambda: pdns.value("feed_lost", feed="listed") == 0, "the metric")
        assert pdns.value("feed_lost", feed="other") == 0
