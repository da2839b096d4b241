"""A file of the state directory, as its only writer has it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from pdns.files import records
from pdns.files.safe_files import appearance
from pdns.state.enrolments import Enrolments
from pdns.state.overrides import Overrides

Content = TypeVar("Content", Overrides, Enrolments)


class KeptFile(Generic[Content]):
    """Its methods raise `OSError`."""

    def __init__(self, path: Path, parse: Callable[[bytes], Content], max_bytes: int, empty: Content) -> None:
        self._path, self._max_bytes = path, max_bytes
        self._parse: Callable[[bytes], Content] = parse
        self._empty: Content = empty
        self.content: Content = self._read()

    @property
    def next_revision(self) -> int:
        """Of the next content; it rises even where the file was lost."""
        return max(self.content.revision + 1, time.time_ns() // 1_000_000)

    def store(self, content: Content) -> None:
        """Write `content`, which is in force then."""
        records.store(self._path, records.encode(content))
        self._looks = appearance(self._path)
        self.content = content

    def mend(self, store_again: Callable[[], None]) -> bool:
        """If the file has changed on the disk, read it, or have it stored again where it is damaged. True if it had changed.

        A whole file replaces what is in force: an administrator has restored it.
        """
        if appearance(self._path) == self._looks:
            return False
        before, self.content = self.content, self._read()
        if not self.content.revision and before.revision:
            self.content = before
            with suppress(OSError):
                store_again()
        return True

    def _read(self) -> Content:
        found = records.recover(self._path, self._parse, self._max_bytes)
        self._looks = appearance(self._path)
        return found.value or self._empty
