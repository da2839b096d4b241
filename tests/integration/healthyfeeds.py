"""A resolver with feeds that are loaded, for tests of what happens to them."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pdns.state import feed_status
from pdns.state.feed_status import FeedStatus
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread
from tests.unit.feeds.feedserver import FeedServer

HEALTHY = [f"bad{number}.evil.example" for number in range(400)]
OTHER = [f"other{number}.evil.example" for number in range(5)]
SIGNED = ["signed.evil.example"]
ASKED = ("bad0.evil.example", "x.bad399.evil.example", "other4.evil.example")
INNOCENT = ("www.example.net", "www.bbc.co.uk", "google.com", "ec2.compute.amazonaws.com")


def body(names: list[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


class Healthy:
    """A resolver whose two feeds are loaded, and the server that they come from."""

    def __init__(self, pdns: RunningPdns, server: FeedServer) -> None:
        self.pdns = pdns
        self.server = server

    def cli(self, *words: str) -> tuple[int, str]:
        """`pdns WORDS`, and what it printed."""
        command = [sys.executable, "-m", "pdns", *words, "-c", str(self.pdns.config_path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
        return done.returncode, done.stdout + done.stderr

    def feed(self, name: str = "main") -> FeedStatus:
        status = feed_status.read(self.pdns.state_dir)
        assert status is not None
        return status.feeds[name]

    def update(self) -> FeedStatus:
        """Have every feed asked now; returns how the one under test fared."""
        self.cli("feeds", "update")
        return self.feed()

    def restore(self) -> None:
        """Everything as it should be, whatever a test did before."""
        self.server.serve("/main", body(HEALTHY), etag='"healthy"')
        assert self.update().last_result in ("updated", "unchanged")
        assert self.feed().held == 0
        for name in ASKED:
            self.wait_blocked(name)
        for name in INNOCENT:
            self.wait_not_blocked(name)
        self.assert_protected()

    def assert_protected(self) -> None:
        """Blocked as ever, and nothing else is."""
        for name in ASKED:
            assert self.pdns.addresses(name) == [SINKHOLE], name
        for name in INNOCENT:
            assert self.pdns.addresses(name) not in ([SINKHOLE], []), name

    def wait_blocked(self, name: str) -> None:
        """Return when the worker of `name` has what is live."""
        self.pdns.wait_for(lambda: self.pdns.addresses(name) == [SINKHOLE], f"{name} blocked")

    def wait_not_blocked(self, name: str) -> None:
        """Return when the worker of `name` no longer has what blocked it."""
        self.pdns.wait_for(lambda: self.pdns.addresses(name) != [SINKHOLE], f"{name} not blocked")


@contextmanager
def healthy_feeds(directory: Path) -> Iterator[Healthy]:
    """The program with feeds that are loaded, and its admin API."""
    token = directory / "token"
    token.write_text("a-token-of-some-length\n")
    with FeedServer() as server, UpstreamThread() as upstream:
        server.serve("/main", body(HEALTHY), etag='"healthy"')
        server.serve("/other", body(OTHER), etag='"other"')
        server.serve("/signed", body(SIGNED))
        server.serve("/sum", hashlib.sha256(body(SIGNED)).hexdigest().encode())
        config: dict[str, Any] = {
            "upstream": {"servers": [upstream.address]},
            "feed": [
                {"name": "main", "url": server.url("/main"), "required": True, "timeout_s": 5.0, "max_bytes": 50_000_000},
                {"name": "other", "url": server.url("/other"), "required": True},
                {"name": "signed", "url": server.url("/signed"), "checksum_url": server.url("/sum"), "required": True},
            ],
            "admin": {"listen": "127.0.0.1:0", "token_file": str(token)},
        }
        with RunningPdns(directory, config) as pdns:
            yield Healthy(pdns, server)


def shuffled(count: int, suffix: str) -> list[str]:
    draw = random.Random(count)
    return [f"{draw.getrandbits(60):015x}.{suffix}" for _ in range(count)]
