"""Real clients of others over DNS over TLS and over HTTPS."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest
from dns.query import HTTPVersion

from tests.integration.dotforwarders import DnsdistOverTls, DotForwarder, Resolved, Stubby, UnboundOverTls
from tests.integration.encryptedserving import BLOCKED, NAME, PAGE, Encrypted, encrypted
from tests.integration.hellopage import HELLO, hello_page
from tests.integration.realservers import ask, program
from tests.integration.running_pdns import SINKHOLE

FORWARDERS: dict[str, Callable[[Path, int, Path], DotForwarder]] = {
    "stubby": Stubby,
    "systemd-resolved": Resolved,
    "unbound": UnboundOverTls,
    "dnsdist": DnsdistOverTls,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    with encrypted(tmp_path_factory.mktemp("pdns")) as running:
        yield running


@pytest.fixture(scope="module")
def page() -> Iterator[int]:
    with hello_page() as port:
        yield port


def kdig(server: Encrypted, transport: str, *arguments: str, trusted: bool = True) -> subprocess.CompletedProcess[str]:
    trust = [f"+tls-ca={server.ca_file}", f"+tls-hostname={NAME}"] if trusted else []
    where = ["@127.0.0.1", "-p", str(server.ports[transport])]
    return subprocess.run([program("kdig"), *where, *trust, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("transport", "option"), [("tls", "+tls"), ("https", "+https"), ("https", "+https-get")])
def test_kdig(server: Encrypted, transport: str, option: str) -> None:
    """It trusts the certificate, gets forwarded and blocked answers, and padded ones if it pads."""
    before = server.asked(transport)
    run = kdig(server, transport, option, BLOCKED, "A")
    assert f"\tA\t{SINKHOLE}\n" in run.stdout, run.stdout + run.stderr
    assert "Blocked" in run.stdout
    run = kdig(server, transport, option, "+padding", "www.example.net", "A")
    assert "NOERROR" in run.stdout
    assert ";; PADDING:" in run.stdout
    assert ";; Received 468 B" in run.stdout
    server.pdns.wait_for_value(before + 2, "queries_total", transport=transport)


def test_kdig_refuses_another_name(server: Encrypted) -> None:
    """What it is told to expect is what the certificate must say."""
    run = kdig(
        server, "tls", "+tls", f"+tls-ca={server.ca_file}", "+tls-hostname=other.example.org", "www.example.net", trusted=False
    )
    assert "NOERROR" not in run.stdout


@pytest.mark.parametrize(
    "name",
    [
        "dnsdist",
        "stubby",
        "unbound",
        pytest.param("systemd-resolved", marks=pytest.mark.realtime),  # asks only where there is another interface than loopback
    ],
)
def test_forwarders_over_tls(server: Encrypted, tmp_path: Path, name: str) -> None:
    """Each asks over TLS alone, with the name and the authority that it was given, and passes on what it gets."""
    with FORWARDERS[name](tmp_path, server.ports["tls"], server.ca_file) as forwarder:
        before = server.asked("tls")
        assert [str(one[0]) for one in ask(forwarder.port, BLOCKED).answer] == [SINKHOLE]
        assert [str(one[0]) for one in ask(forwarder.port, PAGE).answer] == ["127.0.0.1"]
        for number in range(20):
            assert ask(forwarder.port, f"n{number}.{name}.example.net").answer
        assert server.asked("tls") >= before + 22


def test_curl(server: Encrypted, page: int) -> None:
    """It finds the address of a page over HTTPS, and the page there."""
    before = server.asked("https")
    url = f"http://{PAGE}:{page}/"
    command = [program("curl"), "-sS", "--noproxy", "*", "--doh-url", server.doh_url, "--cacert", str(server.ca_file), url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == HELLO, run.stderr
    assert server.asked("https") >= before + 2  # A and AAAA


def test_dnspython(server: Encrypted) -> None:
    """TLS, and HTTPS by POST and GET."""
    query = dns.message.make_query(BLOCKED, "A", use_edns=0)
    verify = ssl.create_default_context(cafile=str(server.ca_file))
    answers = [
        dns.query.tls(query, "127.0.0.1", 60, server.ports["tls"], server_hostname=NAME, verify=verify),
        dns.query.https(query, server.doh_url, 60, verify=verify, post=True, http_version=HTTPVersion.HTTP_2),
        dns.query.https(query, server.doh_url, 60, verify=verify, post=False, http_version=HTTPVersion.HTTP_2),
    ]
    assert [str(answer.answer[0][0]) for answer in answers] == [SINKHOLE] * 3


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")
def test_h2load(server: Encrypted, tmp_path: Path) -> None:
    """Ten connections with twenty streams each: every request has status 200."""
    query = tmp_path / "query"
    query.write_bytes(dns.message.make_query(BLOCKED, "A", id=0).to_wire())
    command = [
        "h2load",
        "-n2000",
        "-c10",
        "-m20",
        "-d",
        str(query),
        "-H",
        "content-type: application/dns-message",
        server.doh_url,
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx" in run.stdout, run.stdout
