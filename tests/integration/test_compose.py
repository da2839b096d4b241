"""Prometheus and Alertmanager with the files of deploy/compose, beside the real program. Only addresses and waits differ."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from loadtest.loopback import free_port
from tests.fakes.http_server import serving
from tests.fakes.upstream import answer
from tests.integration.prometheusserver import PROMETHEUS, Prometheus
from tests.integration.running_pdns import RunningPdns, UpstreamThread
from tests.unit.deploy.test_compose import COMPOSE, in_one_place

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")

pytestmark = pytest.mark.skipif(None in (PROMETHEUS, ALERTMANAGER), reason="prometheus or alertmanager is not installed")


class Receiver:
    """What a webhook was sent: path, token, alert."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, dict[str, Any]]] = []

    @contextmanager
    def listening(self) -> Iterator[int]:
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                got.extend((self.path, self.headers.get("Authorization", ""), alert) for alert in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        with serving(Handler) as port:
            yield port


def changed(path: Path, **places: str) -> None:
    """Each of `places` is "BEFORE -> AFTER"; BEFORE must be there."""
    text = path.read_text()
    for before, after in (pair.split(" -> ") for pair in places.values()):
        assert before in text, before
        text = text.replace(before, after)
    path.write_text(text)


class ComposedPrometheus(Prometheus):
    """With the files of deploy/compose in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = free_port()
        self._log = (directory / "log").open("wb")
        assert PROMETHEUS is not None
        options = [f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data"]
        self._process = subprocess.Popen(
            [PROMETHEUS, *options, f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self._log, stderr=self._log
        )


@contextmanager
def alertmanager(directory: Path, webhook: int) -> Iterator[int]:
    port = free_port()
    file = directory / "alertmanager.yml"
    shutil.copy(COMPOSE / "alertmanager.yml", file)
    (directory / "alert_token").write_text("the token")
    changed(
        file,
        urls=f"https://alerts.example/ -> http://127.0.0.1:{webhook}/",
        token=f"/run/secrets -> {directory}",
        wait="group_wait: 10s -> group_wait: 1s",
    )
    assert ALERTMANAGER is not None
    options = [f"--config.file={file}", f"--storage.path={directory}/alertmanager", "--cluster.listen-address="]
    with (directory / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen([ALERTMANAGER, *options, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            yield port
        finally:
            process.terminate()
            process.wait(30)


def test_a_resolver_that_is_down_reaches_the_pager(tmp_path: Path) -> None:
    """The target is up and has the job that alerts look for; when the program ends, the pager gets the alert, with the token."""
    receiver = Receiver()
    with (
        receiver.listening() as webhook,
        alertmanager(tmp_path, webhook) as alerts_port,
        UpstreamThread(answer()) as upstream,
        RunningPdns(tmp_path, {"upstream": {"servers": [upstream.address]}}) as pdns,
    ):
        changed(
            in_one_place(tmp_path),
            target=f"pdns:9153 -> 127.0.0.1:{pdns.metrics_port}",
            alerts=f"alertmanager:9093 -> 127.0.0.1:{alerts_port}",
            often="15s -> 500ms",
        )
        changed(tmp_path / "alerts.yml", soon="for: 1m -> for: 1s")
        prometheus = ComposedPrometheus(tmp_path)
        try:
            prometheus.wait_for('up{job="pdns"}', 1)
            prometheus.wait_for("pdns_ready", 1)
            assert pdns.stop() == 0
            until_s = time.monotonic() + 120
            while not receiver.got:
                assert time.monotonic() < until_s, (tmp_path / "alertmanager.log").read_text()[-3000:]
                time.sleep(0.2)
        finally:
            prometheus.stop()
    path, token, alert = receiver.got[0]
    assert (path, token) == ("/page", "Bearer the token")
    assert (alert["labels"]["alertname"], alert["status"]) == ("PdnsDown", "firing")
    assert alert["annotations"]["runbook_url"].startswith("docs/runbook.md")
