"""A fleet: which release is where, how old the pointer is, what the store and the nodes do."""

from __future__ import annotations

from deploy.grafana.parts import BAD, GOOD, NODE, OK_AT_ZERO, PLAIN, WARN, Board

_UP = {"1": ("up", GOOD), "0": ("failing", BAD)}


def board() -> Board:
    made = Board("pdns-fleet", "pdns: fleet", "One publisher, many nodes: which release is where, and is everything current?")
    made.sources()
    made.nodes()
    made.changes()
    _numbers(made)
    made.row("Releases")
    _releases(made)
    made.row("Store and pointer")
    _store(made)
    made.row("Nodes")
    _nodes(made)
    return made


def _numbers(made: Board) -> None:
    made.stat(
        "Newest release",
        "Number of the newest release, as the publisher says. It rises with each change of a list or of the policy.",
        "max(pdns_fleet_release)", unit="none", steps=PLAIN,
    )  # fmt: skip
    made.stat(
        "Behind",
        "Nodes that have not applied the newest release of their ring. Seconds after a release this is normal; minutes are not.",
        f"count(pdns_fleet_release_lag{{{NODE}}} > 0) or on () vector(0)", steps=OK_AT_ZERO,
    )  # fmt: skip
    made.stat(
        "Blocksets in use",
        "Different blocksets in the ring with most of them. More than 1 for two minutes: nodes of one ring block differently.",
        'max(count by (ring) (count by (ring, hash) (pdns_blockset_info{ring!="publisher"})))', steps=((None, GOOD), (2, BAD)),
    )  # fmt: skip
    made.stat(
        "Oldest pointer",
        "Age of the pointer of the node with the oldest one. The publisher signs it again before it expires.",
        f"max(pdns_fleet_pointer_age_seconds{{{NODE}}})", unit="s", steps=((None, GOOD), (3600, WARN), (21600, BAD)),
    )  # fmt: skip
    made.stat(
        "First expiry",
        "Time until the pointer of some node expires. Below 0: that node keeps blocking by its last release, and gets nothing new.",
        f"min(pdns_fleet_pointer_expires_seconds{{{NODE}}})", unit="s", steps=((None, BAD), (0, WARN), (3600, GOOD)),
    )  # fmt: skip
    made.stat(
        "Store failing",
        "Servers whose last poll or publication failed. All of them: the store; one: its way there. `pdns fleet check` says why.",
        f"sum(1 - pdns_fleet_store_up{{{NODE}}})", steps=OK_AT_ZERO,
    )  # fmt: skip
    made.stat(
        "Pinned",
        "Servers that an administrator keeps at their release. `pdns fleet unpin` ends that.",
        f"sum(pdns_fleet_pinned{{{NODE}}})", steps=((None, GOOD), (1, WARN)),
    )  # fmt: skip
    made.stat(
        "Missing nodes",
        "Nodes without a heartbeat for five minutes, as the publisher sees them. `pdns fleet status` there names them.",
        'sum(pdns_fleet_nodes{state="missing"}) or on () vector(0)', steps=OK_AT_ZERO,
    )  # fmt: skip


def _releases(made: Board) -> None:
    made.graph(
        "Release of each ring",
        "A new release goes to `first`, after the soak time to `early`, then to `all`. A ring that stays below: a node refused it, or nothing reports.",
        ("max by (ring) (pdns_fleet_ring_release)", "{{ring}}"), unit="none",
    )  # fmt: skip
    made.graph(
        "Nodes by release",
        "How many servers have each release in force. Each release takes over within seconds; two that stay are two rings, or nodes that are stuck.",
        ('topk(8, count by (release) (pdns_blockset_info{ring!="publisher"}))', "release {{release}}"), stacked=True,
    )  # fmt: skip
    made.graph(
        "Applied, refused, failed",
        "Releases that nodes tried within an hour. `refused`: the node went back by its own numbers; `failed`: it could not be used.",
        (f"sum by (result) (increase(pdns_fleet_releases_total{{{NODE}}}[1h]))", "{{result}}"),
    )  # fmt: skip
    made.bars(
        "Most releases behind",
        "Releases from the one in force to the newest one for its ring; the 12 nodes with most. Pinned nodes are among them.",
        f"topk(12, pdns_fleet_release_lag{{{NODE}}})", "{{instance}}", steps=((None, GOOD), (1, WARN)),
    )  # fmt: skip


def _store(made: Board) -> None:
    made.graph(
        "Polls",
        "Polls of the store per second, by result. `unchanged` is normal; `refused` is a wrong signature or an old pointer, perhaps an attack.",
        (f"sum by (result) (rate(pdns_fleet_polls_total{{{NODE}}}[$__rate_interval]))", "{{result}}"), stacked=True,
    )  # fmt: skip
    made.graph(
        "Bytes from the store",
        "Received per second by all servers. A change costs a node about 1 % of a full list; a full list once a day or after a long absence.",
        (f"sum(rate(pdns_fleet_bytes_total{{{NODE}}}[$__rate_interval]))", "all servers"), unit="Bps",
    )  # fmt: skip
    made.graph(
        "Age of the pointer",
        "Youngest and oldest. A saw-tooth is normal. A line that rises: the publisher is down, or a cache serves an old object.",
        (f"max(pdns_fleet_pointer_age_seconds{{{NODE}}})", "oldest"), (f"min(pdns_fleet_pointer_age_seconds{{{NODE}}})", "youngest"), unit="s",
    )  # fmt: skip
    made.graph(
        "Publications",
        "Within an hour, by result. `fenced`: another publisher writes to the store, and this one has stopped.",
        ("sum by (result) (increase(pdns_fleet_publish_total[1h])) or on () vector(0)", "{{result}}"),
    )  # fmt: skip


def _nodes(made: Board) -> None:
    made.graph(
        "Nodes by state",
        "By their last heartbeat: `current`, `behind`, `refused`, `pinned`, `missing`. Only nodes that may write heartbeats are counted.",
        ("sum by (state) (pdns_fleet_nodes) or on () vector(0)", "{{state}}"), stacked=True,
    )  # fmt: skip
    made.states(
        "Servers that lose the store",
        "The 12 servers with most failures in the chosen time. A node without the store keeps its last release.",
        f"pdns_fleet_store_up{{{NODE}}} and on (instance) bottomk(12, avg_over_time(pdns_fleet_store_up{{{NODE}}}[$__range] @ end()))",
        "{{instance}}", _UP, height=8,
    )  # fmt: skip
