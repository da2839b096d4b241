"""Memories that a worker gets only when the configuration needs them, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pdns.config.schema import Config
from pdns.telemetry.asked_names import new_ring
from pdns.telemetry.names_key import key_for
from pdns.telemetry.tap_ring import new_tap_ring
from pdns.telemetry.tunnel_ring import new_tunnel_ring

ASKED: Final = "asked"
TUNNELS: Final = "tunnels"
TAP: Final = "tap"
MAKERS: Final[dict[str, Callable[[Config], int]]] = {  # name -> makes the memory, and returns its descriptor
    ASKED: lambda config: new_ring(key_for(Path(config.state.dir))),
    TUNNELS: lambda _config: new_tunnel_ring(),
    TAP: lambda _config: new_tap_ring(),
}


def wanted_memories(config: Config) -> tuple[str, ...]:
    """The names of those that this configuration needs, in the order of `MAKERS`."""
    wanted = {
        ASKED: config.events.enabled and config.history.days > 0,
        TUNNELS: config.events.enabled and config.findings.tunnel_bytes_per_minute > 0,
        TAP: config.events.enabled and any(sink.kind == "dnstap" for sink in config.sink),
    }
    return tuple(name for name in MAKERS if wanted.get(name, config.events.enabled))
