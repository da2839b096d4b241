"""What `pdns check` says of encrypted listeners."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pdns.cli.check import check
from pdns.cli.listener_summary import attempt, listener_summary, listener_warnings
from pdns.config.addresses import Endpoint
from pdns.config.certificate_files import known_roots
from pdns.config.load import load
from pdns.config.schema import Config
from tests.certificates import Issued, issue, new_key, write_pair

ROOT = issue(authority=True, subject="Example Root")
TLS = '[[listener]]\ntransport = "tls"\nlisten = ["{}"]\ncert_file = "fullchain.pem"\nkey_file = "privkey.pem"\n'


def configured(directory: Path, text: str, issued: Issued, *chain: Issued) -> Config:
    write_pair(directory, issued, *chain)
    (directory / "pdns.toml").write_text(f'[upstream]\nservers = ["192.0.2.53"]\n{text}')
    return load(directory / "pdns.toml")


def test_summary(tmp_path: Path) -> None:
    """Addresses as URLs; names, type of the key, days and chain of each certificate."""
    text = TLS.format('0.0.0.0", "[::]:8853') + TLS.format("127.0.0.1").replace('"tls"', '"https"')
    config = configured(tmp_path, text, issue(("dns.example", "192.0.2.1"), days=63.4))
    assert list(listener_summary(config)) == [
        "tls://0.0.0.0:853, tls://[::]:8853",
        "  dns.example, 192.0.2.1 (ECDSA P-256, expires in 63 days, self-signed)",
        "https://127.0.0.1:443/dns-query",
        "  dns.example, 192.0.2.1 (ECDSA P-256, expires in 63 days, self-signed)",
    ]
    later = list(listener_summary(config, time.time() + 70 * 86400))
    assert "EXPIRED 7 days ago" in later[1]


@pytest.mark.parametrize(
    ("trusted", "chain", "said"),
    [(True, (), "chain complete"), (False, (), "chain not known here"), (False, (ROOT,), "with its root")],
)
def test_chain(trusted: bool, chain: tuple[Issued, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain that ends with an authority of this system is complete; of another one it is said."""
    (tmp_path / "roots.pem").write_bytes((ROOT if trusted else issue(authority=True, subject="Other")).cert_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    known_roots.cache_clear()
    try:
        config = configured(tmp_path, TLS.format("127.0.0.1"), issue(issuer=ROOT), *chain)
        assert said in list(listener_summary(config))[1]
        warned = [line for line in listener_warnings(config) if "ends with CN=Example Root" in line]
        assert len(warned) == (said == "chain not known here")
    finally:
        known_roots.cache_clear()


def test_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Dear handshakes, and addresses that clients cannot verify; `pdns check` prints them and is content."""
    config = configured(tmp_path, TLS.format('192.0.2.1", "127.0.0.1'), issue(("dns.example",), key=new_key("rsa2048")))
    dear, hidden = listener_warnings(config)
    assert dear.startswith("listener[0]: ECDSA P-256 makes handshakes cheaper")
    assert hidden.startswith("listener[0]: no certificate has 192.0.2.1: ")
    assert check(tmp_path / "pdns.toml") == 0
    output, errors = capsys.readouterr()
    assert "encrypted tls://192.0.2.1:853, tls://127.0.0.1:853\n" in output
    assert "            dns.example (RSA 2048, " in output
    assert hidden in errors


@pytest.mark.parametrize(
    ("transport", "command"),
    [
        ("tls", "kdig +tls @127.0.0.1 -p 853 example.com"),
        ("https", "kdig +https=/dns-query @127.0.0.1 -p 853 example.com"),
        ("quic", "kdig +quic @127.0.0.1 -p 853 example.com"),
        ("h3", ""),
    ],
)
def test_attempt(transport: str, command: str, tmp_path: Path) -> None:
    """A command that can be pasted, also where the listener has all addresses."""
    config = configured(tmp_path, TLS.format("0.0.0.0:853").replace('"tls"', f'"{transport}"'), issue())
    assert attempt(config.listener[0], Endpoint("0.0.0.0", 853), "example.com") == command
