"""`python -m tests.integration.recipepair DIRECTORY HEADING`, in a network namespace of its own: the recipe for a pair, with its
addresses as they are. keepalived gives the machine the shared address, or `ip` where it is not installed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import dns.exception

from tests.fakes.upstream import answer
from tests.integration.recipes import LISTED, Recipe, recipes
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed

SHARED = "10.20.0.53"


def main(directory: Path, heading: str) -> None:
    recipe = recipes()[heading]
    ip("link", "set", "lo", "up")
    ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    for name in ("eth0", "eth1"):
        ip("link", "set", name, "up")
    ip("address", "add", "10.20.0.11/24", "dev", "eth0")
    with UpstreamThread(answer()) as upstream:
        config = tomllib.loads(recipe.toml)
        config["upstream"]["servers"] = [upstream.address]
        config["feed"] = [feed(directory, "listed", *LISTED)]
        config["server"]["identity"] = "first"
        with RunningPdns(directory, config) as pdns:
            assert pdns.addresses(LISTED[0], port=53) == [SINKHOLE]  # at 127.0.0.1
            assert not answers(pdns)
            assert pdns.get("/readyz")[0] == 200  # ready to take it over
            with shared_address(directory, recipe, pdns):
                pdns.wait_for(lambda: answers(pdns), "the shared address answers")
                pdns.wait_for(lambda: pdns.get("/readyz") == (200, "ok\n"), "/readyz")
            pdns.wait_for(lambda: not answers(pdns), "the shared address has moved on")


@contextlib.contextmanager
def shared_address(directory: Path, recipe: Recipe, pdns: RunningPdns) -> Iterator[None]:
    """The machine has the shared address, and with keepalived only as long as the program is ready."""
    keepalived = shutil.which("keepalived", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if keepalived is None:
        ip("address", "add", f"{SHARED}/24", "dev", "eth0")
        try:
            yield
        finally:
            ip("address", "del", f"{SHARED}/24", "dev", "eth0")
        return
    text = recipe.text("vrrp_instance").replace("127.0.0.1:9153", f"127.0.0.1:{pdns.metrics_port}")
    (directory / "keepalived.conf").write_text(text)
    files = [f"--{name}={directory / name}" for name in ("pid", "vrrp_pid")]
    command = [keepalived, "--dont-fork", "--log-console", "--vrrp", *files, f"--use-file={directory / 'keepalived.conf'}"]
    with subprocess.Popen(command) as process:
        try:
            yield
            pdns.send_signal(signal.SIGSTOP)
            pdns.wait_for(lambda: SHARED not in addresses(), "keepalived gives the address up")
            pdns.send_signal(signal.SIGCONT)
            pdns.wait_for(lambda: SHARED in addresses(), "keepalived takes it back")
        finally:
            process.terminate()


def answers(pdns: RunningPdns) -> bool:
    try:
        return pdns.addresses(LISTED[0], where=SHARED, port=53, timeout_s=1.0) == [SINKHOLE]
    except (dns.exception.Timeout, OSError):
        return False


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def addresses() -> str:
    return subprocess.run(["ip", "address", "show", "dev", "eth0"], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
