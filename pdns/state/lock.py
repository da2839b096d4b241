"""The state directory: one `pdns serve` at a time.

The lock is on the directory itself and on the file `lock` in it, which has the process id of the holder. The file alone could be
replaced while it is locked.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdns.errors import ConfigError
from pdns.files import safe_files
from pdns.files.safe_files import NotRegularError, open_regular

LOCK_NAME: Final = "lock"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def is_served(state_dir: Path, *, unknown: bool | None = None) -> bool:
    """Whether a `pdns serve` runs on `state_dir`. Without permission to look: `unknown`, or `OSError` is raised."""
    try:
        if not _is_free(os.open(state_dir, _DIRECTORY)):
            return True
        return not _is_free(open_regular(state_dir / LOCK_NAME))
    except (FileNotFoundError, NotRegularError):
        return False
    except PermissionError:
        if unknown is None:
            raise
        return unknown


class StateDirectory:
    """The directory, created if missing, and locked until `close` or the end of this process."""

    def __init__(self, path: Path, config_file: str) -> None:
        """Raises `ConfigError` (for `state.dir` in `config_file`) when it cannot be used or another process holds it."""
        self.path = path
        self._fds: list[int] = []
        try:
            safe_files.make_state_directory(path)
            self._fds.append(os.open(path, _DIRECTORY))
            free = _lock(self._fds[0])
            self._fds.append(safe_files.open_lock(path / LOCK_NAME))
            free = _lock(self._fds[1]) and free
        except OSError as error:
            self.close()
            raise ConfigError(config_file, "state.dir", f"{path}: {(error.strerror or str(error)).lower()}") from None
        if not free:
            holder = os.pread(self._fds[1], 20, 0).decode("ascii", "replace").strip()
            self.close()
            who = f" (process {holder}): to stop it, `{how_to_stop(int(holder))}`" if holder.isdigit() else ""
            raise ConfigError(config_file, "state.dir", f"{path} is in use by another pdns serve{who}") from None
        os.ftruncate(self._fds[1], 0)
        os.pwrite(self._fds[1], f"{os.getpid()}\n".encode("ascii"), 0)

    def close(self) -> None:
        """Release the lock."""
        while self._fds:
            os.close(self._fds.pop())


def how_to_stop(process: int) -> str:
    """The command that ends the `pdns serve` that is `process`: that of systemd where systemd would start it again."""
    with suppress(OSError):
        groups = Path(f"/proc/{process}/cgroup").read_text(encoding="utf-8", errors="replace")
        if unit := re.search(r"/system\.slice/(?:[^/\n]+\.slice/)*([\w@.-]+\.service)$", groups, re.MULTILINE):
            return f"systemctl stop {unit[1]}"
    return f"kill {process}"


def _lock(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    """False when another process has it. A file system that cannot lock a directory is no reason to stay away."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_free(fd: int) -> bool:
    try:
        return _lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)
