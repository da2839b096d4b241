"""testssl.sh against the encrypted listeners over TCP."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.certificates import issue, new_key, write_pair
from tests.integration.encryptedserving import NAME, encrypted

OF_THE_CERTIFICATE = {"cert_revocation", "DNS_CAArecord"}  # where it could be looked up is up to whoever issues it
NOTHING = {"OK", "INFO", "DEBUG"}
# A check that failed is no finding: it was gone before the ticket came; its own OpenSSL cannot load a module for GOST.
NOT_LOOKED = {("sessionresumption_ticket", "WARN"), ("engine_problem", "WARN")}
# protocols, ciphers, forward secrecy, order, defaults, and known attacks, which take most of the time: with one kind of key
SCANS = {"ec": ["-p", "-s", "-f", "-P", "-S", "-U"], "rsa2048": ["-p", "-s", "-f", "-P", "-S"]}
LIMITS = {"max_connections_per_client": 2000, "max_handshakes": 1000, "new_connections_per_client_per_s": 10000}

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.mark.skipif(shutil.which("testssl") is None, reason="testssl is not installed")
@pytest.mark.parametrize(("transport", "kind"), [("tls", "ec"), ("https", "rsa2048")])
def test_testssl_finds_nothing(tmp_path: Path, transport: str, kind: str) -> None:
    """Protocols, ciphers, groups, order, extensions and known attacks: nothing above informational."""
    below = tmp_path / "certificate"
    below.mkdir()
    authority = issue((), authority=True, subject="Authority of the scan")
    (below / "ca.pem").write_bytes(authority.cert_pem)
    cert, key = write_pair(below, issue((NAME, "127.0.0.1"), issuer=authority, key=new_key(kind)))
    further = {transport: {"cert_file": str(cert), "key_file": str(key)}}
    found = tmp_path / "found.json"
    with encrypted(tmp_path, (transport,), further, encrypted=LIMITS) as running:
        command = ["testssl", "--quiet", "--warnings", "off", "--color", "0", "--ip", "one", "--nodns", "min"]
        command += ["--add-ca", str(below / "ca.pem"), "--jsonfile", str(found), *SCANS[kind]]
        run = subprocess.run(
            [*command, f"127.0.0.1:{running.ports[transport]}"], capture_output=True, text=True, timeout=800, check=False
        )
    results = json.loads(found.read_text())
    by_id = {one["id"]: one["finding"] for one in results}
    assert "offered" in by_id["TLS1_3"], run.stdout  # it did reach the listener
    assert by_id["cert_chain_of_trust"] == "passed."
    flagged = [one for one in results if one["severity"] not in NOTHING and one["id"] not in OF_THE_CERTIFICATE]
    assert [one for one in flagged if (one["id"], one["severity"]) not in NOT_LOOKED] == []
