"""Another server has the port already, as docs/install.md describes it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, feed

PAGE = (ROOT / "docs/install.md").read_text(encoding="utf-8")
RESOLVED = "127.0.0.53"  # where systemd-resolved listens
MESSAGES = re.findall(r"^\| `([^`]+)`", PAGE.partition("## When something goes wrong")[2], re.MULTILINE)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """The port of a dnsmasq on the address of systemd-resolved."""
    dnsmasq = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin")
    if dnsmasq is None:
        pytest.skip("no dnsmasq here")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((RESOLVED, 0))
        port = probe.getsockname()[1]
    command = [dnsmasq, "-k", "-C", "/dev/null", f"--port={port}", f"--listen-address={RESOLVED}", "--bind-interfaces"]
    with subprocess.Popen([*command, "--no-resolv", "--no-hosts", "--pid-file=", "--user="]) as server:
        try:
            until_s = time.monotonic() + 60
            while not _is_taken(port):
                assert server.poll() is None
                assert time.monotonic() < until_s
                time.sleep(0.02)
            yield port
        finally:
            server.terminate()


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((RESOLVED, port)) == 0


def test_on_an_address_of_its_own_it_is_not_in_the_way(tmp_path: Path, taken_port: int) -> None:
    """On another address, with the same port, pdns serves beside it."""
    config = {"server": {"listen": [f"127.0.0.1:{taken_port}"], "workers": 1}, "feed": [feed(tmp_path, "bad", "bad.example")]}
    with RunningPdns(tmp_path, config) as pdns:
        assert pdns.addresses("bad.example") == [SINKHOLE]
        assert pdns.addresses("bad.example", tcp=True) == [SINKHOLE]


def test_on_every_address_it_is_and_the_page_has_the_message(tmp_path: Path, taken_port: int) -> None:
    """On all addresses the start ends with exit code 1, and with a message of the page's table."""
    pdns = RunningPdns(tmp_path, {"server": {"listen": [f"0.0.0.0:{taken_port}"], "workers": 1}})
    try:
        pdns.launch()
        assert pdns.wait() == 1
    finally:
        pdns.kill()
    assert [message for message in MESSAGES if message in pdns.log] == ["address already in use"]


def test_every_message_of_the_page_is_one_of_the_program() -> None:
    """The messages that the page explains are in the source, up to what differs from case to case."""
    source = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "pdns").rglob("*.py")))
    assert len(MESSAGES) >= 5
    assert [message for message in MESSAGES if message.partition(" (")[0] not in source] == []
