"""The pages are true where that can be checked: links, commands, targets of make, snippets, rules."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from pdns.__main__ import build
from pdns.config.load import load
from tests.certificates import write_documented
from tests.unit.config.test_load import CERTIFICATE

ROOT = Path(__file__).parents[2]
_BESIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "loadtest/README.md")
PAGES = [*(ROOT / name for name in _BESIDE), *sorted(ROOT.glob("docs/**/*.md"))]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in _FENCE.findall(TEXTS[page]) if kind == language]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page: Path) -> None:
    """Every file that the page links to is there, and so is the heading in it."""
    broken = []
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", TEXTS[page]):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_targets_of_make_exist(page: Path) -> None:
    """Every `make X` of the page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert sorted(set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", TEXTS[page], re.MULTILINE)) - targets) == []


def shown(page: Path) -> Iterator[list[str]]:
    """The words of each `pdns` command in the page's consoles and of each whole one in its prose."""
    consoles = "\n".join(blocks(page, "console"))
    commands = re.findall(r"^[$#] (?:sudo )?(?:\S*/)?pdns (.+?)(?:  +\S.*|\s#.*)?$", consoles, re.MULTILINE)
    commands += re.findall(r"`(?:sudo )?pdns ([^`]+)`", _FENCE.sub("", TEXTS[page]))
    for command in commands:
        for part in command.split(" && pdns "):
            yield shlex.split(part.replace("...", "X"))


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_commands_exist(page: Path) -> None:
    """Every `pdns` command of the page exists, with the options that are shown."""
    wrong = []
    for words in shown(page):
        command: Any = typer.main.get_command(build())
        rest = list(words)
        while rest and (below := getattr(command, "commands", {}).get(rest[0])) is not None:
            command, rest = below, rest[1:]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        unknown = hasattr(command, "commands") and rest and not rest[0].startswith("-")
        if unknown or any(word.startswith("-") and word not in known for word in rest):
            wrong.append(" ".join(words))
    assert wrong == []


def snippets() -> Iterator[tuple[str, str]]:
    for page, name in zip(PAGES, IDS, strict=True):
        for number, snippet in enumerate(blocks(page, "toml"), 1):
            yield f"{name}-{number}", snippet


@pytest.mark.parametrize("snippet", [pytest.param(text, id=name) for name, text in snippets()])
def test_snippets_load(tmp_path: Path, snippet: str) -> None:
    """Every piece of configuration loads, alone or with an upstream beside it."""
    if "upstream" not in tomllib.loads(snippet):
        snippet += '\n[upstream]\nservers = ["192.0.2.53"]\n'
    (tmp_path / "authority.pem").write_text(CERTIFICATE)
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    (tmp_path / "hosts").write_text("192.0.2.10 nas.lan\n")
    (tmp_path / "fleet-keys").mkdir()
    write_documented(tmp_path)
    for name in ("root.json", "fleet-credentials"):
        (tmp_path / name).touch(0o600)
    (tmp_path / "pdns.toml").write_text(snippet)
    assert load(tmp_path / "pdns.toml", resolv_conf=tmp_path / "resolv.conf")


def test_glossary() -> None:
    """Terms are in the order of the alphabet, each once, each explained in one sentence."""
    page = TEXTS[ROOT / "docs/glossary.md"]
    terms = []
    for table in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)[1:]
        names = [term for term, _ in rows if not term.startswith("-")]
        assert names == sorted(names, key=lambda name: re.sub(r"\W", "", name).lower())
        sentence = re.compile(r"[A-Z0-9`][^.]*(?:\.\w[^.]*)*\.")
        assert [term for term, text in rows if term in names and not sentence.fullmatch(text)] == []
        terms += names
    assert len(terms) == len(set(terms)) >= 60


