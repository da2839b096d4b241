"""How devices reach the resolver: what the configuration says, and what the administrator says instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pdns.config.load import from_tables
from pdns.config.schema import Config
from pdns.enrolment.access import EnrolmentError, ResolverAccess, access_of
from tests.certificates import issue

LEEDS = {"name": "leeds", "display_name": "Leeds City Council", "tls_names": ["leeds.dns.example"]}
YORK = {"name": "york", "networks": ["192.0.2.0/24"]}


def configured(directory: Path, *listeners: dict[str, Any]) -> Config:
    """With a certificate for `*.dns.example` and `dns.example`."""
    issued = issue(("*.dns.example", "dns.example"))
    files = {"cert_file": str(directory / "cert.pem"), "key_file": str(directory / "key.pem")}
    (directory / "cert.pem").write_bytes(issued.cert_pem)
    (directory / "key.pem").write_bytes(issued.key_pem)
    tables = {"upstream": {"servers": ["192.0.2.53"]}, "tenant": [LEEDS, YORK]}
    return from_tables({**tables, "listener": [{**files, **one} for one in listeners]}, "", directory)


def access(config: Config, tenant: str, **options: Any) -> ResolverAccess:
    return access_of(config, next(one for one in config.tenant if one.name == tenant), **options)


DOH = {"transport": "https", "listen": ["0.0.0.0"]}
DOT = {"transport": "tls", "listen": ["0.0.0.0"]}


def test_the_host_is_that_of_the_tenant_or_of_the_certificate(tmp_path: Path) -> None:
    """Or what is said. A wildcard is no host."""
    config = configured(tmp_path, DOH)
    assert access(config, "leeds").doh_url == "https://leeds.dns.example/dns-query"
    assert access(config, "york").doh_url == "https://dns.example/dns-query"
    assert access(config, "york", host="Other.Example").doh_url == "https://other.example/dns-query"
    assert access(config, "york", host="2001:db8::1").doh_url == "https://[2001:db8::1]/dns-query"
    found = access(config, "leeds")
    assert (found.organisation, found.host, found.dot_name, found.addresses) == (
        "Leeds City Council",
        "leeds.dns.example",
        "",
        (),
    )


def test_port_and_path_are_those_of_the_listener(tmp_path: Path) -> None:
    """The first for DoH. Its address is known to devices if it is a public one."""
    config = configured(
        tmp_path,
        {**DOT, "admit_by_server_name": True},
        {"transport": "https", "listen": ["93.184.216.34:8443"], "path": "/dns"},
        DOH,
    )
    found = access(config, "leeds").with_credential("a1", "TOKEN", "phone", 5.0)
    assert found.doh_url == "https://leeds.dns.example:8443/dns/TOKEN"
    assert (found.id, found.device, found.expires_s) == ("a1", "phone", 5.0)
    assert (found.dot_name, found.names_admit, found.addresses) == ("leeds.dns.example", True, ("93.184.216.34",))
    assert access(config, "leeds", addresses=["192.0.2.1", "2001:DB8::1"]).addresses == ("192.0.2.1", "2001:db8::1")
    assert access(config, "york").dot_name == ""
    assert access(config, "york").with_credential("a1", "", "laptop", 0.0).doh_url == "https://dns.example:8443/dns"


def test_what_cannot_be_reached_is_refused(tmp_path: Path) -> None:
    """With what to do."""
    config = configured(tmp_path, DOT)
    with pytest.raises(EnrolmentError, match=r'no \[\[listener\]\] has transport = "https"'):
        access(config, "leeds")
    assert access(config, "leeds", host="dns.example").doh_url == "https://dns.example/dns-query"
    for wrong in ({"host": "a/b"}, {"host": "dns.example:443"}, {"host": "x", "addresses": ["x"]}):
        with pytest.raises(EnrolmentError, match="expected"):
            access(config, "leeds", **wrong)
    config = configured(tmp_path, DOH)
    (tmp_path / "cert.pem").unlink()
    with pytest.raises(EnrolmentError, match="the host of the DoH URL is not known"):
        access(config, "york")
