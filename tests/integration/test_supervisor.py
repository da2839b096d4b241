"""The processes of `pdns serve`: how they start, what survives whose death."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import dns.edns
import dns.exception
import pytest

from pdns.version import VERSION
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread, feed, is_running
from tests.integration.serving import ONE_WORKER, UPSTREAM_SAYS, config, run_serve, serving_upstream


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with serving_upstream() as thread:
        yield thread


# Start.


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_it_answers_blocks_and_says_so(tmp_path: Path, upstream: UpstreamThread, loop: str) -> None:
    """On either loop, over UDP and TCP: listed names get the sinkhole, others the upstream's answer, and both are counted."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, **ONE_WORKER), environment={"PDNS_LOOP": loop}) as pdns:
        for tcp in (False, True):
            assert pdns.addresses("www.malware.test", tcp=tcp) == [SINKHOLE]
            assert pdns.addresses("www.example.net", tcp=tcp) == [UPSTREAM_SAYS]
        assert pdns.value("queries_total", transport="udp", qtype="A") == 2
        assert pdns.value("queries_total", transport="tcp", qtype="A") == 2
        assert pdns.value("blocked_total", feed="listed", action="sinkhole") == 2
        pdns.wait_for_value(1, "responses_total", source="upstream")
        pdns.wait_for_value(2, "query_duration_seconds_count", source="blocked")
        pdns.wait_for_value(2, "feed_entries", feed="listed")
        assert pdns.value("ready") == 1


