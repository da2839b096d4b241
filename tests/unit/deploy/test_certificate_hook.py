"""The hook that copies renewed certificates: for certbot, lego and others."""

from __future__ import annotations

import grp
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pdns.config.certificate_files import read_pair
from tests.certificates import Issued, issue, write_pair

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "deploy/certificates"
HOOK = SHIPPED / "copy-certificate"
CHAIN, KEY = "fullchain.pem", "privkey.pem"


def run(directory: Path, *arguments: str | Path, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the hook, which writes below `directory`."""
    environment = {
        "PATH": os.environ["PATH"], "CERTIFICATES": str(directory / "to here"), "GROUP": grp.getgrgid(os.getegid()).gr_name,
    }  # fmt: skip
    environment |= {name: str(value) for name, value in variables.items()}
    return subprocess.run([str(HOOK), *map(str, arguments)], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def lineage(tmp_path: Path) -> Path:
    """As certbot keeps it."""
    lineage = tmp_path / "live of certbot/dns.example.org"
    lineage.mkdir(parents=True)
    return lineage


def copied(directory: Path) -> Issued | str:
    """The fingerprint of the certificate that was copied, once the copies are as they should be."""
    below = directory / "to here/dns.example.org"
    assert sorted(path.name for path in below.iterdir()) == [CHAIN, KEY]
    assert {(below / name).stat().st_mode & 0o777 for name in (CHAIN, KEY)} == {0o640}
    assert below.stat().st_mode & 0o007 == 0
    return read_pair(below / CHAIN, below / KEY).details.sha256


def test_certbot(lineage: Path, tmp_path: Path) -> None:
    """Its variables name the directory; a second renewal replaces the files."""
    for _ in range(2):
        write_pair(lineage, issued := issue())
        done = run(tmp_path, RENEWED_LINEAGE=lineage, RENEWED_DOMAINS="dns.example.org")
        assert (done.returncode, done.stderr) == (0, "")
        assert copied(tmp_path) == issued.sha256


def test_lego(tmp_path: Path) -> None:
    """Its variables name both files and the domain."""
    cert, key = write_pair(tmp_path, issued := issue(), name="lego-")
    done = run(tmp_path, LEGO_CERT_PATH=cert, LEGO_CERT_KEY_PATH=key, LEGO_CERT_DOMAIN="dns.example.org")
    assert (done.returncode, done.stderr) == (0, "")
    assert copied(tmp_path) == issued.sha256


def test_by_hand(tmp_path: Path) -> None:
    """Arguments come before variables."""
    cert, key = write_pair(tmp_path, issued := issue())
    assert run(tmp_path, cert, key, "dns.example.org", RENEWED_LINEAGE="/nowhere").returncode == 0
    assert copied(tmp_path) == issued.sha256


@pytest.mark.parametrize("name", ["..", ".", "a/b", ""])
def test_names_lead_nowhere_else(name: str, tmp_path: Path) -> None:
    """A name is one part of a path."""
    cert, key = write_pair(tmp_path, issue())
    assert run(tmp_path, cert, key, name).returncode != 0
    assert not (tmp_path / "to here").exists()


def test_a_missing_file_leaves_the_others(lineage: Path, tmp_path: Path) -> None:
    """It fails before anything is replaced."""
    write_pair(lineage, issued := issue())
    assert run(tmp_path, RENEWED_LINEAGE=lineage).returncode == 0
    (lineage / KEY).unlink()
    done = run(tmp_path, RENEWED_LINEAGE=lineage)
    assert done.returncode != 0
    assert KEY in done.stderr
    assert copied(tmp_path) == issued.sha256
    assert "FULLCHAIN KEY NAME" in run(tmp_path).stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    """It is a script for any POSIX shell."""
    done = subprocess.run(["shellcheck", "--shell=sh", str(HOOK)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """The path unit starts the service of its name; both watch and copy the same lineage."""
    units = sorted(SHIPPED.glob("protective-dns-certificate.*"))
    assert [unit.suffix for unit in units] == [".path", ".service"]
    for unit in units:
        (tmp_path / unit.name).write_text(unit.read_text().replace("/usr/local/sbin/copy-certificate", "/bin/true"))
    names = [str(tmp_path / unit.name) for unit in units]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lineages = {name for unit in units for name in re.findall(r"/etc/letsencrypt/live/([\w.]+)", unit.read_text())}
    assert lineages == {"dns.example.org"}
