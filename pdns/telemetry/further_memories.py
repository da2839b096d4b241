"""Memories that a worker gets only when the configuration needs them, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pdns.config.schema import Config
from pdns.telemetry.tunnel_ring import new_tunnel_ring

TUNNELS: Final = "tunnels"
MAKERS: Final[dict[str, Callable[[], int]]] = {TUNNELS: new_tunnel_ring}  # name -> makes the memory, and returns its descriptor


def wanted_memories(config: Config) -> tuple[str, ...]:
    """The names of those that this configuration needs, in the order of `MAKERS`."""
    wanted = {TUNNELS: config.events.enabled and config.findings.tunnel_bytes_per_minute > 0}
    return tuple(name for name in MAKERS if wanted.get(name, config.events.enabled))
