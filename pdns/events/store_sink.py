"""The embedded store as a sink: it gets every record, whatever other sinks there are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pdns.config.schema import Config
from pdns.event_store.open import retention_of
from pdns.event_store.sqlite import SqliteSink
from pdns.event_store.sqlite_schema import store_path
from pdns.events.sink import SinkEntry

NAME: Final = "store"
_MOST_RECORDS: Final = 5_000
_LINGER_S: Final = 1.0
_TIMEOUT_S: Final = 120.0  # once a day it reads all its rows


def store_entry(config: Config) -> SinkEntry:
    """The sink of the store, as `config` says how long it keeps records."""
    path, retention = store_path(Path(config.state.dir)), retention_of(config)
    return SinkEntry(
        name=NAME,
        sink=SqliteSink(path, retention),
        settings=(path, retention.keep_days, tuple(sorted(retention.by_tenant.items()))),
        most_records=_MOST_RECORDS,
        linger_s=_LINGER_S,
        timeout_s=_TIMEOUT_S,
    )
