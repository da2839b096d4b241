"""What the README shows is what the program does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdns.configload import EXAMPLE, load
from tests.integration.running import ROOT, RunningPdns

README = (ROOT / "README.md").read_text()
_BLOCKS = re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _shown() -> Iterator[tuple[str, list[str]]]:
    """Each command of the README that asks a running resolver, and the lines that it is said to print."""
    for block in _BLOCKS:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            if command.startswith(("dig ", "curl ", "pdns explain")):
                yield command, lines


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    """The shipped example, on ports of the kernel's choice."""
    feed = load(EXAMPLE).feed[0]
    table = {"name": feed.name, "url": feed.url, "category": feed.category, "required": feed.required}
    with RunningPdns(tmp_path_factory.mktemp("example"), {"feed": [table]}) as running:
        yield running


@pytest.mark.parametrize(("command", "lines"), [pytest.param(*shown, id=shown[0]) for shown in _shown()])
def test_the_commands_print_what_is_shown(example: RunningPdns, command: str, lines: list[str]) -> None:
    """Every line that the README shows under a command is printed by it."""
    if shutil.which(command.split(maxsplit=1)[0]) is None and not command.startswith("pdns"):
        pytest.skip(f"no {command.split(maxsplit=1)[0]} here")
    pdns = f"{shlex.quote(sys.executable)} -m pdns"
    real = command.replace("-p 5300", f"-p {example.dns_port}").replace(":9153", f":{example.metrics_port}")
    real = re.sub(r"^pdns (\S+)", rf"{pdns} \1 -c {shlex.quote(str(example.config_path))}", real)
    result = subprocess.run(["sh", "-c", real], capture_output=True, text=True, timeout=30, check=True, cwd=ROOT)
    printed = " ".join(result.stdout.split())
    for line in filter(None, lines):
        assert " ".join(line.split()) in printed, f"{line!r} is not in:\n{result.stdout}"


def test_something_is_shown() -> None:
    """The README has such commands: an empty list of them would prove nothing."""
    assert {command.split()[0] for command, _ in _shown()} == {"dig", "curl", "pdns"}


def test_the_configuration_shown_loads(tmp_path: Path) -> None:
    """The four lines that add a feed are a whole configuration."""
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    (tmp_path / "pdns.toml").write_text(shown)
    assert [feed.name for feed in load(tmp_path / "pdns.toml").feed] == ["urlhaus-filter"]


def test_links_lead_somewhere() -> None:
    """Every file that the README links to is there."""
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_configuration_error_is_the_real_one(tmp_path: Path) -> None:
    """The mistake that the README shows is reported in those very words, with exit code 2."""
    (tmp_path / "pdns.toml").write_text(
        '[upstream]\nservers = ["udp://127.0.0.1:53"]\n[[feed]]\nname = "a"\nurl = "file:a"\n'
        '[[feed]]\nname = "b"\nurl = "file:b"\nrefresh_s = "soon"\n'
    )
    command = [sys.executable, "-m", "pdns", "check", "-c", "pdns.toml"]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "PDNS_PURE": os.environ.get("PDNS_PURE", "")},
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.strip() in README
