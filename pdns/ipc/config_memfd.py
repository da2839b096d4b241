"""The configuration, handed to a child as sealed memory."""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from pdns.config.earlier import config_of
from pdns.config.schema import Config
from pdns.files.sealed import sealed_memory

# Unknown to earlier versions; their defaults switch nothing on.
LATER_TABLES: Final = ("fleet", "canaries", "discovery", "designation", "listener", "encrypted")
LATER_KEYS: Final = {"upstream": {"dnssec": "trust-ad"}, "group": {"dnssec": "trust-ad"}}
_DEFAULTS: Final = {field.name: field.default for field in msgspec.structs.fields(Config)}


def share_config(config: Config) -> int:
    """`config` in a sealed memfd, which no process can change. The caller closes it.

    Without `[[record]]`: `loaded_records` has all that is in it. Without tables of `LATER_TABLES` and keys of `LATER_KEYS` that
    are at their defaults: a child of an earlier version, which refuses keys that it does not know, does the same without them.
    """
    tables: dict[str, Any] = msgspec.to_builtins(replace(config, record=()))
    for name in LATER_TABLES:
        if getattr(config, name) == _DEFAULTS[name]:
            tables.pop(name, None)
    for name, keys in LATER_KEYS.items():
        for table in [tables[name]] if isinstance(tables[name], dict) else tables[name]:
            for key, default in keys.items():
                if table[key] == default:
                    del table[key]
    return sealed_memory("pdns-config", [msgspec.json.encode(tables)])


def without_records(config: Config) -> Config:
    """`config` for a process that answers no DNS."""
    return replace(config, record=(), loaded_records=UNSET)


def read_config(fd: int) -> Config:
    """The configuration in `fd`, which stays open. Raises `msgspec.DecodeError` and `OSError`.

    A supervisor of an earlier version may have written it.
    """
    size = os.fstat(fd).st_size
    data = b""
    while len(data) < size and (chunk := os.pread(fd, size - len(data), len(data))):  # the file offset is shared
        data += chunk
    return config_of(data)
