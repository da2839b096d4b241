"""The workflow of the public CI runs what exists: targets of the Makefile and scripts of `.ci`, on what is supported."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/ci.yml"
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
VARIABLES = {"PYTHON", *re.findall(r"^([A-Z]+) [?:]?= ", (ROOT / "Makefile").read_text(), re.MULTILINE)}
JOBS: dict[str, dict[str, Any]] = yaml.safe_load(WORKFLOW.read_text())["jobs"]
ACTIONLINT = shutil.which("actionlint", path=f"{os.environ.get('PATH', '')}:{ROOT / 'build/tools'}")


def matrix(job: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = JOBS[job].get("strategy", {}).get("matrix", {})
    return found


def commands(job: str) -> Iterator[list[str]]:
    """Each command of a job, with every value of its matrix, as words."""
    for step in JOBS[job]["steps"]:
        if "run" not in step:
            continue
        lines = [step["run"]]
        for key, values in matrix(job).items():
            place = f"${{{{ matrix.{key} }}}}"
            lines = [line.replace(place, value) for line in lines for value in (values if place in line else [""])]
        yield from (shlex.split(one) for line in lines for one in line.splitlines())


@pytest.mark.parametrize("job", JOBS)
def test_every_command_exists(job: str) -> None:
    """A target with variables that the Makefile has, a script of this repository, or what a bare container needs before that."""
    for program, *words in commands(job):
        if program == "make":
            assert [word for word in words if "=" not in word and word not in TARGETS] == []
            assert {word.partition("=")[0] for word in words if "=" in word} <= VARIABLES
        elif program.startswith((".ci/", "deploy/")):
            assert os.access(ROOT / program, os.X_OK)
        else:
            assert program in ("apt-get", "git")


@pytest.mark.parametrize("job", [job for job in JOBS if "container" in JOBS[job]])
def test_git_works_in_containers(job: str) -> None:
    """The checkout is of the user of the machine outside. Git refuses to work there for root, and scripts and tests ask it."""
    assert ["git", "config", "--global", "--add", "safe.directory", "$GITHUB_WORKSPACE"] in commands(job)


def test_what_is_supported_is_tested() -> None:
    """Every Python of pyproject.toml on each push, Debian 12 and 13 and Ubuntu 24.04."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"].startswith(">=3.11")
    assert matrix("python")["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert "if" not in JOBS["python"]
    assert matrix("debian")["release"] == ["12", "13"]
    assert JOBS["whole"]["runs-on"] == "ubuntu-24.04"
    assert list(commands("whole")) == [[".ci/run"]]


def test_the_night_has_sanitizers_and_fuzzing() -> None:
    """They take hours, and find what tests with fixed inputs do not."""
    run = {words[1] for words in commands("nightly")}
    assert run >= {"sanitize", "fuzz", "fuzz-guided", "test-debug", "test-damage", "coverage"}
    assert "schedule" in JOBS["nightly"]["if"]


@pytest.mark.parametrize("job", [job for job in JOBS if job not in ("wheels", "package")])
def test_tests_have_the_history(job: str) -> None:
    """Tests of upgrades build an earlier commit; without the history they would be skipped in silence."""
    (checkout,) = [step for step in JOBS[job]["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["fetch-depth"] == 0


@pytest.mark.skipif(ACTIONLINT is None, reason="actionlint is not installed")
def test_the_workflow_is_valid() -> None:
    """Actionlint knows the keys, expressions and contexts of workflows."""
    assert ACTIONLINT is not None
    done = subprocess.run([ACTIONLINT, "-no-color", WORKFLOW], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
