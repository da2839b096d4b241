"""A real `prometheus` with the rules and alerts of deploy/, for tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

from loadtest.loopback import free_port
from tests.integration.running_pdns import ROOT

PROMETHEUS = shutil.which("prometheus")


class Prometheus:
    """A `prometheus` that scrapes five times a second, unless `every` says otherwise, with the alerts of deploy/."""

    def __init__(self, directory: Path, *targets: int, every: str = "200ms") -> None:
        self._directory = directory
        self.port = free_port()
        for file in ("alerts.yml", "rules.yml"):
            shutil.copy(ROOT / "deploy/prometheus" / file, directory)
        shipped = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
        addresses = '", "'.join(f"127.0.0.1:{port}" for port in targets)
        config = shipped.replace("15s", every).replace("127.0.0.1:9153", addresses)
        assert config != shipped
        (directory / "prometheus.yml").write_text(config)
        self._log = (directory / "log").open("wb")
        assert PROMETHEUS is not None
        self._process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def get(self, path: str, **parameters: str) -> Any:
        """What the API says; None while it does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(parameters)}", timeout=30) as response:
                return json.load(response)["data"]
        except HTTPError as error:
            with error:
                if error.code == 503:
                    return None
                raise AssertionError(error.read().decode()) from None
        except OSError:
            return None

    def value(self, expression: str) -> float | None:
        """The one number that `expression` is; None while it is nothing."""
        data = self.get("query", query=expression)
        results = data["result"] if data else []
        return float(results[0]["value"][1]) if results else None

    def wait_for(self, expression: str, wanted: float) -> None:
        until_s = time.monotonic() + 30
        while (found := self.value(expression)) != wanted:
            assert time.monotonic() < until_s, (
                f"{expression} is {found}, not {wanted}: {(self._directory / 'log').read_text()[-3000:]}"
            )
            assert self._process.poll() is None, (self._directory / "log").read_text()[-3000:]
            time.sleep(0.1)
