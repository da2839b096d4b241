"""The status of a fleet for people: aligned text."""

from __future__ import annotations

from collections import Counter
from typing import Final

from rich.console import Console
from rich.text import Text

from pdns.cli.feed_table import age, aligned
from pdns.free_text import visible
from pdns.state.fleet_status import NODE_STATES, RINGS, FleetStatus, SeenNode

_NODE_TITLES: Final = ("node", "ring", "release", "lag", "last seen", "version", "blocked", "servfail", "state", "says")
_BAD_STATES: Final = ("refused", "missing")
_SHOWN_HASH: Final = 12


def show_node(console: Console, status: FleetStatus, now_s: float) -> bool:
    """The status of a node. Returns whether all is well."""
    rows = [
        ("node", f"{status.node}, ring {status.ring}"),
        ("release", _release(status)),
        ("pointer", _pointer(status, now_s)),
        ("store", _store(status, now_s)),
        ("compiled", _compiled(status)),
        ("policy", f"NOT IN FORCE: {status.bundle_error}" if status.bundle_error else "as published"),
        ("pinned", f"yes: {status.pinned_reason}; `pdns fleet unpin` ends it" if status.pinned else "no"),
    ]
    rows += [("refused", f"release {one.number}, {age(now_s - one.at_s)}: {one.reason}") for one in status.refused]
    aligned(console, rows)
    return is_well(status, now_s)


def show_publisher(console: Console, status: FleetStatus, now_s: float, soak_nodes: int) -> bool:
    """The status of a publisher: its rings, then its nodes. Returns whether all is well. `soak_nodes`: as configured."""
    if status.fenced:
        text = "STOPPED: another publisher writes to this store. Stop it, then `pdns fleet take-over`; or stop this one"
        console.print(Text(text, "red"), soft_wrap=True)
    rows = [
        ("release", str(status.release) if status.release else "none yet"),
        ("pointer", _pointer(status, now_s)),
        ("store", _store(status, now_s)),
        ("promotion", _promotion(status, soak_nodes)),
    ]
    aligned(console, rows)
    console.print()
    states = {node.node: node.state(status.rings.get(node.ring, 0), now_s) for node in status.nodes}
    rings = []
    for ring in RINGS:
        counts = Counter(states[node.node] for node in status.nodes if node.ring == ring)
        rings.append(
            (ring, _number(status.rings.get(ring, 0)), str(counts.total()), *(str(counts[name]) for name in NODE_STATES))
        )
    aligned(console, [("ring", "release", "nodes", *NODE_STATES), *rings])
    console.print()
    if status.nodes:
        nodes = sorted(status.nodes, key=lambda node: (RINGS.index(node.ring) if node.ring in RINGS else 9, node.node))
        aligned(console, [_NODE_TITLES, *(_node(node, status, states[node.node], now_s) for node in nodes)])
    else:
        console.print(Text("no node has sent a heartbeat: set fleet.heartbeat_store on nodes"), soft_wrap=True)
    return is_well(status, now_s)


def is_well(status: FleetStatus, now_s: float) -> bool:
    """Whether all is well with a node, or with a publisher and the nodes that it has heard of."""
    if status.role == "publisher":
        bad = any(node.state(status.rings.get(node.ring, 0), now_s) in _BAD_STATES for node in status.nodes)
        return status.store_up and not (status.fenced or bad)
    expired = 0 < status.pointer_expires_s < now_s
    latest_refused = status.wanted_release in [one.number for one in status.refused]
    return status.store_up and not (expired or status.bundle_error or status.compiled_differs or latest_refused)


def _promotion(status: FleetStatus, soak_nodes: int) -> str:
    """What makes releases go on, or what they wait for."""
    if status.pinned:
        return f"PINNED: {status.pinned_reason}; `pdns fleet unpin` ends it"
    newest, last = (status.rings.get(ring, 0) for ring in (RINGS[0], RINGS[-1]))
    if newest == last:
        return "after the soak time"
    for node in status.nodes:
        if newest in node.refused:
            return f"release {newest} STAYS where it is: {node.node} refused it: {node.reason}"
    using = sum(node.ring == RINGS[0] and node.release >= newest for node in status.nodes)
    if using < soak_nodes:
        text = f"release {newest} WAITS for heartbeats of {soak_nodes} in ring {RINGS[0]} that use it, {using} do"
        return f"{text}; `pdns fleet promote {newest} {RINGS[-1]}` ends the wait"
    return f"release {newest} goes on after the soak time"


def _node(node: SeenNode, status: FleetStatus, state: str, now_s: float) -> tuple[str, ...]:
    wanted = status.rings.get(node.ring, 0)
    says = node.error or (f"refused {node.refused[-1]}: {node.reason}" if node.refused else "")
    return (
        node.node, node.ring, _number(node.release), str(max(0, wanted - node.release)),
        age(now_s - node.written_s), node.version, _percent(node.blocked, node.queries), _percent(node.servfail, node.queries),
        state.upper() if state in _BAD_STATES else state, says,
    )  # fmt: skip


def _release(status: FleetStatus) -> str:
    if not status.release:
        return "none yet"
    if status.wanted_release > status.release:
        return f"{status.release}; release {status.wanted_release} is published for its ring"
    return f"{status.release}, the newest for its ring"


def _pointer(status: FleetStatus, now_s: float) -> str:
    if not status.sequence:
        return "none yet"
    issued = f", issued {age(now_s - status.pointer_issued_s)}" if status.pointer_issued_s else ""
    left_s = status.pointer_expires_s - now_s
    expires = f"expires in {_span(left_s)}" if left_s > 0 else f"EXPIRED {age(-left_s)}"
    return f"sequence {status.sequence}{issued}, {expires}"


def _store(status: FleetStatus, now_s: float) -> str:
    if not status.last_poll_s:
        return "not asked yet"
    publishes = status.role == "publisher"
    done = "written" if publishes else "reached"
    reached = f"last {done} {age(now_s - status.last_success_s)}" if status.last_success_s else f"never {done}"
    if status.last_error:
        return f"FAILING, {reached}: {visible(status.last_error, 200)}"
    return reached if publishes else f"{reached}, {status.bytes_total:,} bytes received"


def _compiled(status: FleetStatus) -> str:
    if not status.compiled_sha256:
        return "nothing yet"
    same = "DIFFERS from the publisher's: is the program of both of one version?" if status.compiled_differs else "as published"
    return f"{status.compiled_sha256[:_SHOWN_HASH]}, {same}"


def _span(seconds: float) -> str:
    return age(seconds).removesuffix(" ago")


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "-"


def _number(release: int) -> str:
    return str(release) if release else "-"
