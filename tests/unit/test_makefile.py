"""`make help`: every command, in groups."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def test_help_names_every_command_in_its_group() -> None:
    """Each target that has a description is shown with it, below a heading; a pipe gets no colours."""
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    described = re.findall(r"^([a-z-]+):.*?## (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert len(described) > 10
    assert re.findall(r"^  make (\S+) +(.*)$", shown, re.MULTILINE) == described
    blocks = shown.strip("\n").split("\n\n")
    assert len(blocks) >= 4
    assert all(re.match(r"[A-Z][^\n]*\n  make ", block) for block in blocks)
    assert "\x1b" not in shown


def test_help_is_bold_on_a_terminal() -> None:
    """On a terminal the headings are bold, and the same text otherwise."""
    plain = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    terminal, end = pty.openpty()
    try:
        with subprocess.Popen(["make", "-s", "help"], cwd=ROOT, stdout=end) as process:
            os.close(end)
            shown = b""
            try:
                while more := os.read(terminal, 65536):
                    shown += more
            except OSError:  # its end was closed
                pass
            assert process.wait() == 0
    finally:
        os.close(terminal)
    text = shown.decode().replace("\r\n", "\n")
    assert "\x1b[1mTest\x1b[0m\n" in text
    assert re.sub(r"\x1b\[\d+m", "", text) == plain