def test_the_banner_says_what_runs(tmp_path: Path, upstream: UpstreamThread) -> None:
    """What it prints names the addresses, the upstream, how many names are blocked, the metrics page and a command to try."""
    listen = {"server": {"listen": ["127.0.0.1:0", "[::1]:0"]}}
    with RunningPdns(tmp_path, config(tmp_path, upstream, **listen)) as pdns:
        assert pdns.stop() == 0
        pdns.start()  # with a blockset from before, which it need not wait for
        said = dict(re.findall(r"^  (\S.*?)  +(.*)$", pdns.output, re.MULTILINE))
        assert re.fullmatch(r"127\.0\.0\.1:\d+, \[::1\]:\d+ \(UDP and TCP\)", said["listens on"])
        assert said["answers with"] == "2 workers"
        assert said["forwards to"] == upstream.address
        assert said["blocks"] == "2 names of 1 feed"
        assert said["metrics"] == f"http://127.0.0.1:{pdns.metrics_port}/metrics"
        assert said["try"] == f"dig @127.0.0.1 -p {pdns.dns_port} example.com"
        assert "\x1b" not in pdns.output
        assert pdns.output.startswith(f"pdns {VERSION}\n")
        done = subprocess.run(["sh", "-c", said["explain"]], capture_output=True, text=True, cwd=ROOT, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "example.com" in done.stdout


@pytest.mark.long
def test_one_server_for_a_state_directory(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A second one on the same state directory says who has it, and exits 2; the first goes on."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        second = run_serve(tmp_path, pdns.config_path)
        assert second.returncode == 2
        assert f"state.dir: {pdns.state_dir} is in use by another pdns serve (process {pdns.pid})" in second.stderr
        assert f"to stop it, `kill {pdns.pid}`" in second.stderr
        assert pdns.addresses("malware.test") == [SINKHOLE]


def test_an_address_in_use_is_said_plainly(tmp_path: Path) -> None:
    """When the port is taken, it says which, and exits 1 with no process left behind."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        pdns = RunningPdns(tmp_path, {"server": {"listen": [f"127.0.0.1:{port}"]}})
        done = run_serve(tmp_path, pdns.config_path)
    assert done.returncode == 1
    assert f"127.0.0.1:{port} (UDP): address already in use" in done.stderr
    assert done.stdout == ""


def test_a_configuration_that_cannot_be_used_is_said_plainly(tmp_path: Path) -> None:
    """A mistake in the file is named by file, key and reason, with exit code 2 as for `pdns check`."""
    path = tmp_path / "pdns.toml"
    path.write_text('[upstream]\nservers = ["udp://192.0.2.53"]\n[server]\ndrain_s = "soon"\n')
    done = run_serve(tmp_path, path)
    assert done.returncode == 2
    assert f"{path}: server.drain_s: expected" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_not_ready_until_required_feeds_are_loaded(tmp_path: Path, upstream: UpstreamThread) -> None:
    """While a required feed is missing, queries get SERVFAIL and /readyz says which; when it comes, all is well."""
    missing = {"name": "late", "url": (tmp_path / "late.txt").as_uri(), "required": True, "refresh_s": 30}
    with RunningPdns(tmp_path, config(tmp_path, upstream, feed=[missing]), ready=False) as pdns:
        status, text = pdns.get("/readyz")
        assert status == 503
        assert text.startswith("feed late: required, not loaded")
        assert pdns.get("/healthz") == (200, "ok\n")
        assert pdns.rcode("www.example.net") == "SERVFAIL"
        assert pdns.value("ready") == 0
        assert pdns.value("feed_loaded", feed="late") == 0
        assert "not loaded yet: late" in pdns.output
        said = "feed late: required, not loaded, so queries get SERVFAIL"
        assert re.search(rf"^  NOT READY +{said}", pdns.output, re.MULTILINE)
        reason = re.compile(rf"not ready: {said}: \S+/late.txt: No such file or directory")
        pdns.wait_for(lambda: reason.search(pdns.log) is not None, "the reason in the log")
        (error,) = [option for option in pdns.ask("www.example.net").options if isinstance(option, dns.edns.EDEOption)]
        assert (error.code, error.text) == (14, "required feeds are not loaded yet: late")
        (tmp_path / "late.txt").write_text("malware.test\n")
        pdns.wait_for(lambda: pdns.get("/readyz") == (200, "ok\n"), "/readyz")
        assert pdns.addresses("malware.test") == [SINKHOLE]
        assert pdns.addresses("www.example.net") == [UPSTREAM_SAYS]


def test_a_restart_blocks_from_its_first_answer(tmp_path: Path, upstream: UpstreamThread) -> None:
    """With a blockset on the disk, even a feed that is not required is in force before the first query is read."""
    listed = feed(tmp_path, "optional", "bad.example.net", required=False)
    with RunningPdns(tmp_path, config(tmp_path, upstream, feed=[listed])) as pdns:
        pdns.wait_for(lambda: pdns.addresses("bad.example.net") == [SINKHOLE], "blocked")
        assert pdns.stop() == 0
        asked = len(upstream.names)
        (tmp_path / "optional.txt").unlink()
        pdns.start()
        assert pdns.addresses("bad.example.net") == [SINKHOLE]
        assert len(upstream.names) == asked


def test_a_worker_that_cannot_run_is_said_plainly(tmp_path: Path) -> None:
    """What only the worker can find wrong with the configuration ends the start with file, key and reason."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate\n")
    pdns = RunningPdns(tmp_path, {"upstream": {"servers": ["tls://192.0.2.53#dns.example.net"], "ca_file": str(bundle)}})
    done = run_serve(tmp_path, pdns.config_path)
    assert done.returncode in {1, 2}
    assert f"{pdns.config_path}: upstream.ca_file: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_a_worker_that_never_starts_ends_the_start(tmp_path: Path, upstream: UpstreamThread) -> None:
    """After three deaths before any answer, serve gives up with exit code 1, leaving what the worker said in the log."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nif 'pdns.worker' in sys.orig_argv: sys.exit('out of order')\n")
    pdns = RunningPdns(tmp_path, config(tmp_path, upstream, **ONE_WORKER))
    done = run_serve(tmp_path, pdns.config_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 1
    assert done.stderr.count("SystemExit: out of order") == 3
    assert "pdns serve: worker0 does not start" in done.stderr


# Pages.


def test_pages(tmp_path: Path, upstream: UpstreamThread) -> None:
    """There are four pages, for reading only; /metrics speaks OpenMetrics to who asks for it."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        assert pdns.get("/healthz") == (200, "ok\n")
        assert pdns.get("/readyz") == (200, "ok\n")
        assert "/metrics" in pdns.get("/")[1]
        assert pdns.get("/metrics", accept="application/openmetrics-text")[1].endswith("# EOF\n")
        assert pdns.get("/metrics", method="HEAD") == (200, "")
        assert pdns.get("/metrics", method="POST")[0] == 405
        assert pdns.get("/config")[0] == 404


# Death of a child.


def test_a_killed_worker_is_replaced_and_nothing_queued_is_lost(tmp_path: Path, upstream: UpstreamThread) -> None:
    """After kill -9 the replacement answers what was sent while no process read the socket; counts go on where they were."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, **ONE_WORKER)) as pdns:
        for _ in range(5):
            pdns.ask("malware.test")
        first = pdns.kill_worker()
        assert pdns.addresses("malware.test") == [SINKHOLE]
        assert pdns.addresses("malware.test", tcp=True) == [SINKHOLE]
        pdns.wait_for(lambda: pdns.get("/readyz")[0] == 200, "/readyz")
        assert pdns.worker_pid != first
        assert pdns.value("queries_total") == 7
        assert pdns.value("worker_restarts_total") == 1
        pdns.wait_for_log("worker0 (process ")
        pdns.wait_for_log("was killed by SIGKILL")


@pytest.mark.realtime
@pytest.mark.long
def test_a_worker_that_keeps_dying_is_started_ever_more_slowly(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Killed again and again, it comes back at once, then after 0.1 s, then 0.5 s; and it does come back."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, **ONE_WORKER)) as pdns:
        for number in range(1, 4):
            pdns.kill_worker()
            pdns.wait_for_log("worker0 started", times=number + 1)
        died = [at_s for at_s, text in pdns.log_lines() if "was killed by SIGKILL" in text]
        started = [at_s for at_s, text in pdns.log_lines() if "worker0 started" in text]
        pauses = [start - death for death, start in zip(died, started[1:], strict=True)]
        assert pauses[0] < pauses[2]
        assert pauses[1] >= 0.09
        assert pauses[2] >= 0.49
        assert pdns.addresses("malware.test") == [SINKHOLE]


@pytest.mark.realtime
@pytest.mark.long
def test_a_hung_worker_is_replaced(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A lone worker that stands still makes /healthz say so, is killed after three seconds, and its replacement answers."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, **ONE_WORKER)) as pdns:
        hung = pdns.kill_worker(signal.SIGSTOP)
        pdns.wait_for(lambda: pdns.get("/healthz")[0] == 503, "/healthz")
        assert "worker0: no sign of life" in pdns.get("/readyz")[1]
        assert pdns.addresses("malware.test") == [SINKHOLE]
        pdns.wait_for_log("worker0 has given no sign of life for 3 s")
        assert not is_running(hung)
        pdns.wait_for(lambda: pdns.get("/healthz")[0] == 200, "/healthz")


@pytest.mark.long
def test_a_supervisor_that_stood_still_itself_kills_nobody(tmp_path: Path, upstream: UpstreamThread) -> None:
    """When the whole group is stopped for a while and goes on, the worker is not taken for hung."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        workers = pdns.worker_pids
        for pid in (pdns.pid, *workers):
            os.kill(pid, signal.SIGSTOP)
        time.sleep(4.0)
        for pid in (pdns.pid, *workers):
            os.kill(pid, signal.SIGCONT)
        assert pdns.addresses("malware.test") == [SINKHOLE]
        assert pdns.worker_pids == workers


@pytest.mark.long
def test_a_dead_feeds_process_is_replaced_and_changes_no_answer(tmp_path: Path, upstream: UpstreamThread) -> None:
    """While feeds are dead every query is answered as before; the replacement takes up new content."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        first = pdns.feeds_pid
        os.kill(first, signal.SIGKILL)
        for _ in range(20):
            assert pdns.addresses("malware.test") == [SINKHOLE]
        pdns.wait_for(lambda: pdns.feeds_pid not in (0, first), "replacement")
        (tmp_path / "listed.txt").write_text("malware.test\nnew.test\n")
        pdns.wait_for(lambda: pdns.addresses("new.test") == [SINKHOLE], "new content")
        pdns.wait_for_value(1, "feeds_restarts_total")
        assert pdns.value("worker_restarts_total") == 0


@pytest.mark.long
def test_a_damaged_blockset_is_not_used(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A blockset whose bytes are not those of its manifest is reported and counted; the one before goes on blocking."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        generation = pdns.value("blockset_generation")
        blocksets = pdns.state_dir / "blocksets"
        bad = blocksets / "999999"
        subprocess.run(["cp", "-r", str((blocksets / "current").resolve()), str(bad)], check=True)
        names = bad / "names.bin"
        names.write_bytes(names.read_bytes()[:-1] + b"\xff")
        (blocksets / "next").symlink_to("999999")
        (blocksets / "next").replace(blocksets / "current")
        pdns.wait_for(lambda: pdns.value("blockset_rejected_total") == 1, "rejected")
        assert pdns.value("blockset_generation") in (generation, 1_000_000)
        assert pdns.addresses("malware.test") == [SINKHOLE]
        pdns.wait_for_log("999999: not used")
        pdns.wait_for(lambda: pdns.value("blockset_generation") == 1_000_000, "a new one, made by the feeds process")


def test_the_service_manager_is_told_what_is_missing(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Its STATUS says why a start is not ready, with the feed and the reason, and that it is ready once the feed is there."""
    missing = {"name": "late", "url": (tmp_path / "late.txt").as_uri(), "required": True, "refresh_s": 30}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(120)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with RunningPdns(tmp_path, config(tmp_path, upstream, feed=[missing]), environment=environment, ready=False):
            said = manager.recv(1000).decode()
            assert said.startswith("READY=1\nSTATUS=not ready: feed late: required, not loaded, so queries get SERVFAIL")
            (tmp_path / "late.txt").write_text("malware.test\n")
            while said != "STATUS=ready: queries are answered":
                said = manager.recv(1000).decode()


@pytest.mark.long
def test_the_service_manager_is_told(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Under systemd, READY=1 comes once queries are answered, STOPPING=1 when the end begins."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(120)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "JOURNAL_STREAM": "8:1"}
        with RunningPdns(tmp_path, config(tmp_path, upstream), environment=environment) as pdns:
            said = manager.recv(1000)
            assert said.startswith(b"READY=1\nSTATUS=")
            while not said.endswith(b"STATUS=ready: queries are answered"):
                said = manager.recv(1000)
            assert pdns.stop() == 0
            assert manager.recv(1000) == b"STOPPING=1"
            assert re.search(r"^<6>supervisor: stopping", pdns.log, re.MULTILINE)
