"""`python -m tests.integration.comingaddresses DIRECTORY FIRST LATE`, in a network namespace of its own: runs the program
with both addresses to listen on while the machine has only the first, then gives it the other.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dns.exception

from loadtest.loopback import free_port
from tests.fakes.upstream import answer
from tests.integration.running import SINKHOLE, RunningPdns, UpstreamThread, feed


def main(directory: Path, first: str, late: str) -> None:
    ip("link", "set", "lo", "up")
    ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
    ip("link", "set", "veth0", "up")
    ip("link", "set", "veth1", "up")
    add(first)
    port = free_port()
    endpoints = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in (first, late)]
    with UpstreamThread(answer()) as upstream:
        config = {
            "server": {"listen": endpoints},
            "upstream": {"servers": [upstream.address]},
            "access": {"networks": ["10.77.0.0/24", "fd77::/64"]},
            "feed": [feed(directory, "listed", "listed.test")],
        }
        with RunningPdns(directory, config) as pdns:
            absent = f"{endpoints[1]}: no interface has this address"
            assert absent in pdns.output
            assert absent in pdns.get("/readyz")[1]
            assert absent in pdns.log
            assert pdns.value("listen_address_present", address=endpoints[1]) == 0
            assert pdns.value("listen_address_present", address=endpoints[0]) == 1
            ask(pdns, first, port)
            add(late)
            pdns.wait_for(lambda: answers(pdns, late, port), "the late address answers")
            ask(pdns, late, port)
            pdns.wait_for_log(f"{endpoints[1]}: an interface has this address now")
            assert pdns.get("/readyz") == (200, "ok\n")
            pdns.wait_for(lambda: pdns.value("listen_address_present", address=endpoints[1]) == 1, "the metric says so")
            ip("address", "del", f"{late}/{24 if '.' in late else 64}", "dev", "veth0")
            pdns.wait_for_log(absent, times=2)
            ask(pdns, first, port)


def ask(pdns: RunningPdns, where: str, port: int) -> None:
    for tcp in (False, True):
        reply = pdns.ask("listed.test", where=where, port=port, tcp=tcp)
        assert SINKHOLE in reply.answer[0].to_text(), reply


def answers(pdns: RunningPdns, where: str, port: int) -> bool:
    try:
        ask(pdns, where, port)
    except (dns.exception.Timeout, OSError):
        return False
    return True


def add(address: str) -> None:
    ip("address", "add", f"{address}/{24 if '.' in address else 64}", "dev", "veth0")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4])
