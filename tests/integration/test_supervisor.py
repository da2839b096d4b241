"""The processes of `pdns serve`: how they start, what survives whose death, how they end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.edns
import dns.exception
import pytest

from loadtest.loopback import free_port
from pdns.version import VERSION
from tests.fakes.upstream import answer, by_name, delayed, drop
from tests.integration.running import ROOT, SINKHOLE, RunningPdns, UpstreamThread, feed, is_running

UPSTREAM_SAYS = "192.0.2.7"
ONE_WORKER = {"server": {"workers": 1}}


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    handler = by_name({"slow.example.net": delayed(answer(), 0.7), "never.example.net": drop}, answer(ttl_s=1))
    with UpstreamThread(handler) as thread:
        yield thread


def config(tmp_path: Path, upstream: UpstreamThread, **sections: Any) -> dict[str, Any]:
    return {
        "upstream": {"servers": [upstream.address], "timeout_s": 3.0},
        "feed": [feed(tmp_path, "listed", "malware.test", "phishing.test")],
        **sections,
    }


def run_serve(directory: Path, config_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pdns", "serve", "-c", str(config_path)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_until_gone(pids: list[int]) -> None:
    until_s = time.monotonic() + 60.0
    while any(map(is_running, pids)):
        assert time.monotonic() < until_s, "they outlive the supervisor"
        time.sleep(0.02)


def accepts(host: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


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
        assert pdns.value("responses_total", source="upstream") == 1
        assert pdns.value("query_duration_seconds_count", source="blocked") == 2
        assert pdns.value("feed_entries", feed="listed") == 2
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
    """After kill -9 the next query, sent while nobody reads, is answered by the replacement; counts go on where they were."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, **ONE_WORKER)) as pdns:
        for _ in range(5):
            pdns.ask("malware.test")
        first = pdns.kill_worker()
        assert pdns.addresses("malware.test", timeout_s=10) == [SINKHOLE]
        assert pdns.addresses("malware.test", tcp=True, timeout_s=10) == [SINKHOLE]
        pdns.wait_for(lambda: pdns.get("/readyz")[0] == 200, "/readyz")
        assert pdns.worker_pid != first
        assert pdns.value("queries_total") == 7
        assert pdns.value("worker_restarts_total") == 1
        assert "worker0 (process " in pdns.log
        assert "was killed by SIGKILL" in pdns.log


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
        assert pdns.addresses("malware.test", timeout_s=10) == [SINKHOLE]


