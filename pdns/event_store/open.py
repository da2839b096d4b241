"""Opens the event store of a configuration for reading."""

from __future__ import annotations

from pathlib import Path

from pdns.config.schema import Config
from pdns.errors import StoreError
from pdns.event_store.queries import EventQueries
from pdns.event_store.sqlite_queries import SqliteQueries
from pdns.event_store.sqlite_retention import Retention
from pdns.event_store.sqlite_schema import store_path


def open_store(config: Config) -> EventQueries:
    """The embedded store of this machine. Close it after use. Raises `StoreError`, also when nothing was recorded yet."""
    if not config.events.enabled:
        raise StoreError("events.enabled = false: no events are recorded")
    return SqliteQueries(store_path(Path(config.state.dir)))


def retention_of(config: Config) -> Retention:
    """How long the embedded store keeps records."""
    by_tenant = {tenant.name: float(tenant.events_keep_days) for tenant in config.tenant if tenant.events_keep_days}
    return Retention(float(config.events.keep_days), by_tenant)
