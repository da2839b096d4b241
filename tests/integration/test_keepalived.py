"""Two nodes with Debian's keepalived and deploy/keepalived: the address moves to the node that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration import nodepair
from tests.integration.nodepair import NODES, Node, NodePair, why_not

pytestmark = [
    pytest.mark.skipif(bool(why_not("keepalived")), reason=why_not("keepalived")),
    pytest.mark.long,
    pytest.mark.realtime,
]

SHIPPED = Path(__file__).parents[2] / "deploy/keepalived"
SHARED = "10.99.0.53"
BOUND_S = 6.0  # docs/high-availability.md says so


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodePair]:
    with NodePair(tmp_path_factory.mktemp("keepalived")) as pair:
        for node, priority in zip(pair.nodes, (110, 100), strict=True):
            _begin(node, priority)
        pair.wait_for(lambda: owners(pair) == [NODES[0]], "the first node has the address")
        yield pair


def _begin(node: Node, priority: int) -> None:
    track, config = node.directory / "track", node.directory / "keepalived.conf"
    text = (
        (SHIPPED / "keepalived.conf")
        .read_text()
        .replace("192.0.2.53/24", f"{SHARED}/24")
        .replace("priority 110", f"priority {priority}")
    )
    config.write_text(text.replace("/run/protective-dns/keepalived", str(track)))
    files = [f"--{name}={node.directory / name}" for name in ("pid", "vrrp_pid", "checkers_pid")]
    node.spawn("keepalived", "--dont-fork", "--log-console", "--vrrp", "-f", config, *files)
    node.spawn(SHIPPED / "follow-health", *node.probe(), TRACK_FILE=str(track))


def owners(pair: NodePair) -> list[str]:
    """The nodes that have the address."""
    return [node.address for node in pair.nodes if f"{SHARED}/" in node.namespace.ip("address", "show", "dev", "eth0")]


FAULTS: dict[str, tuple[Callable[[Node], object], Callable[[Node], object]]] = {
    **nodepair.FAULTS,
    "without network": (
        lambda node: node.namespace.ip("link", "set", "eth0", "down"),
        lambda node: node.namespace.ip("link", "set", "eth0", "up"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_address_moves(pair: NodePair, fault: str) -> None:
    """The client is answered by the other node within the time that the documentation gives, and by the first node afterwards."""
    first, second = pair.nodes
    begin, end = FAULTS[fault]
    with pair.client(SHARED) as client:
        pair.wait_for(client.is_answered, "an answer")
        begin(first)
        pair.wait_for(lambda: second.address in owners(pair), "the second node takes the address")
        pair.wait_for(client.is_answered, "an answer of the second node")
    print(f"{fault}: {client.moves}")  # noqa: T201 (numbers for the log)
    assert client.longest_gap_s < BOUND_S
    with pair.client(SHARED) as client:
        end(first)
        pair.wait_for(lambda: owners(pair) == [first.address], "the first node takes it back")
        pair.wait_for(client.is_answered, "an answer of the first node")
    print(f"{fault}, back: {client.moves}")  # noqa: T201
    assert client.longest_gap_s < 1.0


def test_both_without_upstreams_still_answer(pair: NodePair) -> None:
    """If no upstream answers anywhere, the address stays: cached and blocked names are answered."""
    for upstream in pair.upstreams:
        upstream.broken = True
    try:
        tracks = [node.directory / "track" for node in pair.nodes]
        pair.wait_for(lambda: [track.read_text() for track in tracks] == ["-30\n", "-30\n"], "both are degraded")
        assert owners(pair) == [pair.nodes[0].address]
    finally:
        for upstream in pair.upstreams:
            upstream.broken = False
