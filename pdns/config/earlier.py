"""Configurations in JSON, as supervisors of this version and of earlier ones write them."""

from __future__ import annotations

from typing import Any

import msgspec

from pdns.config.groups import DEFAULT
from pdns.config.schema import Config, Zone


def config_of(data: bytes) -> Config:
    """The configuration in `data`. `local.forward` is read as the zone that replaced it. Raises `msgspec.DecodeError`."""
    try:
        return msgspec.json.decode(data, type=Config)
    except msgspec.ValidationError:
        return msgspec.json.decode(_with_zones(data), type=Config)


def _with_zones(data: bytes) -> bytes:
    tables = msgspec.json.decode(data, type=dict[str, Any])
    local = tables.get("local")
    if isinstance(local, dict) and (forward := local.pop("forward", ())):
        tables["zone"] = [*tables.get("zone", ()), Zone(names=tuple(forward), group=DEFAULT)]
    return msgspec.json.encode(tables)
