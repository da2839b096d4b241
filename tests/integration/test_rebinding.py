"""The running program between nsd, whose zone leads into private networks, and dig."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.integration.realanswers import ede, upstream
from tests.integration.realservers import Nsd, ask, program
from tests.integration.running_pdns import RunningPdns

ZONE = """\
$TTL 300
@        IN SOA ns hostmaster.example.com. 1 3600 1200 604800 120
@        IN NS ns
ns       IN A 192.0.2.53
evil     IN A 192.168.1.1
evil     IN AAAA ::ffff:10.0.0.1
evil     IN HTTPS 1 . alpn=h2 ipv4hint=127.0.0.1
alias    IN CNAME nas.home
nas.home IN A 10.0.0.7
www      IN A 198.51.100.7
www      IN AAAA 2001:db8::7
"""
ON = {"rebinding": {"block_private_answers": True, "allow": ["home.rebind.example"]}}


def test_private_addresses_do_not_reach_clients(tmp_path: Path) -> None:
    """Over UDP and TCP, at once after a reload for what is cached, with the reason for dig to print; the rest is as nsd says."""
    with Nsd(tmp_path / "nsd", {"rebind.example": ZONE}) as nsd:
        base = {**upstream(nsd.port), "server": {"workers": 1}, "block": {"ttl_s": 3600}}
        with RunningPdns(tmp_path, base) as pdns:
            assert pdns.addresses("evil.rebind.example") == ["192.168.1.1"]
            pdns.write_config({**base, **ON})
            pdns.reload()
            for tcp in (False, True):
                for name, qtype in (("evil", "A"), ("evil", "AAAA"), ("evil", "HTTPS"), ("alias", "A")):
                    answer = ask(pdns.dns_port, f"{name}.rebind.example", qtype, tcp=tcp)
                    assert not answer.answer
                    assert ede(answer) == 15
                for name, qtype in (("nas.home", "A"), ("www", "A"), ("www", "AAAA"), ("evil", "TXT")):
                    full = f"{name}.rebind.example"
                    assert ask(pdns.dns_port, full, qtype, tcp=tcp).answer == ask(nsd.port, full, qtype).answer
            assert pdns.value("private_answers_blocked_total") == 4
            pdns.wait_for_log("evil.rebind.example leads to the private address 192.168.1.1")
            pdns.write_config(base)
            pdns.reload()
            assert pdns.addresses("evil.rebind.example") == ["192.168.1.1"]


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_dig_prints_the_reason(tmp_path: Path, transport: str) -> None:
    """An administrator who asks why gets the address and the protection by name."""
    with Nsd(tmp_path / "nsd", {"rebind.example": ZONE}) as nsd, RunningPdns(tmp_path, {**upstream(nsd.port), **ON}) as pdns:
        command = [program("dig"), "@127.0.0.1", "-p", str(pdns.dns_port), transport, "+time=30", "evil.rebind.example", "A"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=90).stdout
        assert "status: NOERROR" in printed
        assert "ANSWER: 0" in printed
        assert "rebinding protection: 192.168.1.1 is a private address" in printed
