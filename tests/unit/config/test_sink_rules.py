"""`[[sink]]`: canonical values, and an error for each broken rule that names the key."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from pdns.config.load import from_tables
from pdns.config.schema import Config
from pdns.config.sink_rules import client_context, parse_destination
from pdns.config.sink_schema import SinkSection
from pdns.config.written_paths import written_paths
from pdns.errors import ConfigErrors, InvalidAddress

FILE = {"name": "f", "kind": "file", "path": "out/events.jsonl"}
SYSLOG = {"name": "s", "kind": "syslog", "address": "SIEM.Example"}
HOOK = {"name": "h", "kind": "webhook", "url": "https://hooks.example/x"}
TAP = {"name": "t", "kind": "dnstap", "path": "tap.sock"}
HOUSE = {"name": "c", "kind": "clickhouse", "url": "http://db.example:8123"}


def settled(tmp_path: Path, *sinks: dict[str, Any], **tables: Any) -> Config:
    return from_tables({"sink": list(sinks), "upstream": {"servers": ["192.0.2.53"]}, **tables}, "pdns.toml", tmp_path)


def test_values_become_canonical(tmp_path: Path) -> None:
    """Absolute paths without links, hosts in lower case, the port of the transport."""
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    config = settled(tmp_path, FILE, SYSLOG, {**SYSLOG, "name": "u", "transport": "tls"}, HOOK, TAP, HOUSE)
    file, tcp, tls, _, tap, _ = config.sink
    assert file.path == str(tmp_path.resolve() / "real/events.jsonl")
    assert (tcp.address, tls.address) == ("siem.example:601", "siem.example:6514")
    assert tap.path == str(tmp_path / "tap.sock")
    assert written_paths(config) == (tmp_path.resolve() / "real",)


@pytest.mark.parametrize(
    ("sink", "error"),
    [
        ({"kind": "kafka"}, r'sink\[0\].kind: expected "file", "syslog"'),
        ({"kind": "file"}, r"sink\[0\].path: required"),
        ({**FILE, "path": "."}, r"sink\[0\].path: expected a regular file"),
        ({**FILE, "path": "fifo"}, r"sink\[0\].path: expected a regular file"),
        ({**FILE, "format": "cef"}, r'sink\[0\].format: expected "ocsf" or "ecs"'),
        ({**FILE, "address": "x"}, r'sink\[0\].address: only for kind = "syslog" or "dnstap", not "file"'),
        ({**FILE, "max_bytes": 10}, r"sink\[0\].max_bytes"),
        ({**SYSLOG, "path": "x"}, r'sink\[0\].path: only for kind = "file" or "dnstap", not "syslog"'),
        ({"kind": "syslog"}, r"sink\[0\].address: required"),
        ({**SYSLOG, "address": "siem.example:0"}, r"sink\[0\].address: expected a port from 1 to 65535"),
        ({**SYSLOG, "address": "a b"}, r"sink\[0\].address: expected a host name or an address"),
        ({**SYSLOG, "transport": "udp", "confirm": False}, r"sink\[0\].confirm: only for transport"),
        ({**SYSLOG, "ca_file": "text"}, r'sink\[0\].transport: expected "tls" with a certificate'),
        ({**SYSLOG, "transport": "tls", "ca_file": "text"}, r"sink\[0\].ca_file: expected a file of PEM certificates"),
        ({**SYSLOG, "transport": "tls", "client_key_file": "text"}, r"sink\[0\].client_key_file: needs client_cert_file"),
        ({**SYSLOG, "transport": "tls", "client_cert_file": "text"}, r"sink\[0\].client_cert_file: cannot be used"),
        ({**SYSLOG, "transport": "tls", "client_cert_file": "no"}, r"sink\[0\].client_cert_file: cannot be read"),
        ({**TAP, "address": "127.0.0.1"}, r"sink\[0\]: expected one of path, a Unix socket, and address"),
        ({"kind": "dnstap"}, r"sink\[0\]: expected one of path"),
        ({**TAP, "records": ["findings"]}, r'sink\[0\].records\[0\]: expected "blocked" or "monitored"'),
        ({**TAP, "sample": 1e-9}, r"sink\[0\].sample: expected 0, or 1e-06 to 1, got 1e-09"),
        ({**FILE, "sample": 0.1}, r'sink\[0\].sample: only for kind = "dnstap", not "file"'),
        ({**TAP, "findings": ["tunnel"]}, r"sink\[0\].findings: dnstap has queries only"),
        ({"kind": "webhook"}, r"sink\[0\].url: required"),
        ({**HOOK, "url": "http://hooks.example/x"}, r"sink\[0\].url: expected https"),
        ({**HOOK, "url": "hooks"}, r"sink\[0\].url: expected a URL"),
        ({**HOOK, "format": "cef"}, r'sink\[0\].format: expected "ocsf" or "ecs"'),
        ({**HOOK, "secret_file": "no"}, r"sink\[0\].secret_file: cannot be read"),
        ({**HOOK, "records": ["blocked"], "findings": ["tunnel"]}, r'sink\[0\].findings: needs "findings" in records'),
        ({**HOOK, "findings": ["tunnels"]}, r"sink\[0\].findings\[0\]"),
        ({**HOUSE, "url": "ftp://x"}, r"sink\[0\].url: expected a URL"),
        ({**HOUSE, "database": "a-b"}, r"sink\[0\].database: expected at most 63 letters"),
        ({**HOUSE, "password_file": "text"}, r"sink\[0\].url: expected https"),
        ({**HOUSE, "password_file": "no"}, r"sink\[0\].password_file: cannot be read"),
        ({**FILE, "tenants": ["nroth"]}, r'sink\[0\].tenants\[0\]: no \[\[tenant\]\] has this name, got "nroth"; did you mean'),
        ({**FILE, "name": "store"}, r'sink\[0\].name: "store" is reserved'),
        ({**FILE, "timeout_s": 0}, r"sink\[0\].timeout_s"),
        ({**FILE, "secret": "x"}, r"sink\[0\].secret: unknown key"),
    ],
)
def test_broken_rules_name_the_key(tmp_path: Path, sink: dict[str, Any], error: str) -> None:
    """Each is an error with the key and what was expected."""
    import os  # noqa: PLC0415

    (tmp_path / "text").write_text("no certificate")
    os.mkfifo(tmp_path / "fifo")
    tenant = [{"name": "north", "networks": ["10.0.0.0/8"]}]
    with pytest.raises(ConfigErrors, match=error):
        settled(tmp_path, {"name": "x", **sink}, tenant=tenant)


def test_sinks_do_not_share(tmp_path: Path) -> None:
    """Two sinks have two names, and two files."""
    with pytest.raises(ConfigErrors, match=r'sink\[1\].name: "f" is already sink\[0\]'):
        settled(tmp_path, FILE, {**SYSLOG, "name": "f"})
    with pytest.raises(ConfigErrors, match=r"sink\[1\].path: .* is already the file of sink\[0\]"):
        settled(tmp_path, FILE, {**FILE, "name": "g", "path": "./out/events.jsonl"})
    with pytest.raises(ConfigErrors, match=r"sink: expected at most 32, got 33"):
        settled(tmp_path, *({**SYSLOG, "name": f"s{number}"} for number in range(33)))


@pytest.mark.parametrize("url", ["http://localhost:8080/x", "http://127.0.0.1/", "http://[::1]:8080/"])
def test_a_webhook_of_this_machine(tmp_path: Path, url: str) -> None:
    """What does not leave the machine need not be encrypted."""
    assert settled(tmp_path, {**HOOK, "url": url}).sink[0].url == url


def test_destinations() -> None:
    """Names, addresses of both kinds, with and without a port."""
    spelt = {
        "a.example": "a.example:9",
        "192.0.2.1:5": "192.0.2.1:5",
        "2001:db8::1": "[2001:db8::1]:9",
        "[::1]": "[::1]:9",
        "[::1]:5": "[::1]:5",
    }
    assert {text: str(parse_destination(text, 9)) for text in spelt} == spelt
    for text in ("", ":5", "a:b", "a:70000", "[::1]:", "a:", "a:1:2"):
        with pytest.raises(InvalidAddress):
            parse_destination(text, 9)


def test_a_private_authority_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and certificates are checked; the strict mode that Python 3.13 turns on is off, as for upstreams and mail."""
    strict = ssl.create_default_context()
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: strict)
    context = client_context(SinkSection(name="x", kind="syslog"))
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
