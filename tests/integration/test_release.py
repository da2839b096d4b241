"""`make release` in a clone: it tags what agrees, builds the same bytes twice, and stops at what does not agree."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "build/release/tools"

pytestmark = [
    pytest.mark.long,
    pytest.mark.realtime,  # because it needs the network of the machine
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
]


def git(clone: Path, *command: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    return subprocess.run(["git", *who, *command], cwd=clone, capture_output=True, text=True, check=True).stdout.strip()


def release(clone: Path, version: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`make release`, without the kernels and without the Debian package: tests of their own build those."""
    parts = {"PARTS": "wheel", "PDNS_COMPILED": "1", "RELEASE_TOOLS": str(TOOLS), "PYTHON": sys.executable}
    who = {f"GIT_{role}_{key}": "a" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    around = {**os.environ, **parts, **who, **more}
    command = ["make", "-s", "release", f"VERSION={version}"]
    return subprocess.run(command, cwd=clone, env=around, capture_output=True, text=True, check=False, timeout=800)


def test_a_release(tmp_path: Path) -> None:
    """One that is refused leaves no tag; one that is made has the files that docs/release.md names, signed."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-tags", ROOT, clone], check=True)
    today = datetime.now(UTC).date()
    changelog = clone / "CHANGELOG.md"
    (clone / "pdns/__init__.py").write_text('__version__ = "7.8.9"\n')
    refused = release(clone, "7.8.9")
    assert "changes that are not committed" in refused.stderr
    git(clone, "commit", "-qam", "a version")
    refused = release(clone, "7.8.9")
    assert f"add `## [7.8.9] - {today}`" in refused.stderr
    assert refused.returncode != 0
    changelog.write_text(changelog.read_text().replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [7.8.9] - {today}\n", 1))
    git(clone, "commit", "-qam", "a changelog")
    assert git(clone, "tag") == ""

    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    made = release(clone, "7.8.9", SIGNING_KEY=str(key))
    assert made.returncode == 0, made.stdout + made.stderr
    assert git(clone, "tag", "--points-at", "HEAD") == "v7.8.9"
    files = clone / "dist/7.8.9"
    (wheel,), (source,) = files.glob("*.whl"), files.glob("*.tar.gz")
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=files, check=True)
    assert (files / "SHA256SUMS.sig").read_text().startswith("-----BEGIN SSH SIGNATURE-----")
    bill = json.loads((files / "protective-dns-7.8.9.cdx.json").read_text())
    parts = {each["name"]: each["version"] for each in bill["components"]}
    assert f"aiohttp=={parts['aiohttp']} \\\n" in (ROOT / "deploy/requirements.lock").read_text()
    assert "| aiohttp |" in (files / "licences.md").read_text()
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        assert opened.read("pdns/commit.txt").decode().strip() == git(clone, "rev-parse", "--short=12", "HEAD")
    assert {name.split("/")[0] for name in names} == {"pdns", "feeds", "protective_dns-7.8.9.dist-info"}
    for name in ("feeds/catalogue.toml", "pdns/example/pdns.toml", "pdns/events/public_resolvers.txt"):
        assert name in names
    with tarfile.open(source) as archive:
        assert "protective_dns-7.8.9/setup.py" in archive.getnames()
    assert "There is a tag v7.8.9 already" in release(clone, "7.8.9").stderr

    elsewhere = tmp_path / "another place"
    subprocess.run(["git", "clone", "-q", clone, elsewhere], check=True)
    again = {**os.environ, "PDNS_COMPILED": "1", "SOURCE_DATE_EPOCH": git(clone, "log", "-1", "--format=%ct")}
    subprocess.run([elsewhere / "deploy/build-wheel", TOOLS / "bin/python", tmp_path / "again"], env=again, check=True)
    for each in (wheel, source):
        second = (tmp_path / "again" / each.name).read_bytes()
        assert hashlib.sha256(second).hexdigest() == hashlib.sha256(each.read_bytes()).hexdigest(), each.name
