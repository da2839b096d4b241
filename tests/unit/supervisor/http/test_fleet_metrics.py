"""The metrics of a fleet: what the status file says, and nothing for a server that is in none."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from pdns.config.fleet_schema import FleetSection
from pdns.state import fleet_status
from pdns.state.fleet_status import FleetStatus, SeenNode
from pdns.supervisor.http.fleet_metrics import add_fleet
from pdns.supervisor.http.status import StatusReader
from pdns.telemetry.counter_sums import Series

NOW_S = 10_000.0


def _values(role: FleetSection, status: FleetStatus) -> dict[str, Series]:
    values: defaultdict[str, Series] = defaultdict(dict)
    add_fleet(values, role, status, NOW_S)
    return dict(values)


def test_a_server_alone_has_none() -> None:
    """Without a fleet there is no series, whatever file is there."""
    assert _values(FleetSection(), FleetStatus(release=3, compiled_sha256="ab" * 32)) == {}


def test_a_node() -> None:
    """Its release, how far behind it is, and the age of the pointer; nothing of other nodes."""
    status = FleetStatus(
        ring="early", release=3, wanted_release=5, compiled_sha256="ab" * 32, sequence=9, pointer_issued_s=NOW_S - 40,
        pointer_expires_s=NOW_S - 10, last_poll_s=NOW_S, polls={"expired": 2}, compiled_differs=True, bundle_error="no such key",
    )  # fmt: skip
    values = _values(FleetSection(role="node"), status)
    assert values["blockset_info"] == {("early", "3", "abababababab"): 1}
    assert values["fleet_release_lag"] == {(): 2}
    assert values["fleet_pointer_age_seconds"] == {(): 40}
    assert values["fleet_pointer_expires_seconds"] == {(): -10}
    assert values["fleet_polls_total"]["expired",] == 2
    assert values["fleet_polls_total"]["refused",] == 0
    assert values["fleet_store_up"] == {(): 1}
    assert values["fleet_compiled_differs"] == values["fleet_policy_refused"] == {(): 1}
    assert "fleet_nodes" not in values


def test_a_publisher_counts_its_nodes_by_state() -> None:
    """Each node counts once: missing before all else, then refused, current, pinned, behind."""

    def node(name: str, **facts: object) -> SeenNode:
        return SeenNode(node=name, ring="all", **{"written_s": NOW_S, "release": 4, **facts})  # type: ignore[arg-type]

    nodes = [
        node("a"), node("b", release=3), node("c", release=3, refused=[4]), node("d", release=3, pinned=True),
        node("e", written_s=NOW_S - fleet_status.MISSING_AFTER_S - 1),
    ]  # fmt: skip
    values = _values(FleetSection(role="publisher"), FleetStatus(rings={"first": 5, "all": 4}, nodes=nodes, fenced=True))
    assert {state: values["fleet_nodes"]["all", state] for state in fleet_status.NODE_STATES} == dict.fromkeys(
        fleet_status.NODE_STATES, 1
    )
    assert values["fleet_ring_release"] == {("first",): 5, ("early",): 0, ("all",): 4}
    assert values["fleet_fenced"] == {(): 1}
    assert values["fleet_store_up"] == {(): 0}


def test_the_status_is_read_when_it_is_another_one(tmp_path: Path) -> None:
    """A new file is seen at once; a broken or missing one leaves what was known."""
    reader = StatusReader(tmp_path)
    assert reader.fleet() == FleetStatus()
    fleet_status.write(tmp_path, FleetStatus(release=1))
    first = reader.fleet()
    assert first.release == 1
    assert reader.fleet() is first
    fleet_status.path(tmp_path).write_text("{")
    assert reader.fleet() is first
    fleet_status.write(tmp_path, FleetStatus(release=2))
    assert reader.fleet().release == 2
