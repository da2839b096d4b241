"""What the set-up script says on a machine without a Python that is new enough."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("release", "packages"),
    [
        ('ID=debian\nVERSION_ID="13"\n', "python3 python3-venv"),
        ('ID=debian\nVERSION_ID="12"\n', "python3 python3-venv"),
        ('ID=debian\nVERSION_ID="11"\n', "python3.11 python3.11-venv"),
        ("ID=debian\n", "python3 python3-venv"),
        ('ID=ubuntu\nVERSION_ID="22.04"\n', "python3.11 python3.11-venv"),
        ('ID=ubuntu\nVERSION_ID="24.04"\n', "python3 python3-venv"),
        ("", "python3 python3-venv"),
    ],
)
def test_the_python_of_the_distribution_is_suggested(tmp_path: Path, release: str, packages: str) -> None:
    """Where none is found it names packages that this release has, whether or not apt has its lists."""
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci/venv").write_bytes((ROOT / ".ci/venv").read_bytes())
    (tmp_path / "os-release").write_text(release)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "cat", "cmp", "dirname", "env", "flock", "grep", "mkdir", "mktemp", "rm", "sha256sum"):
        (tools / tool).symlink_to(_where(tool))
    done = subprocess.run(
        [str(tools / "bash"), str(tmp_path / ".ci/venv")],
        env={"PATH": str(tools), "OS_RELEASE": str(tmp_path / "os-release")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "This needs Python 3.11 or newer; here is no python3." in done.stderr
    assert f"sudo apt-get update && sudo apt-get install {packages}\n" in done.stderr


def _where(tool: str) -> str:
    return subprocess.run(["sh", "-c", f"command -v {tool}"], capture_output=True, text=True, check=True).stdout.strip()
