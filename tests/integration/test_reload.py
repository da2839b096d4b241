"""A changed configuration while `pdns serve` runs: what goes live, what changes nothing, what needs a restart."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadtest.loopback import free_port
from tests.fakes.upstream import answer
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread, feed
from tests.integration.serving import UPSTREAM_SAYS, accepts, config, serving_upstream


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with serving_upstream() as thread:
        yield thread


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
        success = "config_last_reload_success_timestamp_seconds"
        pdns.wait_for(lambda: pdns.value(success) > before[success, ()], "the reload")
        assert pdns.value("config_last_reload_successful") == 1


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
        f"from pathlib import Path\nimport pdns.config.system\npdns.config.system.RESOLV_CONF = Path({str(resolv_conf)!r})\n"
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
        pdns.wait_for_log(f"{pdns.config_path}: block.action: ")
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
        pdns.wait_for(lambda: key.split(".")[1] in pdns.log or address in pdns.log, "the reason in the log")
        assert pdns.addresses("malware.test") == [SINKHOLE]
        assert pdns.value("worker_restarts_total") == 0
        assert pdns.value("upstream_up", upstream=upstream.address) == 1


def test_the_pages_answer_while_a_configuration_is_read(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Many local records take seconds, in which others must not conclude that the server is gone. Here the file is a pipe."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        pdns.write_config(config(tmp_path, upstream, block={"action": "nxdomain"}))
        text = pdns.config_path.read_text()
        pdns.config_path.unlink()
        os.mkfifo(pdns.config_path)
        pdns.send_signal(signal.SIGHUP)
        with pdns.config_path.open("w") as pipe:  # opens when it is being read
            for _ in range(3):
                assert pdns.get("/readyz") == (200, "ok\n")
            pdns.write_text(text)
            pipe.write(text)
        pdns.wait_for(lambda: pdns.rcode("malware.test") == "NXDOMAIN", "new action")


def test_addresses_come_and_go(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A reload opens new addresses and closes those that are gone; the one that stays has no gap, to the wildcard and back."""
    port = free_port()
    with RunningPdns(tmp_path, config(tmp_path, upstream, server={"listen": [f"127.0.0.1:{port}", "127.0.0.2:0"]})) as pdns:
        stop = threading.Event()
        failures: list[Exception] = []

        def keep_asking() -> None:
            while not stop.is_set():
                try:
                    assert pdns.addresses("malware.test", port=port) == [SINKHOLE]
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
        pdns.wait_for(lambda: pdns.get("/healthz")[0] == 0, "the old address")
        pdns.metrics_port = port


@pytest.mark.long
def test_what_needs_a_restart_is_said(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Another state.dir is reported and waits; everything else of that file is live."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        pdns.write_config(config(tmp_path, upstream, state={"dir": str(tmp_path / "elsewhere")}, block={"action": "nodata"}))
        pdns.send_signal(signal.SIGHUP)
        pdns.wait_for(lambda: pdns.addresses("malware.test") == [], "nodata")
        pdns.wait_for_log("state.dir: the change needs a restart")
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
        pdns.reload()
        pdns.wait_for(lambda: pdns.value("upstream_up", upstream=second.address) == 1, "new upstream")
        assert pdns.addresses("fresh.example.net") == ["192.0.2.8"]
        waiting.join()
        assert answers == [[UPSTREAM_SAYS]]
        pdns.wait_for(lambda: ("upstream_up", (("upstream", upstream.address),)) not in pdns.scrape(), "forgotten")
