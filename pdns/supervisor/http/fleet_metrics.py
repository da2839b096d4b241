"""The metrics of a server in a fleet, from its status file."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

from pdns.config.fleet_schema import FleetSection
from pdns.state.fleet_status import NODE_STATES, POLL_RESULTS, PUBLISH_RESULTS, RELEASE_RESULTS, RINGS, FleetStatus
from pdns.telemetry.counter_sums import Series

PUBLISHER: Final = "publisher"
_HASH_DIGITS: Final = 12


def add_fleet(values: defaultdict[str, Series], configured: FleetSection, status: FleetStatus, now_s: float) -> None:
    """Adds nothing for a server that is in no fleet."""
    if configured.role == "standalone":
        return
    ring = PUBLISHER if configured.role == PUBLISHER else status.ring
    if status.compiled_sha256:
        values["blockset_info"][ring, str(status.release), status.compiled_sha256[:_HASH_DIGITS]] = 1
    values["fleet_sequence"][()] = status.sequence
    values["fleet_release"][()] = status.release
    values["fleet_release_lag"][()] = max(0, status.wanted_release - status.release)
    if status.pointer_issued_s:
        values["fleet_pointer_age_seconds"][()] = now_s - status.pointer_issued_s
    if status.pointer_expires_s:
        values["fleet_pointer_expires_seconds"][()] = status.pointer_expires_s - now_s
    for result in POLL_RESULTS:
        values["fleet_polls_total"][result,] = status.polls.get(result, 0)
    values["fleet_bytes_total"][()] = status.bytes_total
    for result in RELEASE_RESULTS:
        values["fleet_releases_total"][result,] = status.releases.get(result, 0)
    values["fleet_store_up"][()] = status.store_up
    values["fleet_pinned"][()] = status.pinned
    values["fleet_compiled_differs"][()] = status.compiled_differs
    values["fleet_policy_refused"][()] = bool(status.bundle_error)
    if configured.role == PUBLISHER:
        _add_publisher(values, status, now_s)


def _add_publisher(values: defaultdict[str, Series], status: FleetStatus, now_s: float) -> None:
    nodes = Counter((node.ring, node.state(status.rings.get(node.ring, 0), now_s)) for node in status.nodes)
    for ring in RINGS:
        values["fleet_ring_release"][ring,] = status.rings.get(ring, 0)
        for state in NODE_STATES:
            values["fleet_nodes"][ring, state] = nodes[ring, state]
    for result in PUBLISH_RESULTS:
        values["fleet_publish_total"][result,] = status.published.get(result, 0)
    values["fleet_fenced"][()] = status.fenced
