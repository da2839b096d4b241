"""What commands have changed, as a worker takes it up: local entries, and credentials of devices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from pdns.clock import steady_s
from pdns.state import enrolments, overrides
from pdns.state.enrolments import EnrolmentsWatch
from pdns.state.overrides import OverridesWatch
from pdns.telemetry.stats import CREDENTIALS_REVISION, OVERRIDES_REVISION, Stats
from pdns.worker.query_tapping import QueryTapping
from pdns.worker.service import Service

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class StateWatch:
    """Looks at the files of commands, and has the service decide by them. Files are read in a thread."""

    def __init__(self, state_dir: Path, service: Service, taps: QueryTapping, stats: Stats) -> None:
        self._service, self._taps, self._stats = service, taps, stats
        self._overrides, self._enrolments = OverridesWatch(state_dir), EnrolmentsWatch(state_dir)
        self._overrides_loading: asyncio.Future[None] | None = None
        self._enrolments_loading: asyncio.Future[None] | None = None
        for family in (OVERRIDES_REVISION, CREDENTIALS_REVISION):
            stats.forget(family)

    def look(self) -> None:
        """Take up files that have changed. Costs a stat() each."""
        now_s = steady_s()
        if self._overrides_loading is None and self._overrides.is_due(now_s):
            self._overrides_loading = asyncio.ensure_future(self._load_overrides())
        if self._enrolments_loading is None and self._enrolments.is_due(now_s):
            self._enrolments_loading = asyncio.ensure_future(self._load_enrolments())

    async def taken_up(self) -> None:
        """Return when the service decides by what the last look has found."""
        for loading in (self._overrides_loading, self._enrolments_loading):
            if loading is not None:
                await loading

    async def _load_overrides(self) -> None:
        try:
            local = await _read(overrides.FILE_NAME, self._overrides.load)
        finally:
            self._overrides_loading = None
        if local is not None:
            self._service.adopt(self._service.rules.with_local(local))
            self._taps.tap(local.tapped)
            self._stats.gauge(OVERRIDES_REVISION, self._overrides.revision)

    async def _load_enrolments(self) -> None:
        try:
            credentials = await _read(enrolments.FILE_NAME, self._enrolments.load)
        finally:
            self._enrolments_loading = None
        if credentials is not None:
            self._service.adopt(self._service.rules.with_credentials(credentials))
            self._stats.gauge(CREDENTIALS_REVISION, self._enrolments.revision)


async def _read(name: str, load: Callable[[float], _T]) -> _T | None:
    try:
        return await asyncio.get_running_loop().run_in_executor(None, lambda: load(steady_s()))
    except (OSError, msgspec.DecodeError) as error:
        _log.error("%s cannot be used, what it said before stays in force: %s", name, error)
        return None
