"""What the tests of the processes of `pdns serve` share: an upstream, a configuration, a run that ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.fakes.upstream import answer, by_name, delayed, drop
from tests.integration.running_pdns import ROOT, UpstreamThread, feed, is_running

UPSTREAM_SAYS = "192.0.2.7"
ONE_WORKER = {"server": {"workers": 1}}


def serving_upstream() -> UpstreamThread:
    """It is slow for one name, silent for another, and answers all others with a TTL of a second."""
    return UpstreamThread(by_name({"slow.example.net": delayed(answer(), 0.7), "never.example.net": drop}, answer(ttl_s=1)))


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
