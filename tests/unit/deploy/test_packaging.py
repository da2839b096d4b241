"""What a release is made of: its checks, the changelog, the licences, the configuration of the builds."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from datetime import date
from pathlib import Path

import pytest

from deploy.packaging.changelog import sections
from deploy.packaging.debian_files import changelog, copyright_file
from deploy.packaging.licences import acceptable, libraries, table
from deploy.packaging.release_checks import problems

ROOT = Path(__file__).parents[3]
TODAY = date(2026, 1, 31)
PROGRAM = '__version__ = "1.2.3"\n'
GOOD = (
    "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-01-31\n\n### Added\n\n- **One** thing ([x](y)),\n  and more.\n- Two.\n"
)


def test_a_version_that_can_be_released() -> None:
    """Program, changelog and date agree."""
    assert problems("1.2.3", GOOD, PROGRAM, TODAY) == []
    assert problems("1.2.3", GOOD.replace("## [Unreleased]\n\n", ""), PROGRAM, TODAY) == []


@pytest.mark.parametrize(
    ("version", "before", "after", "expected"),
    [
        ("1.2", "", "", "'1.2' is no version"),
        ("1.2.4", "", "", "pdns/__init__.py says 1.2.3: set __version__ to 1.2.4"),
        ("1.2.4", "", "", "the newest section is [1.2.3]: add `## [1.2.4] - 2026-01-31`"),
        ("1.2.3", "01-31", "01-30", "has the date 2026-01-30, and today is 2026-01-31"),
        ("1.2.3", " - 2026-01-31", "", "has the date (none)"),
        ("1.2.3", "[Unreleased]\n", "[Unreleased]\n\n- More.\n", "entries under [Unreleased]"),
        ("1.2.3", "\n- **One** thing ([x](y)),\n  and more.\n- Two.\n", "", "says of no change"),
    ],
)
def test_a_version_that_cannot(version: str, before: str, after: str, expected: str) -> None:
    """Each disagreement is named, with what to write."""
    assert any(expected in each for each in problems(version, GOOD.replace(before, after), PROGRAM, TODAY))


def test_our_changelog_is_read() -> None:
    """Every entry of CHANGELOG.md is a change, in the order of the file."""
    text = (ROOT / "CHANGELOG.md").read_text()
    found = [change for section in sections(text) for change in section.changes()]
    assert len(found) == sum(line.startswith("- ") for line in text.splitlines()) > 100
    assert sections(GOOD)[1].changes() == ["One thing (x), and more.", "Two."]


def test_the_changelog_of_the_package(tmp_path: Path) -> None:
    """Dpkg reads it: the version of the package, and each earlier one."""
    (tmp_path / "changelog").write_text(changelog(GOOD.replace("## [Unreleased]\n\n", ""), "1.2.3-1~deb12", 1769860000.0))
    command = ["dpkg-parsechangelog", "-l", str(tmp_path / "changelog"), "--all", "-S", "Version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["1.2.3-1~deb12"], "")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("MIT AND (BSD-2-Clause OR LGPL-2.1-or-later)", True),
        ("GPL-3.0-only AND (MIT OR BSD-3-Clause)", False),
        ("GPL-3.0-only OR MIT", True),
        ("(MIT", False),
        ("MIT MIT", False),
        ("", False),
    ],
)
def test_which_licences_are_accepted(expression: str, expected: bool) -> None:
    """AND needs all, OR needs one; what cannot be read is refused."""
    assert acceptable(expression) is expected


def wheel(directory: Path, name: str, metadata: str) -> None:
    with zipfile.ZipFile(directory / f"{name}-1-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}-1.dist-info/METADATA", f"Metadata-Version: 2.4\nName: {name}\nVersion: 1\n{metadata}\n")
        file.writestr(f"{name}-1.dist-info/licenses/LICENSE", "Copyright (c) 2020 A. Author\n\nDo what you like.\n")
        file.writestr(f"{name}/__init__.py", "")


def test_licences_of_wheels(tmp_path: Path) -> None:
    """They come from the metadata, old and new; a library of unknown licence ends the command."""
    wheel(tmp_path, "new", "License-Expression: MIT")
    wheel(tmp_path, "old", "Classifier: License :: OSI Approved :: BSD License")
    found = libraries(tmp_path)
    assert [each.licence for each in found] == ["MIT", "BSD-3-Clause"]
    assert "| old | 1 | BSD-3-Clause |" in table(found)
    text = copyright_file((ROOT / "LICENSE").read_text(), found)
    assert "Files: usr/lib/protective-dns/lib/*/site-packages/new/*\nCopyright: (c) 2020 A. Author\nLicense: MIT\n" in text
    command = [sys.executable, "-m", "deploy.packaging.licences", str(tmp_path)]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 0
    wheel(tmp_path, "unknown", "License: see the file")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unknown 1: licence unknown" in done.stderr


def test_wheels_are_for_the_pythons_that_the_program_supports() -> None:
    """Cibuildwheel builds for x86_64 and aarch64, from the oldest Python that pyproject.toml admits."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    settings = project["tool"]["cibuildwheel"]
    oldest = project["project"]["requires-python"].removeprefix(">=").replace(".", "")
    assert settings["build"].split()[0] == f"cp{oldest}-*"
    assert settings["linux"]["archs"] == ["x86_64", "aarch64"]
    assert settings["linux"]["manylinux-aarch64-image"] == settings["linux"]["manylinux-x86_64-image"] == "manylinux_2_34"
