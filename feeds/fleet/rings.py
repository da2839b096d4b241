"""Which ring of nodes gets which release. No I/O and no clock: times are arguments, in seconds since the epoch.

A new release is for the nodes of ring `first`. It goes to the next ring when it has been in its ring for the time to soak, enough
nodes report that they use it or a later one, and no node has refused it. A ring without a release gets the first one at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from feeds.fleet.release import Heartbeat
from pdns.errors import PdnsError
from pdns.state.fleet_status import RINGS

FIRST, EARLY, ALL = RINGS
_STEPS: Final = ((FIRST, EARLY), (EARLY, ALL))


class RingError(PdnsError):
    """A release that cannot be put where it was to be put."""


class RingReleases(msgspec.Struct, frozen=True):
    """The releases of one ring."""

    release: int = 0  # 0: none yet
    since: dict[int, float] = {}  # releases that the next ring may still get -> when they came to this ring


class Rings(msgspec.Struct, frozen=True, kw_only=True):
    """All rings. `pinned`: why no release goes to another ring by itself; "": they do."""

    ring: dict[str, RingReleases] = msgspec.field(default_factory=lambda: {name: RingReleases() for name in RINGS})
    refused: dict[int, str] = {}  # release -> which node refused it, and why
    pinned: str = ""

    @property
    def releases(self) -> dict[str, int]:
        """The release of each ring."""
        return {name: self.ring[name].release for name in RINGS}

    @property
    def needed(self) -> set[int]:
        """Releases that are in a ring, or may come to one."""
        return {number for ring in self.ring.values() for number in (ring.release, *ring.since) if number}


def offered(rings: Rings, release: int, now_s: float) -> Rings:
    """`rings` with a new release: it is for ring `first`, and for rings that have none."""
    for name in RINGS:
        if name == FIRST or not rings.ring[name].release:
            rings = _put(rings, name, release, now_s)
    return rings


def advanced(rings: Rings, nodes: Collection[Heartbeat], soak_s: float, soak_nodes: int, now_s: float) -> Rings:
    """`rings` with every release that may go on in the next ring. `nodes`: heartbeats that are not old."""
    told = {number: f"{node.node}: {node.reason or 'no reason'}" for node in nodes for number in node.refused}
    known = rings.needed
    rings = replace(rings, refused={number: why for number, why in {**told, **rings.refused}.items() if number in known})
    if rings.pinned:
        return rings
    for ring, following in _STEPS:
        here = [node for node in nodes if node.ring == ring]
        skipped = ring == EARLY and not here  # a small fleet may have no node in it
        needed = 0 if skipped else soak_nodes if ring == FIRST else min(soak_nodes, len(here))
        waited_s = 0.0 if skipped else soak_s
        for release, since_s in sorted(rings.ring[ring].since.items(), reverse=True):
            if release <= rings.ring[following].release:
                break
            if now_s - since_s >= waited_s and _is_good(release, here, needed, rings.refused):
                rings = _put(rings, following, release, now_s)
                break
    return rings


def _is_good(release: int, nodes: Iterable[Heartbeat], needed: int, refused: Mapping[int, str]) -> bool:
    """Whether `needed` of `nodes` use the release or a later one, and none refused it, or a later one while it was untried."""
    using = [node.release for node in nodes if node.release >= release and node.release not in refused]
    if release in refused or len(using) < needed:
        return False
    return all(any(release <= used < number for used in using) for number in refused if number > release)


def promoted(rings: Rings, release: int, ring: str, now_s: float) -> Rings:
    """`rings` after an administrator put `release` in `ring`, and in the rings before it. Raises `RingError`."""
    if release <= rings.ring[ring].release:
        raise RingError(f"ring {ring} has release {rings.ring[ring].release} already; to go back, use rollback")
    for name in RINGS[: RINGS.index(ring) + 1]:
        if rings.ring[name].release < release:
            rings = _put(rings, name, release, now_s)
    return rings


def rolled_back(rings: Rings, release: int, now_s: float, why: str) -> Rings:
    """`rings` after all of them got `release`, which has the content of an earlier one. They are pinned."""
    return replace(rings, ring={name: RingReleases(release, {release: now_s}) for name in RINGS}, pinned=why)


def waiting(rings: Rings) -> str:
    """Why the newest release is not in every ring, in words; "" when it is."""
    newest = rings.ring[FIRST].release
    if newest == rings.ring[ALL].release:
        return ""
    if rings.pinned:
        return f"pinned: {rings.pinned}"
    if newest in rings.refused:
        return f"release {newest} was refused by {rings.refused[newest]}"
    return f"release {newest} waits in ring {EARLY if rings.ring[EARLY].release == newest else FIRST}"


def _put(rings: Rings, name: str, release: int, now_s: float) -> Rings:
    ring = {**rings.ring, name: RingReleases(release, {**rings.ring[name].since, release: now_s})}
    oldest = {following: ring[following].release for _, following in _STEPS}
    for before, following in _STEPS:  # what the next ring has passed is of no use there
        kept = {number: at for number, at in ring[before].since.items() if number >= oldest[following]}
        ring[before] = RingReleases(ring[before].release, kept)
    ring[ALL] = RingReleases(ring[ALL].release, {})
    return replace(rings, ring=ring)
