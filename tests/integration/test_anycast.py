"""Two nodes with deploy/bird or deploy/exabgp, and a router with BIRD: an address is announced while the resolver answers."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.nodepair import ADDRESS, CLIENT, FAULTS, NODES, Node, NodePair, run, why_not

pytestmark = [
    pytest.mark.skipif(bool(why_not("bird", "birdc")), reason=why_not("bird", "birdc")),
    pytest.mark.long,
    pytest.mark.realtime,
]

DEPLOY = Path(__file__).parents[2] / "deploy"
BOUND_S = 4.0  # docs/high-availability.md says so
ROUTER = f"""router id {CLIENT};
protocol device {{ }}
protocol kernel {{ ipv4 {{ export all; }}; }}
protocol bfd {{ interface "*" {{ min rx interval 300 ms; min tx interval 300 ms; multiplier 3; }}; }}
template bgp node {{ local {CLIENT} as 65000; bfd on; hold time 9; ipv4 {{ import all; export none; }}; }}
protocol bgp node1 from node {{ neighbor {NODES[0]} as 65001; }}
protocol bgp node2 from node {{ neighbor {NODES[1]} as 65001; }}
"""


class Routed:
    """The pair, and the router, which prefers the first node."""

    def __init__(self, pair: NodePair, directory: Path, begin: Callable[[Node], None]) -> None:
        self.pair = pair
        self._socket = directory / "router.ctl"
        (directory / "router.conf").write_text(ROUTER)
        pair.spawn("bird", "-f", "-c", directory / "router.conf", "-s", self._socket, "-P", directory / "router.pid")
        for node in pair.nodes:
            node.namespace.ip("address", "add", f"{ADDRESS}/32", "dev", "lo")
            begin(node)
        pair.wait_for(lambda: self.next_hop() == NODES[0], "the first node is preferred")

    def next_hop(self) -> str:
        """The node that gets the queries; "" for none."""
        route = self.pair.lan.ip("route", "show", f"{ADDRESS}/32").split()
        return route[route.index("via") + 1] if "via" in route else ""

    def announced_by(self) -> set[str]:
        """The nodes that announce the address."""
        shown = run("birdc", "-s", str(self._socket), "show", "route", "for", f"{ADDRESS}/32", "all")
        return {node for node in NODES if f"via {node} " in shown}


def _bird(node: Node) -> None:
    config, control = node.directory / "bird.conf", node.directory / "bird.ctl"
    text = (DEPLOY / "bird/bird.conf").read_text().replace("192.0.2.53", ADDRESS)
    config.write_text(
        text.replace("192.0.2.2", node.address).replace("192.0.2.9", CLIENT).replace("log syslog all;", "log stderr all;")
    )
    node.spawn("bird", "-f", "-c", config, "-s", control, "-P", node.directory / "bird.pid")
    NodePair.wait_for(control.exists, "BIRD is up")
    node.spawn(DEPLOY / "bird/follow-health", *node.probe(), "--repeat", "3", BIRDC=f"birdc -s {control}")


def _exabgp(node: Node) -> None:
    config, script = node.directory / "exabgp.conf", node.directory / "follow"
    follow = shlex.join([str(DEPLOY / "exabgp/follow-health"), ADDRESS, *node.probe()])
    script.write_text(f"#!/bin/sh\nexec {follow}\n")
    script.chmod(0o755)
    text = (DEPLOY / "exabgp/exabgp.conf").read_text()
    text = text.replace("/usr/local/sbin/protective-dns-health 192.0.2.53 --server 192.0.2.53", str(script))
    config.write_text(text.replace("192.0.2.2", node.address).replace("192.0.2.9", CLIENT))
    settings = {"exabgp.daemon.user": "root", "exabgp.log.destination": "stderr", "exabgp.api.cli": "false"}
    node.spawn("env", *(f"{key}={value}" for key, value in settings.items()), "exabgp", config)


@pytest.fixture(scope="module", params=[_bird, _exabgp], ids=["bird", "exabgp"])
def routed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routed]:
    if request.param is _exabgp and why_not("exabgp"):
        pytest.skip(why_not("exabgp"))
    directory = tmp_path_factory.mktemp("anycast")
    with NodePair(directory) as pair:
        yield Routed(pair, directory, request.param)


WITHDRAWN = {"stopped", "killed", "hanging"}  # the others are announced with a longer path


@pytest.mark.parametrize("fault", FAULTS)
def test_the_route_moves(routed: Routed, fault: str) -> None:
    """The client is answered by the other node within the time that the documentation gives, and by the first node afterwards."""
    pair = routed.pair
    first, second = pair.nodes
    begin, end = FAULTS[fault]
    with pair.client() as client:
        pair.wait_for(client.is_answered, "an answer")
        begin(first)
        pair.wait_for(lambda: routed.next_hop() == second.address, "the router prefers the second node")
        pair.wait_for(client.is_answered, "an answer of the second node")
    print(f"{fault}: {client.moves}")  # noqa: T201 (numbers for the log)
    assert client.longest_gap_s < BOUND_S
    assert routed.announced_by() == ({second.address} if fault in WITHDRAWN else set(NODES))
    with pair.client() as client:
        end(first)
        pair.wait_for(lambda: routed.next_hop() == first.address, "the router prefers the first node")
        pair.wait_for(client.is_answered, "an answer of the first node")
    print(f"{fault}, back: {client.moves}")  # noqa: T201
    assert client.longest_gap_s < 1.0


def test_the_route_comes_back_after_a_reload(routed: Routed) -> None:
    """BIRD disables the protocols again when its file is read: the script tells it the state once more."""
    first, _ = routed.pair.nodes
    control = first.directory / "bird.ctl"
    if not control.exists():
        pytest.skip("ExaBGP keeps what it was told")
    run("birdc", "-s", str(control), "configure")
    routed.pair.wait_for(lambda: first.address not in routed.announced_by(), "the reload has withdrawn the route")
    routed.pair.wait_for(lambda: first.address in routed.announced_by(), "it is announced again")


def test_the_route_goes_with_the_probe(routed: Routed) -> None:
    """Where the probe itself ends, the address is withdrawn, and nothing is announced without it."""
    first, second = routed.pair.nodes
    first.kill_spawned("health --follow")
    routed.pair.wait_for(lambda: routed.announced_by() == {second.address}, "the first node is withdrawn")
