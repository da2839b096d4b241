"""What of a new configuration only a restart can bring to life."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from pdns.config.per_worker import worker_count
from pdns.config.schema import Config
from pdns.config.written_paths import fleet_paths, written_paths

_log = logging.getLogger(__name__)


def until_restart(config: Config, live: Config, path: Path, workers: int) -> Config:
    """`config` as it can be run by now, in place of `live` and with as many `workers`. Every key that has to wait is logged."""
    if config.state != live.state:
        _log.warning("%s: state.dir: the change needs a restart; still using %s", path, live.state.dir)
        config = msgspec.structs.replace(config, state=live.state)
    for key in ("user", "group"):
        if getattr(config.server, key) != getattr(live.server, key):
            _log.warning("%s: server.%s: the change needs a restart", path, key)
    if worker_count(config.server.workers) != workers:
        _log.warning("%s: server.workers: the change needs a restart; still %d workers", path, workers)
    for directory in sorted({*written_paths(config), *fleet_paths(config)} - {*written_paths(live), *fleet_paths(live)}):
        _log.warning("%s: %s: to write in this directory needs a restart", path, directory)
    return config


def variables_of_feeds(config: Config) -> frozenset[str]:
    """The environment variables that the feeds process needs. One more needs a new process."""
    return frozenset(feed.token_env for feed in config.feed if feed.token_env)
