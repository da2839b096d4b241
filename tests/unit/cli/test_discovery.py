"""What `pdns check` prints about discovery: each line is taken by the program that it is for, and has the same bytes."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from pdns.cli.check import check
from tests.certificates import issue, write_pair
from tests.integration.realservers import program

CONFIG = """\
[server]
listen = ["10.0.0.53", "[2001:db8::53]"]
[upstream]
servers = ["192.0.2.53"]
[[listener]]
transport = "tls"
listen = ["10.0.0.53", "[2001:db8::53]"]
cert_file = "fullchain.pem"
key_file = "privkey.pem"
[[listener]]
transport = "https"
listen = ["10.0.0.53:8443", "[2001:db8::53]:8443"]
cert_file = "fullchain.pem"
key_file = "privkey.pem"
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/pdns")
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, list[str]], str]:
    """The values by their titles, and the notes."""
    Path("pdns.toml").write_text(CONFIG)
    assert check(Path("pdns.toml")) == 0
    out, err = capsys.readouterr()
    found: dict[str, list[str]] = {}
    title = ""
    for line in out.splitlines():
        title = line[:10].strip() or title
        found.setdefault(title, []).append(line[10:])
    return found, err


def bytes_in(lines: list[str]) -> list[bytes]:
    return [bytes.fromhex(line.partition(": ")[2]) for line in lines]


def test_what_is_printed(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where `_dns.resolver.arpa` leads, the records to publish, and the lines for other programs."""
    write_pair(directory, issue(("dns.example", "10.0.0.53", "2001:db8::53")))
    found, notes = printed(capsys)
    assert found["discovery"] == [
        "_dns.resolver.arpa leads to dns.example, port 853 (dot)",
        "_dns.resolver.arpa leads to dns.example, port 8443 (h2)",
    ]
    hints = "ipv4hint=10.0.0.53 ipv6hint=2001:db8::53"
    assert found["publish"] == [
        f"_dns.dns.example. 300 IN SVCB 1 dns.example. alpn=dot {hints}",
        f'_dns.dns.example. 300 IN SVCB 2 dns.example. alpn=h2 port=8443 {hints} dohpath="/dns-query{{?dns}}"',
    ]
    assert "discovery" not in notes
    options = [*bytes_in(found["dhcpv4"]), *bytes_in(found["dhcpv6"])]
    of_kea = [json.loads(line) for line in found["kea"]]
    assert [bytes.fromhex(one["data"]) for one in of_kea] == options
    assert [(one["code"], one["csv-format"]) for one in of_kea] == [(162, False), (144, False), (144, False)]
    of_dnsmasq = [re.fullmatch(r"dhcp-option=(?:162|option6:144),([0-9a-f:]+)", line) for line in found["dnsmasq"]]
    assert [bytes.fromhex(one[1].replace(":", "")) for one in of_dnsmasq if one] == options
    https = 'AdvDNRSvcAlpn "h2"; AdvDNRSvcPort 8443; AdvDNRSvcDohpath "/dns-query{?dns}";'
    radvd_of_https = f"DNR dns.example {{ AdvDNRPriority 2; AdvDNRLifetime 1800; AdvDNRAddr 2001:db8::53; {https} }};"
    assert found["radvd"] == [
        'DNR dns.example { AdvDNRPriority 1; AdvDNRLifetime 1800; AdvDNRAddr 2001:db8::53; AdvDNRSvcAlpn "dot"; };',
        radvd_of_https,
    ]


def test_dnsmasq_takes_its_lines(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As options in hexadecimal."""
    write_pair(directory, issue(("dns.example", "10.0.0.53", "2001:db8::53")))
    found, _ = printed(capsys)
    Path("dnsmasq.conf").write_text("\n".join(found["dnsmasq"]))
    command = [program("dnsmasq"), "--test", "--conf-file=dnsmasq.conf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "syntax check OK" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (("dns.example", "10.0.0.53"), "not valid for 2001:db8::53: clients that know only this address stay unencrypted"),
        (("dns.example",), "not valid for 10.0.0.53, 2001:db8::53"),
    ],
)
def test_why_clients_cannot_find_it(
    directory: Path, capsys: pytest.CaptureFixture[str], names: tuple[str, ...], note: str
) -> None:
    """The certificate leaves addresses out."""
    write_pair(directory, issue(names))
    found, notes = printed(capsys)
    assert found["discovery"] == ["_dns.resolver.arpa is NODATA: see the note"]
    assert note in notes
