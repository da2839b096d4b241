"""`python -m tests.integration.comingaddresses DIRECTORY FIRST LATE`, in a network namespace of its own: runs the program
with both addresses to listen on while the machine has only the first, then gives it the other. With DIRECTORY alone: with a
link-local address whose interface is missing, and then added.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dns.exception

from loadtest.loopback import free_port
from tests.fakes.upstream import answer
from tests.integration.apiclient import write_certificate
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed


def main(directory: Path, first: str, late: str) -> None:
    ip("link", "set", "lo", "up")
    ip("link", "add", "veth0", "type", "veth", "peer", "name", "veth1")
    ip("link", "set", "veth0", "up")
    ip("link", "set", "veth1", "up")
    add(first, "nodad")  # it has been there for long
    port = free_port()
    endpoints = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in (late, first)]
    admin = f"[{late}]:{free_port()}" if ":" in late else f"{late}:{free_port()}"
    token = directory / "token"
    token.write_text("t" * 40)
    token.chmod(0o600)
    certificate, key = write_certificate(directory / "admin")
    tls = {"tls_cert_file": str(certificate), "tls_key_file": str(key)}
    with UpstreamThread(answer()) as upstream:
        config = {
            "server": {"listen": endpoints},
            "upstream": {"servers": [upstream.address]},
            "access": {"networks": ["10.77.0.0/24", "fd77::/64"]},
            "admin": {"listen": admin, "token_file": str(token), **tls},
            "feed": [feed(directory, "listed", "listed.test")],
        }
        with RunningPdns(directory, config) as pdns:
            absent = f"{endpoints[0]}: no interface has this address"
            assert absent in pdns.output
            assert f"dig @{first} " in pdns.output
            missing = f"{admin}: no interface has this address"
            assert missing in pdns.output
            pdns.wait_for_log(missing)
            assert missing in pdns.get("/readyz")[1]
            assert pdns.value("listen_address_present", address=admin) == 0
            assert absent in pdns.get("/readyz")[1]
            pdns.wait_for_log(absent)
            assert pdns.value("listen_address_present", address=endpoints[0]) == 0
            assert pdns.value("listen_address_present", address=endpoints[1]) == 1
            ask(pdns, first, port)
            add(late)
            pdns.wait_for(lambda: answers(pdns, late, port), "the late address answers")
            ask(pdns, late, port)
            pdns.wait_for_log(f"{endpoints[0]}: an interface has this address now")
            pdns.wait_for(lambda: pdns.get("/readyz") == (200, "ok\n"), "/readyz")
            pdns.wait_for(lambda: pdns.value("listen_address_present", address=endpoints[0]) == 1, "the metric says so")
            ip("address", "del", f"{late}/{24 if '.' in late else 64}", "dev", "veth0")
            pdns.wait_for_log(absent, times=2)
            ask(pdns, first, port)


def late_interface(directory: Path) -> None:
    """A link-local address on an interface that does not exist yet."""
    ip("link", "set", "lo", "up")
    port = free_port()
    host = "fe80::77%late9"
    endpoints = [f"[{host}]:{port}", f"127.0.0.1:{port}"]
    with UpstreamThread(answer()) as upstream:
        config = {
            "server": {"listen": endpoints},
            "upstream": {"servers": [upstream.address]},
            "access": {"networks": ["fe80::/10", "127.0.0.0/8"]},
            "feed": [feed(directory, "listed", "listed.test")],
        }
        with RunningPdns(directory, config) as pdns:
            absent = f"{endpoints[0]}: no interface has this address"
            assert absent in pdns.output
            assert "dig @127.0.0.1 " in pdns.output
            assert absent in pdns.get("/readyz")[1]
            pdns.wait_for_log(absent)
            assert pdns.value("listen_address_present", address=endpoints[0]) == 0
            ask(pdns, "127.0.0.1", port)
            ip("link", "add", "late9", "type", "veth", "peer", "name", "other9")
            ip("link", "set", "late9", "up")
            ip("link", "set", "other9", "up")
            ip("address", "add", "fe80::77/64", "dev", "late9", "nodad")
            pdns.wait_for(lambda: answers(pdns, host, port), "the late interface answers")
            ask(pdns, host, port)
            ask(pdns, "127.0.0.1", port)
            pdns.wait_for_log(f"{endpoints[0]}: an interface has this address now")
            pdns.wait_for(lambda: pdns.value("listen_address_present", address=endpoints[0]) == 1, "the metric says so")


def ask(pdns: RunningPdns, where: str, port: int, timeout_s: float = 60.0) -> None:
    for tcp in (False, True):
        reply = pdns.ask("listed.test", where=where, port=port, tcp=tcp, timeout_s=timeout_s)
        assert SINKHOLE in reply.answer[0].to_text(), reply


def answers(pdns: RunningPdns, where: str, port: int) -> bool:
    try:
        ask(pdns, where, port, timeout_s=1.0)  # what was asked too early is not answered
    except (dns.exception.Timeout, OSError):
        return False
    return True


def add(address: str, *flags: str) -> None:
    ip("address", "add", f"{address}/{24 if '.' in address else 64}", "dev", "veth0", *flags)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        main(Path(sys.argv[1]), *sys.argv[2:4])
    else:
        late_interface(Path(sys.argv[1]))
