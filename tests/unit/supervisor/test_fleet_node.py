"""A bundle on trial: the feeds process always gets an answer about the one that it has offered."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest

from pdns.config.load import load
from pdns.config.watch import Loaded
from pdns.ipc.channel import MAX_MESSAGE_BYTES, Channel
from pdns.ipc.messages import Message, OfferBundle, RefuseBundle
from pdns.supervisor.config_watch import ConfigWatch
from pdns.supervisor.fleet_node import FleetNode

MAIN = """
[upstream]
servers = ["192.0.2.53"]
[state]
dir = "state"
[fleet]
role = "node"
store = "file:store"
root_file = "root.json"
"""


class Feeds:
    """The feeds process, as far as it is told something."""

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.channel, self.theirs = Channel.pair()
        self.heard: Any = None

    def send(self, message: Message) -> None:
        assert self.channel.send(message)
        self.told.append(message)


def settle(tmp_path: Path, offered: bytes) -> tuple[RefuseBundle | None, str]:
    """The refusal, and the policy bundle that is in the directory after it."""
    (tmp_path / "state/fleet").mkdir(parents=True)
    (tmp_path / "root.json").write_text("{}")
    (tmp_path / "pdns.toml").write_text(MAIN)
    (tmp_path / "state/fleet/bundle.new.toml").write_bytes(offered)
    feeds = Feeds()
    config = load(tmp_path / "pdns.toml")
    node = FleetNode(lambda: config, None, feeds, lambda: None)  # type: ignore[arg-type]  # no worker is asked

    async def go_live(_: Loaded) -> None:
        """Any configuration that loads does."""

    async def run() -> None:
        node.heard(OfferBundle())
        assert node.take_offer()
        assert not node.take_offer()
        await node.settle(ConfigWatch(tmp_path / "pdns.toml"), go_live)

    asyncio.run(run())
    feeds.channel.close()
    assert feeds.theirs.recv(MAX_MESSAGE_BYTES * 2)[MAX_MESSAGE_BYTES:] == b""
    feeds.theirs.close()
    assert not (tmp_path / "state/fleet/bundle.new.toml").exists()
    in_force = tmp_path / "state/fleet/bundle.toml"
    refusal = feeds.told[-1] if feeds.told else None
    assert refusal is None or isinstance(refusal, RefuseBundle)
    return refusal, in_force.read_text() if in_force.exists() else ""


def test_a_bundle_that_loads_is_kept(tmp_path: Path) -> None:
    """The next start reads it."""
    assert settle(tmp_path, b"[block]\nttl_s = 7\n") == (None, "[block]\nttl_s = 7\n")


@pytest.mark.parametrize("offered", [b"<html>", b"\xff\xfe", b"x = " + b"[" * 5000, b'[fleet]\nrole = "standalone"\n'])
def test_a_refusal_names_the_bundle(tmp_path: Path, offered: bytes) -> None:
    """Also what is not TOML is refused by its hash: the feeds process does not wait for more."""
    refusal, in_force = settle(tmp_path, offered)
    assert refusal is not None
    assert refusal.sha256 == hashlib.sha256(offered).hexdigest()
    assert refusal.reason
    assert in_force == ""


def test_many_reasons_fit_into_one_message(tmp_path: Path) -> None:
    """A bundle with thousands of errors is refused like any other."""
    rows = "".join(f'[[feed]]\nname = "f{at}"\nurl = "https://{"x" * 100}.example/\\u001b[31m{at}"\n' for at in range(3000))
    refusal, _ = settle(tmp_path, rows.encode())
    assert refusal is not None
    assert len(refusal.reason) < 10_000
    assert refusal.reason.endswith("more")
    assert refusal.reason.isprintable()
