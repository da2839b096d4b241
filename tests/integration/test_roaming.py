"""The real program and devices whose address may not ask: known by a token, a certificate or a server name, until revoked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dns.rcode
import pytest

from tests.certificates import issue
from tests.integration.apiclient import Api
from tests.integration.dohconnection import DohConnection, over_dot, trusting
from tests.integration.encryptedserving import BLOCKED, NAME, Encrypted, encrypted
from tests.integration.running_pdns import ROOT

LEEDS = f"leeds.{NAME}"  # a TLS server name
OPEN = "www.example.net"
TENANTS: list[dict[str, Any]] = [
    {"name": "leeds", "tls_names": [LEEDS], "policy": "strict"},
    {"name": "york"},
    {"name": "hull", "certificate_sha256": "ab" * 32},
]
POLICIES = [{"name": "strict", "block": [OPEN]}]
GUESSED = "AAAAAAAAAAAAAAAAAAAAAAAA"


class Scene(NamedTuple):
    """A running program whose `access.networks` are elsewhere."""

    server: Encrypted
    directory: Path

    def pdns(self, *words: str, code: int = 0) -> str:
        """What `pdns tenant` prints."""
        command = [sys.executable, "-m", "pdns", "tenant", *words, "-c", str(self.server.pdns.config_path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
        assert done.returncode == code, done
        return done.stdout + done.stderr

    def enrolled(self, tenant: str, *options: str) -> tuple[str, str]:
        """ID and token of a new device."""
        said = json.loads(self.pdns("enroll", tenant, "--host", NAME, "--json", *options))
        return said["access"]["id"], said["token"]

    def connection(self) -> DohConnection:
        context = trusting(self.server.ca_file, protocol="h2")
        return DohConnection(self.server.ports["https"], context, NAME)

    def over_doh(self, token: str, name: str = OPEN) -> str:
        """The answer in one word, on a connection of its own."""
        with self.connection() as connection:
            return answer(connection, token, name)

    def over_dot(self, server_name: str, certificate: Path | None = None, name: str = OPEN) -> str:
        """Likewise."""
        context = trusting(self.server.ca_file, certificate, protocol="dot")
        return dns.rcode.to_text(over_dot(self.server.ports["tls"], context, server_name, name).rcode())

    def refused(self, reason: str) -> float:
        return self.server.pdns.value("credentials_refused_total", reason=reason)

    def certificate(self, name: str) -> tuple[Path, str]:
        """A new certificate of the authority that the listener accepts, with its key in one file; and its fingerprint."""
        issued = issue((name,), issuer=self.server.authority)
        path = self.directory / f"{name}.pem"
        path.write_bytes(issued.cert_pem + issued.key_pem)
        return path, issued.sha256


def answer(connection: DohConnection, token: str, name: str = OPEN) -> str:
    """The status of HTTP, or of DNS."""
    status, message = connection.ask(f"/dns-query/{token}" if token else "/dns-query", name)
    return str(status) if message is None else dns.rcode.to_text(message.rcode())


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    directory = tmp_path_factory.mktemp("roaming")
    tls = {"client_certificate": "optional", "client_ca_file": str(directory / "ca.pem"), "admit_by_server_name": True}
    sections: dict[str, Any] = {
        "tenant": TENANTS,
        "policy": POLICIES,
        "access": {"networks": ["192.0.2.0/24"]},
        "block": {"action": "nxdomain"},
    }
    with encrypted(directory, further={"tls": tls}, **sections) as server:
        yield Scene(server, directory)


def test_a_token_admits_and_selects_the_policy(scene: Scene) -> None:
    """From an address that may not ask: without a token REFUSED, with one that was guessed 404. Two tenants, two answers."""
    _, leeds = scene.enrolled("leeds")
    _, york = scene.enrolled("york")
    assert scene.over_doh("") == "REFUSED"
    assert scene.over_doh(GUESSED) == "404"
    assert scene.refused("unknown_token") == 1
    assert (scene.over_doh(leeds), scene.over_doh(york)) == ("NXDOMAIN", "NOERROR")
    assert scene.over_doh(york, BLOCKED) == "NXDOMAIN"
    pdns = scene.server.pdns
    assert (pdns.value("queries_total", tenant="leeds"), pdns.value("queries_total", tenant="york")) == (1, 2)


def test_revoking_acts_on_open_connections(scene: Scene) -> None:
    """When the command returns, the next request on a connection that was open before gets 404. Another device's goes on."""
    lost, lost_token = scene.enrolled("york", "--device", "lost")
    _, kept_token = scene.enrolled("york", "--device", "kept")
    with scene.connection() as connection:
        assert answer(connection, lost_token) == answer(connection, kept_token) == "NOERROR"
        assert scene.pdns("revoke", "york", "--device", "lost") == f"revoked for tenant york: {lost}\n"
        assert answer(connection, lost_token) == "404"
        assert answer(connection, kept_token) == "NOERROR"
        assert answer(connection, lost_token) == "404"
    assert scene.refused("revoked") >= 1


