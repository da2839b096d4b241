"""Certificates that are renewed while clients are connected."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Issued, issue, write_pair
from tests.integration.running_pdns import RunningPdns
from tests.integration.tlsclient import NAME, DotClient, OpenConnections, context, shown_by

ROOT = Path(__file__).parents[2]
FILES = ("privkey.pem", "fullchain.pem")


class Renewals:
    """A directory as certbot keeps it: links in `live`, numbered files in `archive`."""

    def __init__(self, directory: Path) -> None:
        self.live, self._archive, self._number = directory / "live", directory / "archive", 0
        for made in (self.live, self._archive):
            made.mkdir()
        self.current = self.renew()

    def renew(self) -> Issued:
        """A new certificate, with links swapped one after the other."""
        self._number += 1
        self.current = issue()
        write_pair(self._archive, self.current, name=f"{self._number}-")
        for name in FILES:
            (self.live / name).unlink(missing_ok=True)
            (self.live / name).symlink_to(f"../archive/{self._number}-{name}")
        return self.current

    def listener(self, transport: str = "tls", port: int = 0) -> dict[str, Any]:
        private, chain = (str(self.live / name) for name in FILES)
        return {"transport": transport, "listen": [f"127.0.0.1:{port}"], "cert_file": chain, "key_file": private}


@pytest.fixture(scope="module")
def renewals(tmp_path_factory: pytest.TempPathFactory) -> Renewals:
    return Renewals(tmp_path_factory.mktemp("certificates"))


def config(*listeners: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"listener": list(listeners), "record": [{"name": NAME, "a": ["192.0.2.7"]}], **more}


@pytest.fixture(scope="module")
def pdns(tmp_path_factory: pytest.TempPathFactory, renewals: Renewals) -> Iterator[RunningPdns]:
    with RunningPdns(tmp_path_factory.mktemp("pdns"), config(renewals.listener())) as running:
        yield running


@pytest.fixture(scope="module")
def port(pdns: RunningPdns) -> int:
    found = re.search(r"tls://127\.0\.0\.1:(\d+)", pdns.output)
    assert found is not None
    return int(found[1])


def wait_for_certificate(pdns: RunningPdns, port: int, issued: Issued) -> None:
    pdns.wait_for(lambda: shown_by(port) == issued.sha256, "the new certificate")


def test_a_renewal_under_load_drops_no_connection(pdns: RunningPdns, port: int, renewals: Renewals) -> None:
    """Connections that are open go on with the certificate that they have; new ones get the new certificate."""
    assert shown_by(port) == renewals.current.sha256
    with OpenConnections(port, 24) as opened, DotClient(port) as idle:
        for _ in range(3):
            old, new = renewals.current, renewals.renew()
            wait_for_certificate(pdns, port, new)
            assert idle.sha256 != new.sha256
            assert old.sha256 != shown_by(port)
        opened.wait_for_answers()
        assert idle.ask().answer
    assert opened.failures == []
    expiry = renewals.current.certificate.not_valid_after_utc.timestamp()
    assert pdns.value("certificate_expiry_timestamp_seconds") == expiry
    assert pdns.value("certificate_reload_failures_total") == 0


def test_sessions_outlive_a_worker(pdns: RunningPdns, port: int, renewals: Renewals) -> None:
    """Every worker, and one that replaces it, has the certificate that is in force and the same ticket keys."""
    shared = context()
    with DotClient(port, with_context=shared) as client:
        client.ask()
        session = client.session
    assert session is not None
    before = pdns.value("worker_restarts_total")
    killed = pdns.worker_pids
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    pdns.wait_for(lambda: pdns.value("worker_restarts_total") >= before + len(killed), "new workers")
    pdns.wait_for(lambda: pdns.value("worker_up") == len(killed), "all workers")
    for _ in range(8):
        with DotClient(port, session=session, with_context=shared) as client:
            assert client.ask().answer
            assert client.was_resumed
        assert shown_by(port) == renewals.current.sha256


def test_new_processes_go_on(pdns: RunningPdns, port: int, renewals: Renewals) -> None:
    """While all workers are replaced by new processes, connections wait for a moment and are then served."""
    old = set(pdns.worker_pids)
    pdns.send_signal(signal.SIGUSR2)
    asked = 0
    while set(pdns.worker_pids) & old:
        assert shown_by(port) == renewals.current.sha256
        asked += 1
        time.sleep(0.1)  # below `encrypted.new_connections_per_client_per_s`
    assert asked
    pdns.wait_for_log("the workers and feeds are new processes")
    assert shown_by(port) == renewals.current.sha256


def test_listeners_come_and_go(pdns: RunningPdns, port: int, renewals: Renewals) -> None:
    """A listener before another one is added and removed: the other one keeps its socket, its connections and its certificate."""
    cert, key = write_pair(pdns.directory, issue(("other.example",)), name="other-")
    added = {"transport": "tls", "listen": ["127.0.0.2:0"], "cert_file": str(cert), "key_file": str(key)}
    with OpenConnections(port, 8) as opened:
        for listeners in ((added, renewals.listener()), (renewals.listener(),)):
            pdns.write_config(config(*listeners))
            pdns.reload()
            for _ in range(4):
                assert shown_by(port) == renewals.current.sha256
        opened.wait_for_answers()
    assert opened.failures == []


def test_the_hook_of_certbot(pdns: RunningPdns, port: int, renewals: Renewals) -> None:
    """What the hook copies is served, and what it copies after the next renewal too."""
    copies = pdns.directory / "copies"
    variables = {"CERTIFICATES": str(copies), "GROUP": str(os.getegid()), "RENEWED_LINEAGE": str(renewals.live)}

    def hook() -> None:
        subprocess.run([ROOT / "deploy/certificates/copy-certificate"], env={**os.environ, **variables}, check=True)

    hook()
    listener = renewals.listener() | {
        "cert_file": str(copies / "live/fullchain.pem"), "key_file": str(copies / "live/privkey.pem")
    }  # fmt: skip
    pdns.write_config(config(listener))
    pdns.reload()
    assert shown_by(port) == renewals.current.sha256
    for _ in range(2):
        renewals.renew()
        hook()
        wait_for_certificate(pdns, port, renewals.current)
    assert pdns.value("certificate_reload_failures_total") == 0
    pdns.write_config(config(renewals.listener()))
    pdns.reload()


def test_a_broken_renewal_changes_nothing(pdns: RunningPdns, port: int, renewals: Renewals) -> None:
    """The previous certificate is served, which is said; other changes go live meanwhile; correct files end it."""
    good = renewals.live / "privkey.pem"
    target = good.readlink()
    (pdns.directory / "broken.pem").write_bytes(issue().key_pem)
    good.unlink()
    good.symlink_to(pdns.directory / "broken.pem")
    pdns.wait_for(lambda: pdns.value("certificate_files_usable") == 0, "the files are found broken")
    assert pdns.value("certificate_reload_failures_total") == 1
    said = f"listener[0].key_file: the key in {good} does not belong to the certificate in {renewals.live / 'fullchain.pem'}"
    pdns.wait_for_log(f"{said}: not used, the previous one stays in force")
    assert said in pdns.get("/readyz")[1]
    pdns.write_config(config(renewals.listener(), block={"ttl_s": 77}))
    pdns.reload()
    assert shown_by(port) == renewals.current.sha256
    good.unlink()
    good.symlink_to(target)
    pdns.wait_for(lambda: pdns.value("certificate_files_usable") == 1, "the files are usable")
    wait_for_certificate(pdns, port, renewals.renew())
    assert "PRIVATE KEY" not in pdns.log + pdns.output
