"""What Kubernetes does to a program: it exchanges files behind links, and may give it a network without IPv4."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.upstream import answer
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread, feed


class PodWithConfigMap(RunningPdns):
    """Its configuration is in a volume as kubelet writes one: `..data` leads to a directory of this version, and is exchanged."""

    def __init__(self, directory: Path, config: dict[str, Any]) -> None:
        self.volume = directory / "volume"
        self.volume.mkdir()
        self._versions = 0
        self.extra = ""
        super().__init__(directory, config)
        self.config_path = self.volume / "pdns.toml"

    def write_text(self, text: str) -> None:
        before = self.volume / f"..2026_{self._versions}"
        self._versions += 1
        now = self.volume / f"..2026_{self._versions}"
        (now / "conf.d").mkdir(parents=True)
        (now / "pdns.toml").write_text(text)
        (now / "conf.d/50-extra.toml").write_text(self.extra)
        link = self.volume / "..data_tmp"
        link.symlink_to(now.name)
        link.rename(self.volume / "..data")
        if self._versions == 1:
            (self.volume / "pdns.toml").symlink_to("..data/pdns.toml")
            (self.volume / "conf.d").symlink_to("..data/conf.d")
        else:
            shutil.rmtree(before)


def test_a_change_of_a_configmap_is_loaded(tmp_path: Path) -> None:
    """Without a signal, of the file and of one in conf.d, though the old directory is gone; one with errors changes nothing."""
    with UpstreamThread(answer()) as upstream:
        config: dict[str, Any] = {"upstream": {"servers": [upstream.address]}, "feed": [feed(tmp_path, "own", "malware.test")]}
        with PodWithConfigMap(tmp_path, config) as pdns:
            assert pdns.rcode("malware.test") == "NOERROR"
            pdns.write_config({**config, "block": {"action": "nxdomain"}})
            pdns.wait_for(lambda: pdns.rcode("malware.test") == "NXDOMAIN", "the new file")
            pdns.extra = '[[record]]\nname = "intranet.test"\na = ["10.0.0.5"]\n'
            pdns.write_config({**config, "block": {"action": "nxdomain"}})
            pdns.wait_for(lambda: pdns.addresses("intranet.test") == ["10.0.0.5"], "the file in conf.d")
            pdns.write_config({**config, "block": {"action": "nonsense"}})
            pdns.wait_for_value(0, "config_last_reload_successful")
            assert pdns.rcode("malware.test") == "NXDOMAIN"


def test_without_ipv4(tmp_path: Path) -> None:
    """In a network that has no IPv4 address, not even on loopback, it answers, blocks, and is healthy."""
    prepare = 'ip link set lo up && ip address del 127.0.0.1/8 dev lo && exec "$@"'
    through = ["unshare", "--net", "sh", "-c", prepare, "pod"]
    if shutil.which("ip") is None or subprocess.run([*through, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespaces here")
    config = {
        "server": {"listen": ["[::]:5300"], "workers": 2, "drain_s": 2.0},
        "upstream": {"servers": ["udp://[::1]:9"]},
        "feed": [feed(tmp_path, "own", "malware.test")],
        "metrics": {"listen": "[::]:9153"},
    }
    with RunningPdns(tmp_path, config, through=through, ready=False) as pod:
        inside = ["nsenter", f"--target={pod.pid}", "--net"]
        program = [sys.executable, "-m", "pdns"]
        health = [*inside, *program, "health", "--server", "[::1]:5300", "--metrics", "[::1]:9153", "--timeout", "10"]

        def is_up() -> bool:
            return subprocess.run(health, cwd=ROOT, capture_output=True, check=False).returncode == 0

        pod.wait_for(is_up, "pdns health")
        ask = [*inside, "dig", "@::1", "-p", "5300", "+short", "+timeout=30", "malware.test"]
        if shutil.which("dig"):
            assert subprocess.run(ask, capture_output=True, text=True, check=True).stdout == f"{SINKHOLE}\n"
