"""A real browser that resolves over HTTPS alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

if shutil.which("chromium") is None or shutil.which("certutil") is None:
    pytest.skip("chromium or certutil is not installed", allow_module_level=True)

from playwright.sync_api import Error, sync_playwright

from tests.integration.browser import CHROMIUM
from tests.integration.encryptedserving import BLOCKED, PAGE, encrypted
from tests.integration.hellopage import hello_page


def _profile(home: Path, url: str, ca_file: Path) -> Path:
    """A profile that is in secure mode with `url` as its resolver. The authority is known in `home`."""
    database = home / ".pki/nssdb"
    database.mkdir(parents=True)
    for arguments in (["-N", "--empty-password"], ["-A", "-t", "C,,", "-n", "authority", "-i", str(ca_file)]):
        subprocess.run(["certutil", "-d", f"sql:{database}", *arguments], check=True, timeout=60)
    profile = home / "profile"
    profile.mkdir()
    (profile / "Local State").write_text(json.dumps({"dns_over_https": {"mode": "secure", "templates": url}}))
    return profile


def test_secure_mode(tmp_path: Path) -> None:
    """Pages are found over HTTPS, and blocked names are not. Without the resolver nothing is found: no other is asked."""
    with (
        hello_page() as port,
        encrypted(tmp_path, ["https"], block={"action": "nxdomain"}) as server,
        sync_playwright() as playwright,
    ):
        home = tmp_path / "home"
        browser = playwright.chromium.launch_persistent_context(
            _profile(home, server.doh_url, server.ca_file),
            executable_path=CHROMIUM,
            args=["--no-sandbox"],
            env={**os.environ, "HOME": str(home)},
        )
        try:
            page = browser.new_page()
            page.goto(f"http://{PAGE}:{port}/", timeout=60_000)
            assert page.title() == "hello"
            assert server.asked("https") >= 1
            with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
                page.goto(f"http://{BLOCKED}:{port}/", timeout=60_000)
            assert server.pdns.value("blocked_total") >= 1
            server.pdns.stop()
            with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
                page.goto(f"http://other.{PAGE}:{port}/", timeout=60_000)
        finally:
            browser.close()
