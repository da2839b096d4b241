"""The API as its description says: schemathesis sends what fits it and what does not, to the running program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.apiclient import ADMIN, TENANTS, Api, admin_section
from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed

SETTINGS = """
[checks]
# what fits the schema may still be refused for what it means: an invalid name, a tenant that is not there, a lost update
positive_data_acceptance.expected-statuses = ["2xx", 400, 401, 403, 404, 409, 412, 422, 428, 503]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 406, 409, 411, 412, 413, 414, 415, 421, 422, 428, 431]
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("openapi")
    feeds = [feed(directory, "main", *(f"bad{number}.example" for number in range(50)))]
    with UpstreamThread() as upstream:
        config = {
            "upstream": {"servers": [upstream.address]},
            "admin": admin_section(directory),
            "tenant": TENANTS,
            "feed": feeds,
        }
        with RunningPdns(directory, config) as pdns:
            yield Api(pdns)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("examples", [10, pytest.param(100, marks=pytest.mark.long)])
def test_schemathesis_finds_nothing(api: Api, tmp_path: Path, examples: int) -> None:
    """No answer of 500, none that the description does not name, none with another body, no lenient route."""
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"http://127.0.0.1:{api.port}/api/openapi.json",
        "-H", f"Authorization: Bearer {ADMIN}", "-n", str(examples), "--seed", "1", "--no-color", "--checks", "all",
        "--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure", "--generation-deterministic",
    ]  # fmt: skip
    environment = {**os.environ, "COLUMNS": "150", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=1150, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert api.call("GET", "/api/version", ADMIN).status == 200
    assert "internal error" not in api.pdns.log
