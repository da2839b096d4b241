"""What is done and looked at once, while the server starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from pdns.config.memory_need import memory_notes
from pdns.config.per_worker import worker_count
from pdns.config.schema import Config, Feed
from pdns.confinement.confine import Missing, said
from pdns.confinement.privileges import change_user
from pdns.logs import log_to_stderr, standard_error
from pdns.net.descriptors import RESERVE, raise_descriptor_limit
from pdns.state.feed_status import FeedsStatus
from pdns.supervisor.system_calls import require_system_calls

_log = logging.getLogger(__name__)


def prepare_process(config_path: Path, config: Config) -> None:
    """Before the first file is opened and the first socket bound: log, check the kernel, change the user. Raises `PdnsError`."""
    standard_error().threaded = False  # until this process has dropped its privileges
    log_to_stderr("supervisor", config.log.level)
    require_system_calls()
    raise_descriptor_limit()
    change_user(config.server.user, config.server.group, Path(config.state.dir), str(config_path))
    RESERVE.fill()


def warn_at_start(config_path: Path, config: Config, missing: Missing) -> None:
    """Log what this process may do without need, the file that it may not read again, and a limit of memory that is too small."""
    if os.geteuid() == 0:
        _log.warning("runs as root: set server.user to an unprivileged user, or start it as one")
    if missing:
        _log.warning("the system does not support these confinement measures: %s", said(missing))
    if not os.access(config_path, os.R_OK):
        _log.warning("%s cannot be read by user %d: changes of it cannot be loaded", config_path, os.geteuid())
    for note in memory_notes(config, worker_count(config.server.workers)):
        _log.warning("%s", note)


def all_tried(feeds: Iterable[Feed], status: FeedsStatus) -> bool:
    """Whether every feed was tried once."""
    known = (status.feeds.get(feed.name) for feed in feeds)
    return all(feed is not None and (feed.loaded or feed.last_attempt_s > 0) for feed in known)


def required_feeds(missing: Iterable[str], status: FeedsStatus) -> list[str]:
    """A line for each required feed that is `missing`."""
    why = "required, not loaded, so queries get SERVFAIL"
    errors = {name: status.feeds[name].last_error if name in status.feeds else "" for name in missing}
    return [f"feed {name}: {why}{error and ': '}{error}" for name, error in errors.items()]