INSTALL = ROOT / "docs/install.md"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_no_command_is_for_powerdns(page: Path) -> None:
    """Its unit, user and directories are called `pdns`: ours are not, outside of what is said of earlier versions."""
    if page.name in ("install.md", "upgrades.md", "0029-a-user-of-its-own.md", "0060-names-of-the-package.md"):
        return
    commands = r"systemctl(?: -?[\w=-]+)* pdns(?![\w-])|(?:-u|--unit=?) ?pdns(?![\w-])|-[og] pdns(?![\w-])"
    directories = r"/(?:etc|var/lib|var/log|run)/pdns(?!/pdns\.toml|[\w-])"  # that file of earlier versions is still found
    assert re.findall(f"{commands}|{directories}", TEXTS[page]) == []


def test_installed_paths_are_those_of_the_unit() -> None:
    """The paths of docs/install.md are those of the systemd unit and the sample, and what it copies is in the repository."""
    unit, sample = (ROOT / "deploy/systemd/protective-dns.service").read_text(), (ROOT / "deploy/pdns.toml").read_text()
    consoles = "\n".join(blocks(INSTALL, "console"))
    assert "/usr/bin/pdns" in unit
    assert "/etc/protective-dns/pdns.toml" in unit
    assert "/etc/protective-dns/pdns.toml" in consoles
    assert 'dir = "/var/lib/protective-dns"' in sample
    assert "rm -rf /etc/protective-dns /var/lib/protective-dns" in consoles
    for path in set(re.findall(r"(?:^|\s)(deploy/[\w./-]+)", consoles)):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r'"file:(/etc/protective-dns/\S+)"', sample):
        assert f"touch {path}" in consoles


def test_the_firewall_accepts_its_rules(tmp_path: Path) -> None:
    """The rules for nftables are valid, as the program itself says."""
    (rules,) = [block for block in blocks(INSTALL, "text") if block.startswith("table inet")]
    (tmp_path / "rules").write_text(rules)
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")
    command = ["unshare", "-rn", nft or "", "-c", "-f", str(tmp_path / "rules")]
    if nft is None or subprocess.run([*command[:2], "true"], capture_output=True, check=False).returncode:
        pytest.skip("no nft here, or no namespaces")
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_bind_accepts_its_options(tmp_path: Path) -> None:
    """The options for BIND are valid, as its own checker says."""
    (options,) = [block for block in blocks(INSTALL, "text") if block.startswith("options {")]
    (tmp_path / "named.conf").write_text(options)
    checker = shutil.which("named-checkconf", path="/usr/sbin:/sbin:/usr/bin")
    if checker is None:
        pytest.skip("no BIND here")
    checked = subprocess.run([checker, str(tmp_path / "named.conf")], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_hooks_are_what_lint_runs() -> None:
    """.pre-commit-config.yaml runs the commands of `make lint`, in order, and no others."""
    hooks = re.findall(r"^ +entry: (.+)$", (ROOT / ".pre-commit-config.yaml").read_text(), re.MULTILINE)
    (lint,) = re.findall(r"^lint:.*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert hooks == [line.strip().removeprefix("@").replace("$(PY)", ".venv/bin/python") for line in lint.splitlines()]


def test_the_contact_is_a_placeholder_in_one_place() -> None:
    """Operators replace one word in one file, and SECURITY.md tells which."""
    text = TEXTS[ROOT / "SECURITY.md"]
    assert text.count("SECURITY-CONTACT") == 3
    assert "**SECURITY-CONTACT**" in text
    assert [page for page in PAGES if page.name != "SECURITY.md" and "SECURITY-CONTACT" in TEXTS[page]] == []


def test_paths_of_contributing_exist() -> None:
    """Each file or directory that CONTRIBUTING.md names is there; NAME and * stand for others."""
    named = re.findall(r"`((?:\.ci|\.github|pdns|feeds|docs|deploy|tests|loadtest)/[^` ]*)`", TEXTS[ROOT / "CONTRIBUTING.md"])
    assert len(named) > 30
    assert [path for path in named if "NAME" not in path and not list(ROOT.glob(path.rstrip("/")))] == []
