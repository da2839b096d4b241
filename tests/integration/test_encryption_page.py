"""docs/encryption.md: its first minute, typed as it is written."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.integration.hellopage import HELLO, hello_page
from tests.integration.running_pdns import RunningPdns

PAGE = (Path(__file__).parents[2] / "docs/encryption.md").read_text()
BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FIRST_MINUTE = BLOCKS.findall(PAGE.partition("## In production")[0])
OVER_HTTPS = BLOCKS.findall(PAGE.partition("## DNS over HTTPS")[2].partition("\n## ")[0])

pytestmark = pytest.mark.skipif(shutil.which("kdig") is None or shutil.which("openssl") is None, reason="needs kdig and openssl")


def typed(command: str, directory: Path) -> str:
    done = subprocess.run(shlex.split(command.removeprefix("$ ")), cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_first_minute(tmp_path: Path) -> None:
    """A certificate, a few lines of configuration, and clients that verify it, over TLS and over HTTPS."""
    (_, make), (kind, toml), (_, ask) = FIRST_MINUTE
    (_, further), (_, over_https) = OVER_HTTPS
    assert kind == "toml"
    typed(make, tmp_path)
    config = tomllib.loads(f"{toml}\n{further}")
    config["record"] = [{"name": "example.com", "a": ["127.0.0.1"]}]
    asked = [str(one["listen"][0]).rpartition(":")[2] for one in config["listener"]]
    for one in config["listener"]:
        one["listen"] = ["127.0.0.1:0"]
    with RunningPdns(tmp_path, config) as pdns, hello_page() as page:
        bound = re.findall(r"(?:tls|https)://127\.0\.0\.1:(\d+)", pdns.output)
        ask = ask.replace(asked[0], bound[0])
        assert "127.0.0.1\n" in typed(ask, tmp_path)
        with pytest.raises(subprocess.CalledProcessError):
            typed(ask.replace("tls-host=dns", "tls-host=other"), tmp_path)
        by_kdig, by_curl = over_https.replace(asked[1], bound[1]).strip().splitlines()
        assert "127.0.0.1\n" in typed(by_kdig, tmp_path)
        assert HELLO in typed(by_curl.replace("example.com/", f"example.com:{page}/"), tmp_path)