@pytest.mark.long
def test_a_hung_worker_is_replaced(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A lone worker that stands still makes /healthz say so, is killed after three seconds, and its replacement answers."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, **ONE_WORKER)) as pdns:
        hung = pdns.kill_worker(signal.SIGSTOP)
        pdns.wait_for(lambda: pdns.get("/healthz")[0] == 503, "/healthz")
        assert "worker0: no sign of life" in pdns.get("/readyz")[1]
        assert pdns.addresses("malware.test", timeout_s=20) == [SINKHOLE]
        assert "worker0 has given no sign of life for 3 s" in pdns.log
        assert not is_running(hung)
        assert pdns.get("/healthz")[0] == 200


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
        assert pdns.value("feeds_restarts_total") == 1
        assert pdns.value("worker_restarts_total") == 0


@pytest.mark.long
@pytest.mark.parametrize("worker_state", ["running", "hung"])
def test_children_end_with_a_killed_supervisor(tmp_path: Path, upstream: UpstreamThread, worker_state: str) -> None:
    """SIGKILL for the supervisor leaves no process, not even a hung one; the ports are free for the next start."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        children = [*pdns.worker_pids, pdns.feeds_pid]
        if worker_state == "hung":
            pdns.kill_worker(signal.SIGSTOP)
        pdns.kill()
        wait_until_gone(children)
        pdns.write_config(config(tmp_path, upstream, server={"listen": [f"127.0.0.1:{pdns.dns_port}"]}))
        pdns.start()
        assert pdns.addresses("malware.test") == [SINKHOLE]


@pytest.mark.long
def test_a_damaged_blockset_is_not_used(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A blockset whose bytes are not those of its manifest is reported and counted; the one before goes on blocking."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        generation = pdns.value("blockset_generation")
        blocksets = pdns.state_dir / "blocksets"
        bad = blocksets / "999999"
        subprocess.run(["cp", "-r", str((blocksets / "current").resolve()), str(bad)], check=True)
        names = bad / "names.marisa"
        names.write_bytes(names.read_bytes()[:-1] + b"\xff")
        (blocksets / "next").symlink_to("999999")
        (blocksets / "next").replace(blocksets / "current")
        pdns.wait_for(lambda: pdns.value("blockset_rejected_total") == 1, "rejected")
        assert pdns.value("blockset_generation") in (generation, 1_000_000)
        assert pdns.addresses("malware.test") == [SINKHOLE]
        assert "999999: not used" in pdns.log
        pdns.wait_for(lambda: pdns.value("blockset_generation") == 1_000_000, "a new one, made by the feeds process")


# Reload.


@pytest.mark.parametrize("how", ["SIGHUP", "file"])
def test_a_new_configuration_goes_live(tmp_path: Path, upstream: UpstreamThread, how: str) -> None:
    """On SIGHUP, and when the file is seen to have changed: new action, new feed, same worker."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        workers = pdns.worker_pids
        before = pdns.scrape()
        feeds = [feed(tmp_path, "listed", "malware.test"), feed(tmp_path, "second", "second.test")]
        pdns.write_config(config(tmp_path, upstream, block={"action": "nxdomain"}, feed=feeds))
        if how == "SIGHUP":
            pdns.send_signal(signal.SIGHUP)
        pdns.wait_for(lambda: pdns.rcode("malware.test") == "NXDOMAIN", "new action")
        pdns.wait_for(lambda: pdns.rcode("second.test") == "NXDOMAIN", "new feed")
        assert pdns.worker_pids == workers
        after = pdns.scrape()
        assert [key for key in after if key[0] == "config_info"] != [key for key in before if key[0] == "config_info"]
        assert after["config_last_reload_successful", ()] == 1
        success = "config_last_reload_success_timestamp_seconds", ()
        assert after[success] > before[success]


@pytest.mark.long
def test_a_change_behind_a_symbolic_link_is_seen(tmp_path: Path, upstream: UpstreamThread) -> None:
    """As with a mounted ConfigMap: the file is a link through a link to a directory, and that one is swapped."""
    pdns = RunningPdns(tmp_path, config(tmp_path, upstream))
    for version, action in (("v1", "sinkhole"), ("v2", "nodata")):
        pdns.write_config(config(tmp_path, upstream, block={"action": action}))
        (tmp_path / version).mkdir()
        pdns.config_path.rename(tmp_path / version / "pdns.toml")
    (tmp_path / "data").symlink_to("v1")
    pdns.config_path.symlink_to("data/pdns.toml")
    with pdns:
        assert pdns.addresses("malware.test") == [SINKHOLE]
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").replace(tmp_path / "data")
        pdns.wait_for(lambda: pdns.addresses("malware.test") == [], "nodata")


@pytest.mark.long
def test_the_servers_of_the_machine_are_followed(tmp_path: Path) -> None:
    """A change of resolv.conf goes live by itself, without another worker."""
    resolv_conf = tmp_path / "resolv.conf"
    (tmp_path / "sitecustomize.py").write_text(
        f"from pathlib import Path\nimport pdns.config.system\npdns.machine.RESOLV_CONF = Path({str(resolv_conf)!r})\n"
    )
    resolv_conf.write_text("nameserver 127.0.0.2\n")
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    with RunningPdns(tmp_path, {"upstream": {"servers": ["system"]}}, environment=environment) as pdns:
        workers = pdns.worker_pids
        assert ("upstream_up", (("upstream", "udp://127.0.0.2:53"),)) in pdns.scrape()
        resolv_conf.write_text("nameserver 127.0.0.3\n")
        pdns.wait_for(lambda: ("upstream_up", (("upstream", "udp://127.0.0.3:53"),)) in pdns.scrape(), "the new server")
        resolv_conf.unlink()
        pdns.send_signal(signal.SIGHUP)
        pdns.wait_for(lambda: pdns.log.count("is live") == 2, "reload")
        assert ("upstream_up", (("upstream", "udp://127.0.0.3:53"),)) in pdns.scrape()
        assert pdns.worker_pids == workers


def test_a_bad_configuration_changes_nothing(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A mistake is logged with key and reason and shown by a metric; the old configuration stays, the next good one is taken."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        live = [key for key in pdns.scrape() if key[0] == "config_info"]
        pdns.write_config(config(tmp_path, upstream, block={"action": "explode"}))
        pdns.send_signal(signal.SIGHUP)
        pdns.wait_for(lambda: pdns.value("config_last_reload_successful") == 0, "refused")
        assert f"{pdns.config_path}: block.action: " in pdns.log
        assert [key for key in pdns.scrape() if key[0] == "config_info"] == live
        assert pdns.addresses("malware.test") == [SINKHOLE]
        pdns.write_config(config(tmp_path, upstream, block={"action": "nodata"}))
        pdns.wait_for(lambda: pdns.value("config_last_reload_successful") == 1, "taken")
        assert pdns.addresses("malware.test") == []


@pytest.mark.long
@pytest.mark.parametrize("key", ["server.listen", "metrics.listen", "upstream.ca_file"])
def test_what_only_shows_when_tried_changes_nothing_either(tmp_path: Path, upstream: UpstreamThread, key: str) -> None:
    """An address that is taken, or a file that the worker cannot use: the old configuration stays live as a whole."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text("no certificate\n")
    with socket.socket() as taken, RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        broken: dict[str, dict[str, Any]] = {
            "server.listen": {"server": {"listen": ["127.0.0.1:0", address]}},
            "metrics.listen": {"metrics": {"listen": address}},
            "upstream.ca_file": {"upstream": {"servers": ["tls://192.0.2.53#dns.test"], "ca_file": str(bundle)}},
        }
        pdns.write_config({**config(tmp_path, upstream), "block": {"action": "nodata"}, **broken[key]})
        pdns.send_signal(signal.SIGHUP)
        pdns.wait_for(lambda: pdns.value("config_last_reload_successful") == 0, "refused")
        assert key.split(".")[1] in pdns.log or address in pdns.log
        assert pdns.addresses("malware.test") == [SINKHOLE]
        assert pdns.value("worker_restarts_total") == 0
        assert pdns.value("upstream_up", upstream=upstream.address) == 1


def test_addresses_come_and_go(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A reload opens new addresses and closes those that are gone; the one that stays has no gap, to the wildcard and back."""
    port = free_port()
    with RunningPdns(tmp_path, config(tmp_path, upstream, server={"listen": [f"127.0.0.1:{port}", "127.0.0.2:0"]})) as pdns:
        stop = threading.Event()
        failures: list[Exception] = []

        def keep_asking() -> None:
            while not stop.is_set():
                try:
                    assert pdns.addresses("malware.test", timeout_s=2, port=port) == [SINKHOLE]
                except Exception as error:  # noqa: BLE001 (shown by the test)
                    failures.append(error)
                time.sleep(0.002)

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            for listen in ([f"127.0.0.1:{port}", "127.0.0.3:0"], [f"0.0.0.0:{port}"], [f"127.0.0.1:{port}"]):
                pdns.write_config(config(tmp_path, upstream, server={"listen": listen}))
                pdns.reload()
                assert pdns.addresses("malware.test", tcp=True, port=port) == [SINKHOLE]
        finally:
            stop.set()
            asking.join()
        assert failures == []
        assert accepts("127.0.0.1", port)
        pdns.wait_for(lambda: not accepts("127.0.0.4", port), "the wildcard is gone")


@pytest.mark.long
def test_the_pages_can_move(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A new metrics.listen is taken over; the old address is given up."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        port, old = free_port(), pdns.metrics_port
        pdns.write_config(config(tmp_path, upstream, metrics={"listen": f"127.0.0.1:{port}"}))
        pdns.send_signal(signal.SIGHUP)
        pdns.metrics_port = port
        pdns.wait_for(lambda: pdns.get("/healthz")[0] == 200, "new address")
        pdns.metrics_port = old
        assert pdns.get("/healthz")[0] == 0
        pdns.metrics_port = port


@pytest.mark.long
def test_what_needs_a_restart_is_said(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Another state.dir is reported and waits; everything else of that file is live."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        pdns.write_config(config(tmp_path, upstream, state={"dir": str(tmp_path / "elsewhere")}, block={"action": "nodata"}))
        pdns.send_signal(signal.SIGHUP)
        pdns.wait_for(lambda: pdns.addresses("malware.test") == [], "nodata")
        assert "state.dir: the change needs a restart" in pdns.log
        assert not (tmp_path / "elsewhere").exists()


@pytest.mark.long
def test_upstreams_that_are_gone_are_not_spoken_of(tmp_path: Path, upstream: UpstreamThread) -> None:
    """After a reload the new upstream is asked, what the old one was asked is still answered, and its gauge disappears."""
    with UpstreamThread(answer("192.0.2.8")) as second, RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        answers: list[list[str]] = []
        waiting = threading.Thread(target=lambda: answers.append(pdns.addresses("slow.example.net")))
        waiting.start()
        pdns.wait_for(lambda: "slow.example.net" in upstream.names, "asked")
        pdns.write_config({**config(tmp_path, upstream), "upstream": {"servers": [second.address], "timeout_s": 1.0}})
        pdns.send_signal(signal.SIGHUP)
        pdns.wait_for(lambda: pdns.value("upstream_up", upstream=second.address) == 1, "new upstream")
        assert pdns.addresses("fresh.example.net") == ["192.0.2.8"]
        waiting.join()
        assert answers == [[UPSTREAM_SAYS]]
        pdns.wait_for(lambda: ("upstream_up", (("upstream", upstream.address),)) not in pdns.scrape(), "forgotten")


# End.


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_answered_before_the_end(tmp_path: Path, upstream: UpstreamThread, sig: signal.Signals) -> None:
    """A query that waits for its upstream when the signal comes gets its answer, over UDP and TCP; then exit 0, nobody left."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        children = [*pdns.worker_pids, pdns.feeds_pid]
        answers: list[list[str]] = []
        asking = [
            threading.Thread(target=lambda tcp=tcp: answers.append(pdns.addresses(f"{tcp}.slow.example.net", tcp=tcp)))
            for tcp in (False, True)
        ]
        for thread in asking:
            thread.start()
        pdns.wait_for(lambda: len(upstream.names) == 2, "asked")
        assert pdns.stop(sig) == 0
        for thread in asking:
            thread.join()
        assert answers == [[UPSTREAM_SAYS], [UPSTREAM_SAYS]]
        assert not any(map(is_running, children))


def test_an_end_in_the_same_moment_as_a_reload_is_an_end(tmp_path: Path, upstream: UpstreamThread) -> None:
    """SIGHUP and SIGTERM that arrive together end it, as SIGTERM alone does."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        os.kill(pdns.pid, signal.SIGSTOP)
        for sig in (signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
            os.kill(pdns.pid, sig)
        assert pdns.stop() == 0


@pytest.mark.long
def test_the_end_is_bounded(tmp_path: Path, upstream: UpstreamThread) -> None:
    """An upstream that never answers, a client that never closes: exit 0 all the same, and what was given up is said."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, server={"drain_s": 0.5})) as pdns, socket.socket() as idle:
        idle.connect(("127.0.0.1", pdns.dns_port))
        rcodes: list[str] = []
        asking = threading.Thread(target=lambda: rcodes.append(pdns.rcode("never.example.net")))
        asking.start()
        pdns.wait_for(lambda: "never.example.net" in upstream.names, "asked")
        assert pdns.stop() == 0
        asking.join()
        assert rcodes == ["SERVFAIL"]
        assert "1 queries were given up" in pdns.log


@pytest.mark.long
def test_hung_children_do_not_hold_up_the_end(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A worker and a feeds process that stand still are killed; exit 0 all the same, and said in the log."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, server={"drain_s": 0.5})) as pdns:
        children = [*pdns.worker_pids, pdns.feeds_pid]
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        assert pdns.stop() == 0
        assert not any(map(is_running, children))
        assert "worker0 did not exit within" in pdns.log


@pytest.mark.long
def test_a_second_interrupt_ends_it_at_once(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Ctrl-C twice does not wait for anybody."""
    with RunningPdns(tmp_path, config(tmp_path, upstream, server={"drain_s": 600.0})) as pdns:
        children = [*pdns.worker_pids, pdns.feeds_pid]

        def ask_in_vain() -> None:
            with pytest.raises(dns.exception.Timeout):
                pdns.ask("never.example.net", timeout_s=1)

        asking = threading.Thread(target=ask_in_vain)
        asking.start()
        pdns.wait_for(lambda: "never.example.net" in upstream.names, "asked")
        pdns.send_signal(signal.SIGINT)
        pdns.wait_for_log("stopping")
        assert pdns.stop(signal.SIGINT) == 130
        asking.join()
        wait_until_gone(children)


def test_the_service_manager_is_told_what_is_missing(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Its STATUS says why a start is not ready, with the feed and the reason, and that it is ready once the feed is there."""
    missing = {"name": "late", "url": (tmp_path / "late.txt").as_uri(), "required": True, "refresh_s": 30}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
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
        manager.settimeout(10)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "JOURNAL_STREAM": "8:1"}
        with RunningPdns(tmp_path, config(tmp_path, upstream), environment=environment) as pdns:
            said = manager.recv(1000)
            assert said.startswith(b"READY=1\nSTATUS=")
            while not said.endswith(b"STATUS=ready: queries are answered"):
                said = manager.recv(1000)
            assert pdns.stop() == 0
            assert manager.recv(1000) == b"STOPPING=1"
            assert re.search(r"^<6>supervisor: stopping", pdns.log, re.MULTILINE)
