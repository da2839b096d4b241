"""The groups of a forwarder."""

from __future__ import annotations

from pdns.config.groups import server_groups
from pdns.config.schema import Config, Upstream, Zone
from pdns.core.routes import MOST_LABELS, OTHER
from pdns.upstream.forwarder import upstream_groups

SERVERS = ("udp://192.0.2.1:53",)


def test_labels_of_groups_are_bounded() -> None:
    """Each zone with servers of its own is a group, and there may be 20,000."""
    zones = tuple(Zone(names=(f"z{number}.test",), servers=SERVERS) for number in range(MOST_LABELS + 100))
    groups, _, _ = upstream_groups(server_groups(Config(upstream=Upstream(servers=SERVERS), zone=zones)))
    labels = [group.name for group in groups.values()]
    assert labels[: MOST_LABELS - 1] == list(groups)[: MOST_LABELS - 1]
    assert len(set(labels)) == MOST_LABELS + 1
    assert set(labels[MOST_LABELS:]) == {OTHER}
