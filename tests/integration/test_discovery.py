"""Clients find the encrypted listeners of the running program: from its address to a verified connection."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import dns.rdtypes.svcbbase as svcb
import pytest

from loadtest.loopback import free_port
from tests.certificates import issue, write_pair
from tests.integration.realservers import ask
from tests.integration.running_pdns import RunningPdns, UpstreamThread

RESINFO = dns.rdatatype.RdataType.make(261)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of an authority: a pair for a name and 127.0.0.1, and one for the name alone."""
    directory = tmp_path_factory.mktemp("certificates")
    authority = issue((), authority=True, subject="authority")
    (directory / "authority.pem").write_bytes(authority.cert_pem)
    write_pair(directory, issue(("dns.example", "127.0.0.1"), issuer=authority), authority)
    write_pair(directory, issue(("dns.example",), issuer=authority), authority, name="public-")
    return directory


@pytest.fixture(scope="module")
def pdns(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    with UpstreamThread() as upstream:
        config = {
            "upstream": {"servers": [upstream.address]},
            "server": {"workers": 1},
            "listener": [listener(files, free_port())],
            "discovery": {"info_url": "https://dns.example/help"},
        }
        with RunningPdns(tmp_path_factory.mktemp("pdns"), config) as running:
            yield running


def listener(files: Path, port: int, name: str = "") -> dict[str, object]:
    pair = {"cert_file": str(files / f"{name}fullchain.pem"), "key_file": str(files / f"{name}privkey.pem")}
    return {"transport": "tls", "listen": [f"127.0.0.1:{port}"], **pair}


def designated(pdns: RunningPdns) -> tuple[str, int, dns.message.Message]:
    """Target and port of the record that the address leads to, and the answer; "" and 0 where it leads nowhere."""
    answer = ask(pdns.dns_port, "_dns.resolver.arpa", "SVCB")
    if not answer.answer:
        return "", 0, answer
    record = answer.answer[0][0]
    assert record.params[svcb.ParamKey.ALPN].ids == (b"dot",)
    return record.target.to_text(omit_final_dot=True), record.params[svcb.ParamKey.PORT].port, answer


def test_from_the_address_to_a_verified_connection(pdns: RunningPdns, files: Path) -> None:
    """A client that knows 127.0.0.1 finds the listener, and its certificate is valid for this address and for the name."""
    name, port, answer = designated(pdns)
    assert name == "dns.example"
    assert [str(rrset[0]) for rrset in answer.additional] == ["127.0.0.1"]
    context = ssl.create_default_context(cafile=files / "authority.pem")
    context.set_alpn_protocols(["dot"])
    query = dns.message.make_query("www.example", "A")
    for expected in ("127.0.0.1", name):
        found = dns.query.tls(query, "127.0.0.1", port=port, server_hostname=expected, ssl_context=context, timeout=60)
        assert found.answer
    info = dns.message.make_query(name, RESINFO, flags=0)
    said = dns.query.tls(info, "127.0.0.1", port=port, server_hostname=name, ssl_context=context, timeout=60)
    assert said.flags & dns.flags.AA
    assert b"infourl=https://dns.example/help" in said.answer[0][0].to_generic().data


def test_a_certificate_without_the_address(pdns: RunningPdns, files: Path) -> None:
    """It leads nowhere any more, and there again when a reload brings one that has it."""
    port = designated(pdns)[1]
    before = pdns.config_path.read_text()
    pdns.write_text(before.replace("fullchain.pem", "public-fullchain.pem").replace("privkey.pem", "public-privkey.pem"))
    pdns.reload()
    pdns.wait_for(lambda: designated(pdns)[1] == 0, "NODATA")
    assert [dns.rdatatype.to_text(one.rdtype) for one in designated(pdns)[2].authority] == ["SOA"]
    assert ask(pdns.dns_port, "_dns.dns.example", "SVCB").answer, "whoever knows the name can verify it"
    pdns.write_text(before)
    pdns.reload()
    pdns.wait_for(lambda: designated(pdns)[1] == port, "designated again")
