"""The state directory: one `pdns serve` at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from pdns.errors import ConfigError

LOCK_NAME: Final = "lock"


def is_served(state_dir: Path, *, unknown: bool | None = None) -> bool:
    """Whether a `pdns serve` runs on `state_dir`. When that may not be looked at: `unknown`, or `OSError` is raised."""
    try:
        fd = os.open(state_dir / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except PermissionError:
        if unknown is None:
            raise
        return unknown
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class StateDirectory:
    """The directory, made if need be, and locked until `close` or the end of this process, whatever that is."""

    def __init__(self, path: Path, config_file: str) -> None:
        """Raises `ConfigError` (for `state.dir` in `config_file`) when it cannot be used or another process holds it."""
        self.path = path
        try:
            path.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._fd = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise ConfigError(config_file, "state.dir", f"{path}: {(error.strerror or str(error)).lower()}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._fd, 20, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            who = f" (process {holder})" if holder.isdigit() else ""
            raise ConfigError(config_file, "state.dir", f"{path} is in use by another pdns serve{who}") from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode("ascii"), 0)

    def close(self) -> None:
        """Let others have it."""
        os.close(self._fd)
