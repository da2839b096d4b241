"""Ports for programs that cannot take a socket: no two processes are given the same one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from loadtest import loopback
from loadtest.loopback import free_port
from tests.integration.running_pdns import ROOT

_TAKES = "print(*(free_port() for _ in range(100)), flush=True)\ninput()\n"
_FORKS = """\
import os
free_port()
child = os.fork()
ports = [free_port() for _ in range(16)]
if child:
    os.waitpid(child, 0)
print(*ports, flush=True)
"""


def started(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from loadtest.loopback import free_port\n" + program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_processes_get_different_ports() -> None:
    """Four processes that ask at the same time get 400 different ports, and none of them is one that the kernel chooses."""
    taking = [started(_TAKES) for _ in range(4)]
    ports = [int(port) for process in taking for port in (process.stdout.readline().split() if process.stdout else ())]
    for process in taking:
        process.communicate("\n")
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert len(ports) == len(set(ports)) == 400
    assert not [port for port in ports if lowest <= port <= highest]


def test_a_child_does_not_share_the_ports_of_its_parent() -> None:
    """After a fork both sides get different ports."""
    output, _ = started(_FORKS).communicate()
    parent, child = (set(line.split()) for line in output.splitlines())
    assert len(parent) == len(child) == 16
    assert not parent & child


def test_a_port_that_is_in_use_is_not_given() -> None:
    """A port that another program has bound, on one address and for one protocol, is left out."""
    free_port()
    while not loopback._ports.free:
        free_port()
    next_port = loopback._ports.free[-1]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.7", next_port))
        assert free_port() != next_port
