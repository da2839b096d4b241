"""Pages and examples use the present names of files, units and keys; the way from the old ones works."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from pdns.config.load import load
from pdns.config.schema import Config
from tests.unit.test_docs import ROOT, TEXTS, blocks

UPGRADES = ROOT / "docs/upgrades.md"
_OLD = re.compile(
    r"/(?:etc|opt|run|srv|usr/local/src|var/lib|var/log)/pdns\b(?!-)|systemctl [a-z -]*pdns\b|-u pdns\b|[ =`]pdns\.service"
)
# The old places that the program still looks at, and where the way from them is described.
_STAY = (
    "`/etc/pdns/pdns.toml`",
    "Earlier versions had the unit `pdns.service`, the user `pdns`, `/etc/pdns` and `/var/lib/pdns`.",
)


def test_pages_use_the_present_names() -> None:
    """The unit, its user and its directories are called protective-dns."""
    found = []
    for page, text in TEXTS.items():
        if page != UPGRADES and page.parent.name != "decisions":
            without = re.sub("|".join(map(re.escape, _STAY)), "", text)
            found += [f"{page.relative_to(ROOT)}: {match[0]}" for match in _OLD.finditer(without)]
    assert found == []


def test_examples_of_settings_name_keys_that_exist() -> None:
    """Each `section.key` in deploy/systemd is one of the configuration."""
    defaults = Config()
    named = [
        (file.name, section, key)
        for file in (ROOT / "deploy/systemd").rglob("*")
        if file.is_file()
        for comment in re.findall(r"^#.*$", file.read_text(), re.MULTILINE)
        for section, key in re.findall(r"\b([a-z_]+)\.([a-z_]+)\b", comment)
        if section in Config.__annotations__
    ]
    assert ("files.conf.example", "server", "tcp_max_connections") in named
    assert [each for each in named if not hasattr(getattr(defaults, each[1]), each[2])] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_the_way_from_the_old_names(tmp_path: Path) -> None:
    """The commands of docs/upgrades.md bring configuration, secrets and state over, with owners and paths."""
    old_user, new_user = 54321, 54322
    section = re.findall(r"^## From the old names\n(.*?)^## ", TEXTS[UPGRADES], re.DOTALL | re.MULTILINE)[0]
    shown = re.findall(r"^```console\n(.*?)^```", section, re.DOTALL | re.MULTILINE)[0]
    commands = [line.removeprefix("# ") for line in shown.splitlines()]
    assert all(line in "\n".join(blocks(UPGRADES, "console")) for line in commands)
    etc, state = tmp_path / "etc/pdns", tmp_path / "var/lib/pdns"
    for directory in (etc, state, tmp_path / "etc/protective-dns", tmp_path / "var/lib/protective-dns"):
        directory.mkdir(parents=True)
    (etc / "hosts").write_text("192.0.2.10 nas.example\n")
    (etc / "token").write_text("a token that is long enough to be accepted\n")
    os.chown(etc / "token", old_user, 0)
    (etc / "key").write_text("a key")
    os.chown(etc / "key", 0, old_user)
    (etc / "pdns.toml").write_text(
        '[upstream]\nservers = ["192.0.2.53"]\n[state]\ndir = "/var/lib/pdns"\n'
        '[local]\nhosts_files = ["/etc/pdns/hosts", "/etc/pdns/hosts"]\n'
        '[[admin.token]]\nname = "ops"\nrole = "admin"\nfile = "/etc/pdns/token"\n'
    )
    (state / "overrides.json").write_text("{}")
    (tmp_path / "var/lib/protective-dns/client.key").write_text("of the first start of the package")
    for line in commands:
        if line.startswith(("cp", "find", "grep", "rm -rf /var/lib", "chown")):
            here = line.replace(" /etc/", f" {tmp_path}/etc/").replace(" /var/", f" {tmp_path}/var/")
            here = re.sub(r"-(user|group) pdns ", rf"-\1 {old_user} ", here)
            here = re.sub(r"(ch(?:own|grp)(?: -R)?) protective-dns(:protective-dns)?", rf"\1 {new_user}", here)
            subprocess.run(here, shell=True, check=True, cwd=tmp_path)
    now = tmp_path / "etc/protective-dns"
    assert (now / "token").stat().st_uid == new_user
    assert (now / "key").stat().st_gid == new_user
    text = (now / "pdns.toml").read_text()
    assert "/pdns/" not in text
    (now / "pdns.toml").write_text(text.replace('"/etc/', f'"{tmp_path}/etc/'))
    config = load(now / "pdns.toml")
    assert config.state.dir == "/var/lib/protective-dns"
    kept = tmp_path / "var/lib/protective-dns"
    assert [(path.name, path.stat().st_uid) for path in kept.iterdir()] == [("overrides.json", new_user)]
    assert (etc / "token").exists()  # the way back
    assert commands.index("systemctl mask protective-dns") < commands.index("apt-get install ./protective-dns_*.deb")


def test_what_pages_copy_is_in_the_package() -> None:
    """Each folder of deploy/ that a console copies from is among the examples of the Debian package."""
    rules = (ROOT / "deploy/debian/rules").read_text()
    (packed,) = re.findall(r"^\tfor each in (.+); do", rules, re.MULTILINE)
    consoles = "\n".join(text for page in TEXTS for text in blocks(page, "console"))
    copied = set(re.findall(r"^# cp deploy/([a-z]+)/", consoles, re.MULTILINE))
    assert {"systemd", "prometheus"} <= copied
    assert copied - {"grafana"} <= set(packed.split())
    assert "deploy/grafana/dashboards" in rules
    assert "ln -s examples $(TREE)/usr/share/doc/protective-dns/deploy" in rules  # so that the commands work as they are
