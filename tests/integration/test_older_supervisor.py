"""A worker of this version under a supervisor of an earlier one, as after SIGUSR2: it looks for the blockset itself."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import msgspec
import pytest

from feeds.refresh import build_once
from pdns.config.schema import Config, Feed, Server, State, Upstream
from pdns.files.sealed import sealed_memory
from pdns.ipc.channel import Channel
from pdns.ipc.messages import Apply, Drain, ListeningSocket, Ready
from pdns.telemetry.counters import Counters
from pdns.wire.transport import Transport
from tests.integration.running_pdns import ROOT, SINKHOLE, runs_python

pytestmark = pytest.mark.long

USER = 12345
LISTED, LATER = "listed.test", "later.test"


def in_earlier_words(config: Config) -> dict[str, Any]:
    """`config` without keys of later versions, and with one that they do not have."""
    tables: dict[str, Any] = msgspec.to_builtins(config)
    for key in ("record", "rebinding", "dns64", "group", "zone", "events"):
        del tables[key]
    return {**tables, "local": {"forward": ["corp.internal"], "never_forward": [], "forward_single_labels": True}}


@contextlib.contextmanager
def worker_of(config: Config, user: int | None) -> Iterator[int]:
    """A worker that was told what an earlier supervisor tells; the port that it answers on."""
    ours, theirs = Channel.pair()
    counters, block_ring_fd = Counters.create(), sealed_memory("pdns-block-ring", [b"pdnssee1".ljust(4096, b"\0")])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    config_fd = sealed_memory("pdns-config", [msgspec.json.encode(in_earlier_words(config))])
    command = [sys.executable, "-m", "pdns.worker", str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT, user=user, group=user, extra_groups=[])
    try:
        theirs.close()
        apply = Apply(1, (ListeningSocket(Transport.UDP, f"127.0.0.1:{sock.getsockname()[1]}"),), "pdns.toml")
        assert ours.send(apply, [config_fd, counters.fd, block_ring_fd, sock.fileno()])
        assert ours.wait() == (Ready(1), [])
        yield sock.getsockname()[1]
        ours.send(Drain())
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        ours.close()
        sock.close()
        os.close(config_fd)
        counters.close()
        os.close(block_ring_fd)


def sinks(port: int, name: str) -> bool:
    reply = dns.query.udp(dns.message.make_query(name, "A"), "127.0.0.1", timeout=60, port=port)
    return SINKHOLE in [str(record) for rrset in reply.answer for record in rrset]


@pytest.mark.parametrize(
    ("worker", "owner"),
    [
        pytest.param(0, USER, marks=pytest.mark.skipif(os.geteuid() != 0, reason="needs root")),
        pytest.param(USER, USER, marks=pytest.mark.skipif(not runs_python(USER), reason="needs root and a Python for all users")),
        pytest.param(None, None),
    ],
    ids=["root, another user's directory", "the user of the directory", "as we are"],
)
def test_a_worker_finds_the_blockset(tmp_path: Path, worker: int | None, owner: int | None) -> None:
    """And the next one, when `current` names that; also where only root's capability to read opens the directory."""
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    tmp_path.chmod(0o755)
    path, state = tmp_path / "list", tmp_path / "state"
    path.write_text(f"{LISTED}\n")
    config = Config(
        server=Server(listen=("127.0.0.1:0",)),
        upstream=Upstream(servers=("udp://127.0.0.1:9",), timeout_s=0.5),
        state=State(dir=str(state)),
        feed=(Feed(name="listed", url=path.as_uri()),),
    )

    def build() -> None:
        build_once(config)
        if owner is None:
            return
        for each in (state, *state.rglob("*")):
            os.chown(each, owner, owner, follow_symlinks=False)
            if not each.is_symlink():
                each.chmod(0o700 if each.is_dir() else 0o600)

    build()
    with worker_of(config, worker) as port:
        assert sinks(port, LISTED)
        assert not sinks(port, LATER)
        path.write_text(f"{LISTED}\n{LATER}\n")
        build()
        until_s = time.monotonic() + 60
        while not sinks(port, LATER):
            assert time.monotonic() < until_s
            time.sleep(0.1)
        assert sinks(port, LISTED)
