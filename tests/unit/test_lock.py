"""The locked libraries of a release: what pyproject.toml asks for, whole, each in one version and with hashes."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = (ROOT / "pyproject.toml").read_text()
LOCK = (ROOT / "deploy/requirements.lock").read_text()
BUILD_LOCK = (ROOT / "deploy/build.lock").read_text()
_LOCKED = re.compile(r"([A-Za-z0-9._-]+)==([^\s;]+)(?: ; ([^\\]+?))? \\\n((?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)")


class Locked(NamedTuple):
    version: str
    marker: str


def locked(lock: str) -> dict[str, Locked]:
    """Every library of a lock file, which must hold nothing else."""
    assert _LOCKED.sub("", lock) == "", "lines that are no library with one version and hashes"
    return {canonicalize_name(found[1]): Locked(found[2], found[3] or "") for found in _LOCKED.finditer(lock)}


def disagreements(wanted: list[str], lock: str) -> Iterator[str]:
    """What `wanted` asks for and the lock has not, or not in a version that fits."""
    have = locked(lock)
    for requirement in map(Requirement, wanted):
        found = have.get(canonicalize_name(requirement.name))
        if found is None:
            yield f"{requirement}: not locked"
        elif not requirement.specifier.contains(found.version):
            yield f"{requirement}: locked at {found.version}"


def wanted(project: str) -> tuple[list[str], list[str]]:
    """What the program imports, and what builds it."""
    tables = tomllib.loads(project)
    extras = tables["project"]["optional-dependencies"]
    imported = [*tables["project"]["dependencies"], *(one for name in extras if name != "dev" for one in extras[name])]
    return imported, tables["build-system"]["requires"]


def test_the_locks_have_what_the_project_asks_for() -> None:
    """When this fails, run deploy/lock and commit what it writes."""
    runs, builds = wanted(PROJECT)
    assert [*disagreements(runs, LOCK), *disagreements(builds, BUILD_LOCK)] == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ('"uvloop>=0.21,<1"', '"uvloop>=99"', "uvloop>=99: locked at"),
        ('"uvloop>=0.21,<1"', '"uvloop>=0.21,<1", "requests>=2"', "requests>=2: not locked"),
        ('zstd = ["zstandard>=0.22"]', 'zstd = ["zstandard>=99"]', "zstandard>=99: locked at"),
        ('quic = ["aioquic>=1.7,<1.8"]', 'quic = ["requests>=2"]', "requests>=2: not locked"),
        ('"Cython>=3.1,<4"]', '"Cython<3"]', "Cython<3: locked at"),
    ],
)
def test_a_project_that_asks_for_more_is_noticed(before: str, after: str, expected: str) -> None:
    """The check can fail."""
    assert before in PROJECT
    runs, builds = wanted(PROJECT.replace(before, after))
    (found,) = [*disagreements(runs, LOCK), *disagreements(builds, BUILD_LOCK)]
    assert found.startswith(expected)


@pytest.mark.parametrize(
    "line", ["x>=1\n", "x==1\n", "-e .\n", "--index-url https://x.example/\n", "x @ https://x.example/x.whl\n"]
)
def test_nothing_without_a_hash(line: str) -> None:
    """A line that pip would take from elsewhere, or without a hash, is noticed."""
    with pytest.raises(AssertionError, match="no library with one version"):
        locked(LOCK + line)


def test_the_lock_is_closed() -> None:
    """Whatever a locked library needs is locked too, in a version that fits, as far as the locked versions are installed."""
    have = locked(LOCK)
    missing = []
    for name, (version, _) in have.items():
        try:
            library = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if library.version == version:
            needs = [Requirement(text) for text in library.requires or ()]
            due = [str(need) for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
            missing += [f"{name} needs {text}" for text in disagreements(due, LOCK)]
    assert missing == []


def registry_answers(python: str) -> bool:
    """Whether pip, as it is configured here, gets an answer about a library that the lock has."""
    ask = [python, "-m", "pip", "--retries", "0", "--timeout", "20", "index", "versions", "uvloop"]
    return subprocess.run(ask, capture_output=True, check=False).returncode == 0


@pytest.mark.long
@pytest.mark.realtime  # because it needs the network of the machine, and processes beside others have one of their own
@pytest.mark.timeout(900)
def test_the_locked_libraries_install(tmp_path: Path) -> None:
    """In a clean environment, by hash alone, and the program starts with them. In CI a registry that is missing is a failure."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv/bin/python")
    if os.environ.get("CI") != "true" and not registry_answers(python):
        pytest.skip("needs a package registry, and pip reaches none from here")
    install = [python, "-m", "pip", "install", "--quiet", "--require-hashes"]
    subprocess.run([*install, "-r", str(ROOT / "deploy/build.lock")], check=True)
    subprocess.run([*install, "--no-build-isolation", "-r", str(ROOT / "deploy/requirements.lock")], check=True)
    subprocess.run([python, "-m", "pip", "check"], check=True)
    said = subprocess.run([python, "-m", "pdns", "check", "-c", "pdns/example/pdns.toml"], cwd=ROOT, check=False)
    assert said.returncode == 0
