"""A node of a fleet, the real program, with a publisher that signs what it is told."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feeds.fleet.release import Urgent
from pdns.state import fleet_status
from pdns.state.fleet_status import FleetStatus
from pdns.state.overrides import Disabled, Indicator
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread
from tests.unit.feeds.fleet.smallpublisher import SmallPublisher, text_of

WORKERS = 2


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread() as upstream:
        yield upstream


@pytest.fixture
def publisher(tmp_path: Path) -> SmallPublisher:
    return SmallPublisher(tmp_path / "publisher")


def node_config(publisher: SmallPublisher, upstream: UpstreamThread, **fleet: Any) -> dict[str, Any]:
    section = {
        "role": "node", "store": publisher.store.as_uri(), "root_file": str(publisher.root_file), "node": "n1", "poll_s": 0.2,
        "gate_queries": 200,
    }  # fmt: skip
    return {
        "server": {"workers": WORKERS},
        "upstream": {"servers": [upstream.address]},
        "access": {"networks": ["127.0.0.0/8"]},
        "fleet": {**section, **fleet},
    }


def status(pdns: RunningPdns) -> FleetStatus:
    return fleet_status.read(pdns.state_dir) or FleetStatus()


def until_release(pdns: RunningPdns, number: int) -> None:
    pdns.wait_for(lambda: status(pdns).release == number, f"release {number}")


def is_blocked(pdns: RunningPdns, name: str) -> bool:
    return pdns.addresses(name) == [SINKHOLE]


def until_blocked(pdns: RunningPdns, name: str, *, blocked: bool = True) -> None:
    pdns.wait_for(lambda: is_blocked(pdns, name) == blocked, f"{name} blocked: {blocked}")


def pdns_of(pdns: RunningPdns, *words: str) -> str:
    command = [sys.executable, "-m", "pdns", *words, "-c", str(pdns.config_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    return result.stdout + result.stderr


@pytest.mark.long
def test_a_release_comes_in_force_and_stays(tmp_path: Path, publisher: SmallPublisher, upstream: UpstreamThread) -> None:
    """Lists and policy of a release; a change; entries without a release; damage, and an end by SIGKILL in between."""
    publisher.policy = '[block]\naction = "nxdomain"\n' + publisher.policy
    with RunningPdns(tmp_path, node_config(publisher, upstream), ready=False) as pdns:
        pdns.wait_for(lambda: "no release of the publisher is here yet" in pdns.get("/readyz")[1], "not ready")
        publisher.publish({"a": text_of("one.example")})
        pdns.wait_for(lambda: pdns.get("/readyz")[0] == 200, "ready")
        pdns.wait_for(lambda: pdns.rcode("one.example") == "NXDOMAIN", "the policy of the bundle")
        assert pdns.addresses("two.example") != []

        publisher.policy = (
            publisher.policy.replace("nxdomain", "sinkhole") + '[[feed]]\nname = "b"\nurl = "fleet:b"\nrequired = true\n'
        )
        publisher.publish({"a": text_of("one.example", "two.example"), "b": text_of("three.example")})
        until_blocked(pdns, "three.example")
        until_blocked(pdns, "one.example")
        assert is_blocked(pdns, "two.example")
        assert pdns.rcode("plain.example") == "NOERROR"
        assert status(pdns).bundle_error == ""

        entry = Indicator(name="four.example", action="block", reason="seen in the north", author="alice", added_s=time.time())
        switched = {"b": Disabled(reason="bad list", author="bob", since_s=time.time(), until_s=time.time() + 3600)}
        publisher.urgent = Urgent(revision=1, indicators=(entry,), disabled=switched)
        publisher.sign()
        until_blocked(pdns, "four.example")
        until_blocked(pdns, "three.example", blocked=False)
        assert "fleet: alice" in pdns_of(pdns, "indicators", "list")
        assert "by the publisher of the fleet" in pdns_of(pdns, "indicators", "remove", "four.example")
        assert "pdns feeds enable" in pdns_of(pdns, "feeds", "enable", "b")
        assert "the publisher of the fleet decides" in pdns_of(pdns, "feeds", "hold", "a", "--reason", "x")

        pdns.kill()
        pdns.start()
        assert is_blocked(pdns, "two.example")
        until_blocked(pdns, "four.example")
        publisher.urgent = Urgent(revision=2)
        third = publisher.publish({"a": text_of("one.example", "five.example"), "b": text_of("three.example")})
        until_blocked(pdns, "five.example")
        until_release(pdns, third.number)
        until_blocked(pdns, "four.example", blocked=False)


def test_a_bundle_that_does_not_fit_is_reported(tmp_path: Path, publisher: SmallPublisher, upstream: UpstreamThread) -> None:
    """The node's own file sets what the bundle sets as well: the configuration stays, the lists follow, and the node restarts."""
    publisher.publish({"a": text_of("one.example")})
    config = node_config(publisher, upstream) | {"block": {"ttl_s": 7}}
    with RunningPdns(tmp_path, config) as pdns:
        until_blocked(pdns, "one.example")
        publisher.policy = '[block]\naction = "nxdomain"\n' + publisher.policy
        publisher.publish({"a": text_of("one.example", "two.example")})
        until_blocked(pdns, "two.example")
        pdns.wait_for(lambda: "block: is already set in" in status(pdns).bundle_error, "bundle_error")
        assert str(pdns.config_path) in status(pdns).bundle_error
        assert "the policy of the publisher is not in force" in pdns.get("/readyz")[1]
        pdns.kill()
        pdns.start()
        assert is_blocked(pdns, "two.example")
        pdns.write_config(node_config(publisher, upstream))
        pdns.wait_for(lambda: pdns.rcode("two.example") == "NXDOMAIN", "the policy after the conflict is gone")
        pdns.wait_for(lambda: status(pdns).bundle_error == "", "no bundle_error")
