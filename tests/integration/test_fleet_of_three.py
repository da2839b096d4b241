"""One publisher and three nodes, all the real program, over a directory."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from feeds.fleet import trust
from pdns.state.fleet_status import FleetStatus
from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed
from tests.integration.test_fleet_gate import Load
from tests.integration.test_fleet_node import pdns_of, status


def until_rcode(node: RunningPdns, name: str, rcode: str) -> None:
    node.wait_for(lambda: node.rcode(name) == rcode, f"{name} {rcode}")


def until_status(node: RunningPdns, condition: Callable[[FleetStatus], bool]) -> None:
    node.wait_for(lambda: condition(status(node)), "status")


@pytest.mark.long
def test_a_fleet_of_three(tmp_path: Path) -> None:
    """A change of a list is blocked on every node, with the same compiled files; entries of the publisher overtake; heartbeats
    arrive; without publisher and store the nodes go on; nothing is lost under load.
    """
    store, keys = tmp_path / "store", tmp_path / "keys"
    for directory in (store, keys, *(tmp_path / name for name in ("pub", "n1", "n2", "n3"))):
        directory.mkdir()
    trust.make_keys(keys, now_s=time.time())
    root = shutil.copy(keys / "root.json", tmp_path / "root.json")
    with UpstreamThread() as upstream, ExitStack() as running:
        common: dict[str, Any] = {"upstream": {"servers": [upstream.address]}, "server": {"workers": 1}}
        fleet = {"store": store.as_uri(), "poll_s": 0.3}
        lists = feed(tmp_path, "listed", "one.example", *(f"x{number}.example" for number in range(500)))
        publisher = running.enter_context(
            RunningPdns(
                tmp_path / "pub",
                common
                | {
                    "feed": [lists],
                    "block": {"action": "nxdomain"},
                    "fleet": {**fleet, "role": "publisher", "keys_dir": str(keys), "soak_s": 0.5, "soak_nodes": 1},
                },
            )
        )
        nodes = [
            running.enter_context(
                RunningPdns(
                    tmp_path / name,
                    common
                    | {
                        "fleet": {
                            **fleet, "role": "node", "root_file": str(root), "node": name, "ring": ring,
                            "heartbeat_store": store.as_uri(),
                        }
                    },
                )
            )
            for name, ring in (("n1", "first"), ("n2", "early"), ("n3", "all"))
        ]  # fmt: skip
        for node in nodes:
            until_rcode(node, "one.example", "NXDOMAIN")
            until_status(node, lambda one: one.compiled_sha256 != "")
            assert not status(node).compiled_differs
            assert status(node).bundle_error == ""
        with ExitStack() as loads:
            load = [loads.enter_context(Load(node.dns_port, "plain.example", "x1.example")) for node in nodes]
            path = Path(str(lists["url"]).removeprefix("file://"))
            path.write_text(path.read_text() + "two.example\n")
            for node in nodes:
                until_rcode(node, "two.example", "NXDOMAIN")
                assert not status(node).compiled_differs
            pdns_of(publisher, "allow", "one.example", "--reason", "a mistake")
            for node in nodes:
                until_rcode(node, "one.example", "NOERROR")
        assert [one.lost for one in load] == [0, 0, 0]
        publisher.wait_for(lambda: {one.node for one in status(publisher).nodes} == {"n1", "n2", "n3"}, "heartbeats")
        publisher.kill()
        store.rename(tmp_path / "gone")
        for node in nodes:
            until_status(node, lambda one: one.last_error != "")
            assert node.get("/readyz")[0] == 200
            assert "stays in force" in node.get("/readyz")[1]
            assert node.rcode("two.example") == "NXDOMAIN"
        nodes[0].kill()
        nodes[0].start()
        assert nodes[0].rcode("two.example") == "NXDOMAIN"