def test_a_token_ends_by_itself(scene: Scene) -> None:
    """On an open connection too."""
    _, token = scene.enrolled("york", "--expires", "5s")
    with scene.connection() as connection:
        assert answer(connection, token) == "NOERROR"
        scene.server.pdns.wait_for(lambda: answer(connection, token) == "404", "the token has expired")
    assert scene.refused("expired") >= 1


def test_a_server_name_admits_where_the_listener_says_so(scene: Scene) -> None:
    """Over DoT here, not over DoH; a name of no tenant admits to nothing."""
    assert scene.over_dot(LEEDS) == "NXDOMAIN"
    assert scene.over_dot(NAME) == "REFUSED"
    with DohConnection(scene.server.ports["https"], trusting(scene.server.ca_file, protocol="h2"), LEEDS) as connection:
        assert answer(connection, "") == "REFUSED"


def test_a_certificate_is_known_by_its_fingerprint(scene: Scene) -> None:
    """Of two that the authority has issued, the enrolled one admits until it is revoked, and decides before the server name."""
    (laptop, fingerprint), (other, _) = scene.certificate("laptop"), scene.certificate("other")
    assert "certificate" in scene.pdns("enroll", "york", "--host", NAME, "--certificate-sha256", fingerprint)
    assert scene.over_dot(LEEDS, laptop) == "NOERROR"
    assert scene.over_dot(LEEDS, other) == "REFUSED"
    assert scene.refused("unknown_certificate") >= 1
    scene.pdns("revoke", "york", fingerprint[:12])
    assert scene.over_dot(LEEDS, laptop) == "REFUSED"


def test_the_api_does_the_same(scene: Scene) -> None:
    """Enrolled, listed without the token, revoked."""
    api = Api(scene.server.pdns)
    said = api.local("POST", "/api/tenants/york/credentials", {"device": "tablet", "host": NAME, "profile": True})
    assert said.status == 200
    token, url = said.body["token"], said.body["access"]["doh_url"]
    assert url == f"https://{NAME}:{scene.server.ports['https']}/dns-query/{token}"
    assert f"<string>{url}</string>" in said.body["profile"]
    assert scene.over_doh(token) == "NOERROR"
    listed = api.local("GET", "/api/tenants/york/credentials")
    assert [one["state"] for one in listed.body if one["device"] == "tablet"] == ["valid"]
    assert token not in str(listed.body)
    assert api.local("POST", "/api/tenants/york/credentials/revoke", {"device": "tablet"}).status == 200
    assert scene.over_doh(token) == "404"
    assert api.local("POST", "/api/tenants/york/credentials/revoke", {"device": "tablet"}).status == 409
    assert api.local("POST", "/api/tenants/ripon/credentials", {}).status == 404
    theirs = {"host": NAME, "certificate_sha256": "AB" * 32}
    assert api.local("POST", "/api/tenants/york/credentials", theirs).status == 409


def test_enrolments_outlive_processes(scene: Scene) -> None:
    """A reload, new workers, another server: the same tokens are valid and revoked. None is anywhere but at its device."""
    pdns = scene.server.pdns
    _, token = scene.enrolled("york", "--device", "phone")
    gone, gone_token = scene.enrolled("york")
    scene.pdns("revoke", "york", gone)

    def both() -> tuple[str, str]:
        return scene.over_doh(token), scene.over_doh(gone_token)

    pdns.reload()
    assert both() == ("NOERROR", "404")
    before = set(pdns.worker_pids)
    pdns.send_signal(signal.SIGUSR2)
    pdns.wait_for(lambda: len(pdns.worker_pids) == 2 and not before & set(pdns.worker_pids), "new workers")
    assert both() == ("NOERROR", "404")
    log = pdns.log
    assert pdns.stop() == 0
    pdns.start()
    assert both() == ("NOERROR", "404")
    said = f"{log}{pdns.log}{pdns.output}{pdns.get('/metrics')[1]}{pdns.get('/readyz')[1]}".encode()
    said += b"".join(path.read_bytes() for path in pdns.state_dir.rglob("*") if path.is_file())
    assert [shown for shown in (token, gone_token, GUESSED) if shown.encode() in said] == []
    assert "phone" in said.decode(errors="replace")
