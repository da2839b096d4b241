"""docs/encryption.md: its first minute, typed as it is written."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.integration.running_pdns import RunningPdns

PAGE = (Path(__file__).parents[2] / "docs/encryption.md").read_text()
FIRST_MINUTE = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.partition("## In production")[0], re.DOTALL | re.MULTILINE)

pytestmark = pytest.mark.skipif(shutil.which("kdig") is None or shutil.which("openssl") is None, reason="needs kdig and openssl")


def typed(command: str, directory: Path) -> str:
    done = subprocess.run(shlex.split(command.removeprefix("$ ")), cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_first_minute(tmp_path: Path) -> None:
    """A certificate, four lines of configuration, and a client that verifies it."""
    (_, make), (kind, toml), (_, ask) = FIRST_MINUTE
    assert kind == "toml"
    typed(make, tmp_path)
    config = tomllib.loads(toml)
    config["record"] = [{"name": "example.com", "a": ["192.0.2.7"]}]
    asked = str(config["listener"][0]["listen"][0]).rpartition(":")[2]
    config["listener"][0]["listen"] = ["127.0.0.1:0"]
    with RunningPdns(tmp_path, config) as pdns:
        bound = re.search(r"tls://127\.0\.0\.1:(\d+)", pdns.output)
        assert bound is not None
        assert "192.0.2.7" in typed(ask.replace(asked, bound[1]), tmp_path)
        with pytest.raises(subprocess.CalledProcessError):
            typed(ask.replace(asked, bound[1]).replace("tls-host=dns", "tls-host=other"), tmp_path)
