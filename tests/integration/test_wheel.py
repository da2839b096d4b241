"""The wheel, with its kernels, in an environment of its own on a machine without a compiler."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from tests.unit.test_lock import registry_answers

ROOT = Path(__file__).parents[2]


@pytest.mark.long
@pytest.mark.realtime  # because it needs the network of the machine
@pytest.mark.timeout(1200)
@pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed")
def test_the_wheel_needs_no_compiler(tmp_path: Path) -> None:
    """It installs from the locked libraries, contains all that the program needs, and blocks a name of the shipped example."""
    subprocess.run([ROOT / "deploy/build-wheel", sys.executable, tmp_path / "made"], check=True, timeout=900)
    (wheel,) = (tmp_path / "made").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv/bin"
    if os.environ.get("CI") != "true" and not registry_answers(str(programs / "python")):
        pytest.skip("needs a package registry, and pip reaches none from here")
    around = {**os.environ, "PATH": str(programs), "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    around.pop("VIRTUAL_ENV", None)
    assert shutil.which("cc", path=around["PATH"]) is None
    pip = [str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    locked = [*pip, "--require-hashes", "-r", str(ROOT / "deploy/requirements.lock")]
    subprocess.run(locked, env=around, cwd=tmp_path, check=True, timeout=600)
    subprocess.run([*pip, "--no-deps", wheel], env=around, cwd=tmp_path, check=True, timeout=100)
    subprocess.run([programs / "pip", "check", "--quiet"], env=around, cwd=tmp_path, check=True)

    (tmp_path / "pdns.toml").write_text(
        (ROOT / "pdns/example/pdns.toml")
        .read_text()
        .replace('"127.0.0.1:5300"', '"127.0.0.1:0"')
        .replace('listen = "127.0.0.1:9153"', 'listen = "127.0.0.1:0"')
    )
    log = tmp_path / "log"
    with log.open("wb") as file:
        serving = subprocess.Popen([programs / "pdns", "serve"], env=around, cwd=tmp_path, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"dig @127.0.0.1 -p (\d+)", log.read_text())) or not blocked(found[1]):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.3)
    finally:
        serving.terminate()
        serving.wait(60)


def blocked(port: str) -> bool:
    command = ["dig", "@127.0.0.1", "-p", port, "+short", "+time=2", "+tries=1", "www.malware.test"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "192.0.2.1"
