"""`pdns tenant`: what it prints and writes, where no server runs."""

from __future__ import annotations

import json
import plistlib
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pdns.enrolment.tokens import sha256_of
from pdns.state import enrolments

ROOT = Path(__file__).parents[3]
DIGEST = "ab" * 32
OTHER_DIGEST = "cd" * 32


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "pdns.toml"
    tenants = '[[tenant]]\nname = "leeds"\ntls_names = ["leeds.dns.example"]\n[[tenant]]\nname = "york"\n'
    path.write_text(
        f'{tenants}doh_token_sha256 = "{DIGEST}"\n[upstream]\nservers = ["192.0.2.53"]\n[state]\ndir = "{tmp_path / "state"}"\n'
    )
    return path


def run(config: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "pdns", "tenant", *words, "-c", str(config)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == code, done
    return done


def everything(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def test_the_token_is_shown_once(config: Path) -> None:
    """And is in the profile, which only its owner may read; the state directory has its digest, and the audit log no more."""
    profile = config.parent / "a.mobileconfig"
    done = run(
        config, "enroll", "leeds", "--device", "Ann's phone", "--expires", "90d", "--host", "dns.example",
        "--profile", str(profile), "--qr",
    )  # fmt: skip
    found = re.search(r"^  (https://dns\.example/dns-query/([A-Za-z0-9_-]{24}))$", done.stdout, re.MULTILINE)
    assert found is not None
    url, token = found[1], found[2]
    assert plistlib.loads(profile.read_bytes())["PayloadContent"][0]["DNSSettings"]["ServerURL"] == url
    assert stat.S_IMODE(profile.stat().st_mode) == 0o600
    (entry,) = enrolments.read(config.parent / "state").enrolments
    assert (entry.tenant, entry.sha256, entry.device) == ("leeds", sha256_of(token), "Ann's phone")
    assert entry.expires_s > entry.added_s
    assert token.encode() not in everything(config.parent / "state")
    assert "█" in done.stdout or "##" in done.stdout
    assert done.stdout.startswith(f"token {entry.id} of tenant leeds for Ann's phone is valid until ")
    listed = run(config, "list", "leeds").stdout
    assert entry.id in listed
    assert token not in listed
    assert run(config, "revoke", "leeds", entry.id).stdout == f"revoked for tenant leeds: {entry.id}\n"
    assert [one["state"] for one in json.loads(run(config, "list", "leeds", "--json").stdout)] == ["revoked"]


def test_programs_get_json(config: Path) -> None:
    """A known digest makes no token."""
    said = json.loads(run(config, "enroll", "leeds", "--host", "dns.example", "--json").stdout)
    assert said["access"]["doh_url"] == f"https://dns.example/dns-query/{said['token']}"
    assert said["access"]["id"] == sha256_of(said["token"])[:12]
    said = json.loads(
        run(config, "enroll", "leeds", "--host", "dns.example", "--certificate-sha256", OTHER_DIGEST.upper(), "--json").stdout
    )
    assert (said["token"], said["access"]["doh_url"]) == ("", "https://dns.example/dns-query")
    kinds = [(one["tenant"], one["kind"], one["author"]) for one in json.loads(run(config, "list", "--json").stdout)]
    assert [kind for _, kind, _ in kinds] == ["token", "certificate", "token"]
    assert kinds[-1] == ("york", "token", "configuration")
    refused = run(config, "enroll", "leeds", "--host", "dns.example", "--certificate-sha256", DIGEST, code=1)
    assert f"credential {DIGEST[:12]} is in the configuration" in refused.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("enroll", "hull", "--host", "dns.example"), "no tenant hull; tenants: leeds, york"),
        (("enroll", "leeds"), 'no [[listener]] has transport = "https"'),
        (("enroll", "leeds", "--host", "dns.example", "--expires", "soon"), '"soon" is not a length of time'),
        (("enroll", "leeds", "--host", "dns.example", "--sha256", "ab"), "64 hexadecimal digits"),
        (("enroll", "leeds", "--host", "dns.example", "--device", "a\nb"), "device: expected visible characters"),
        (("enroll", "leeds", "--host", "dns.example", "--protocol", "dot", "--profile", "P"), "DoT needs tls_names of tenant"),
        (("revoke", "leeds", "--all"), "tenant leeds has no valid credential"),
        (("revoke", "york", DIGEST[:12]), "one by `configuration` ends when its key is removed there"),
        (("list", "hull"), "no tenant hull"),
    ],
)
def test_refused_with_nothing_left_behind(config: Path, words: tuple[str, ...], reason: str) -> None:
    """No credential, and no empty profile."""
    profile = config.parent / "p.mobileconfig"
    done = run(config, *(str(profile) if word == "P" else word for word in words), code=2 if words[0] == "list" else 1)
    assert reason in done.stderr
    assert done.stdout == ""
    assert not profile.exists()
    assert not (config.parent / "state" / enrolments.FILE_NAME).exists()


def test_an_existing_file_is_not_overwritten(config: Path) -> None:
    """Nothing is enrolled either: its token would be lost."""
    profile = config.parent / "p.mobileconfig"
    profile.write_text("mine")
    assert (
        "File exists; remove it, or"
        in run(config, "enroll", "leeds", "--host", "dns.example", "--profile", str(profile), code=1).stderr
    )
    assert profile.read_text() == "mine"
    assert not (config.parent / "state" / enrolments.FILE_NAME).exists()


def test_devices_of_a_removed_tenant_can_be_ended(config: Path) -> None:
    """They are listed with what to do, and come back with the tenant unless they were revoked."""
    run(config, "enroll", "leeds", "--host", "dns.example")
    config.write_text(config.read_text().replace('name = "leeds"', 'name = "hull"'))
    for words in ((), ("leeds",)):
        assert "pdns tenant revoke leeds --all" in run(config, "list", *words).stdout
    assert run(config, "revoke", "leeds", "--all").stdout.startswith("revoked for tenant leeds: ")
    listed = run(config, "list", "leeds").stdout
    assert " revoked " in listed
    assert "--all" not in listed
    assert "no tenant leads; tenants: hull, york" in run(config, "list", "leads", code=2).stderr
    assert "`pdns tenant list`" in run(config, "revoke", "leads", "--all", code=1).stderr
