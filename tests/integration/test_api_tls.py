"""The API over TCP with TLS: certificates that change, clients that are no good, and what stays plain."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path

import pytest

from tests.integration.apiclient import ADMIN, Api, admin_section, write_certificate
from tests.integration.running_pdns import RunningPdns


def trusting(cert: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(cert))


class Encrypted(Api):
    """A program whose API has TLS."""

    def __init__(self, pdns: RunningPdns, directory: Path) -> None:
        super().__init__(pdns)
        self.cert, self.key = directory / "api.crt", directory / "api.key"

    def status(self) -> int:
        return self.call("GET", "/api/version", ADMIN, tls=trusting(self.cert)).status


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Encrypted]:
    cert, key = write_certificate(tmp_path / "api")
    section = admin_section(tmp_path, token=[], tls_cert_file=str(cert), tls_key_file=str(key))
    with RunningPdns(tmp_path, {"admin": section, "server": {"workers": 1}}) as pdns:
        yield Encrypted(pdns, tmp_path)


def test_a_new_certificate_is_used_without_dropping_anyone(api: Encrypted) -> None:
    """New connections get the new certificate within seconds; one that was open goes on. A pair that does not match changes
    nothing, and the log says so.
    """
    assert api.status() == 200
    kept = HTTPSConnection("127.0.0.1", api.port, timeout=60, context=trusting(api.cert))

    def status_of_kept() -> int:
        kept.request("GET", "/api/version", headers={"Authorization": f"Bearer {ADMIN}"})
        response = kept.getresponse()
        response.read()
        return response.status

    assert status_of_kept() == 200
    before = api.cert.read_bytes()
    write_certificate(api.pdns.directory / "new")
    api.cert.write_bytes((api.pdns.directory / "new.crt").read_bytes())
    api.pdns.wait_for_log("admin.tls_cert_file: cannot be used with admin.tls_key_file: key values mismatch")
    old = api.pdns.directory / "old.crt"
    old.write_bytes(before)
    assert api.call("GET", "/api/version", ADMIN, tls=trusting(old)).status == 200
    api.key.write_bytes((api.pdns.directory / "new.key").read_bytes())

    def is_new() -> bool:
        try:
            return api.status() == 200
        except ssl.SSLCertVerificationError:
            return False

    api.pdns.wait_for(is_new, "the new certificate")
    with pytest.raises(ssl.SSLCertVerificationError):
        api.call("GET", "/api/version", ADMIN, tls=trusting(old))
    assert status_of_kept() == 200
    kept.close()


def test_clients_without_tls_cost_nothing(api: Encrypted) -> None:
    """Plain HTTP, silence, and connections that end in the middle: none is answered, and the others are."""
    silent = [socket.create_connection(("127.0.0.1", api.port)) for _ in range(100)]  # more than are allowed
    for number, sock in enumerate(silent[:30]):
        sock.sendall([b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01", b"x" * 3000][number % 3])
    assert api.status() == 200
    for sock in silent:
        sock.close()
    assert api.status() == 200
    assert api.pdns.value("http_connections_dropped_total", server="admin") > 30


def test_tls_is_switched_on_and_off(tmp_path: Path) -> None:
    """By a reload, at the same address: nothing has to be bound again."""
    cert, key = write_certificate(tmp_path / "api")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    plain = admin_section(tmp_path, token=[], listen=f"127.0.0.1:{port}")
    encrypted = {**plain, "tls_cert_file": str(cert), "tls_key_file": str(key)}
    with RunningPdns(tmp_path, {"admin": plain, "server": {"workers": 1}}) as pdns:
        api = Encrypted(pdns, tmp_path)
        assert api.call("GET", "/api/version", ADMIN).status == 200
        pdns.write_config({"admin": encrypted, "server": {"workers": 1}})
        pdns.reload()
        assert api.status() == 200
        pdns.write_config({"admin": plain, "server": {"workers": 1}})
        pdns.reload()
        assert api.call("GET", "/api/version", ADMIN).status == 200


def test_the_socket_moves_and_goes(tmp_path: Path) -> None:
    """A reload serves another path, or none; the file of the one before is gone, and at the end the last one is."""
    other = tmp_path / "state/other.sock"
    with RunningPdns(tmp_path, {"server": {"workers": 1}}) as pdns:
        api = Api(pdns)
        assert api.local("GET", "/api/version").status == 200
        pdns.write_config({"server": {"workers": 1}, "admin": {"socket": str(other)}})
        pdns.reload()
        pdns.wait_for(other.exists, "the new one")
        assert not (pdns.state_dir / "admin.sock").exists()
        pdns.write_config({"server": {"workers": 1}, "admin": {"socket_group": "no-such-group"}})
        before = time.time()
        assert api.pdns.value("config_last_reload_successful") == 1
        pdns.wait_for_log("admin.socket_group: no-such-group: there is no such group")
        assert other.exists(), before
        pdns.write_config({"server": {"workers": 1}, "admin": {"socket": "off"}})
        pdns.reload()
        pdns.wait_for(lambda: not other.exists(), "gone")
        pdns.write_config({"server": {"workers": 1}})
        pdns.reload()
        assert api.local("GET", "/api/version").status == 200
    assert not (pdns.state_dir / "admin.sock").exists()
