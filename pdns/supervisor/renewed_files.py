"""Files of certificates that change while the server runs: when they are read, and what stays in force if they are broken."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from pdns.errors import InvalidCertificate
from pdns.files.file_version import FileVersion, version_of

PATIENCE_S: Final = 10.0  # a renewal replaces the files of a pair one after the other, and may copy them slowly

_log = logging.getLogger(__name__)

T = TypeVar("T")


class RenewedFiles(Generic[T]):
    """Files that are read together, and what was made of their last usable version."""

    def __init__(self, key: str, files: tuple[Path, ...], read: Callable[[], T], count_failure: Callable[[], object]) -> None:
        """`key` of the configuration names them in messages. `count_failure` is called for each version that cannot be used.

        Raises `InvalidCertificate` when the present files cannot be used.
        """
        self.key = key
        self.problem = ""  # why the files that are there now are not used, once `PATIENCE_S` is over
        self._files, self._read, self._count_failure = files, read, count_failure
        self._used = self._before = self._versions()
        self._reported: tuple[FileVersion, ...] = ()
        self._failing_since_s: float | None = None
        self.value = read()

    def look(self, now_s: float) -> bool:
        """Whether `value` is a new one. Call this a few times a second, from one thread at a time. `now_s`: of any steady clock.

        New files are read when they are unchanged since the previous call.
        """
        now = self._versions()
        at_rest, self._before = now == self._before, now
        if now == self._used:
            self._settle(now)
            return False
        if not at_rest:
            return False
        try:
            value = self._read()
        except InvalidCertificate as error:
            self._fail(now, error, now_s)
            return False
        if self._versions() != now:
            return False  # replaced while they were read
        self._settle(now)
        changed, self.value = value != self.value, value
        return changed

    def _settle(self, versions: tuple[FileVersion, ...]) -> None:
        if self.problem:
            _log.info("%s: the files can be used again", self.key)
        self._used, self._failing_since_s, self.problem = versions, None, ""

    def _fail(self, versions: tuple[FileVersion, ...], error: InvalidCertificate, now_s: float) -> None:
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        if now_s - self._failing_since_s < PATIENCE_S or versions == self._reported:
            return
        self._reported = versions
        self.problem = f"{self.key}.{error.key}: {error.reason}"
        self._count_failure()
        _log.error("%s: not used, the previous one stays in force", self.problem)

    def _versions(self) -> tuple[FileVersion, ...]:
        return tuple(version_of(path) for path in self._files)
