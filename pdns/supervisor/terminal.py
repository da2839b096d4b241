"""Detects that the terminal which started the program was closed."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress


class Terminal:
    """Distinguishes a SIGHUP of a closed terminal from one that was sent. Create it before handling SIGHUP.

    Under nohup, which ignores SIGHUP, and without a controlling terminal it is never gone.
    """

    def __init__(self) -> None:
        self._fd = -1
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            with suppress(OSError):
                self._fd = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)

    def is_gone(self) -> bool:
        """Whether it was closed: the kernel hangs it up before it sends SIGHUP."""
        if self._fd < 0:
            return False
        poll = select.poll()
        poll.register(self._fd, 0)
        return bool(poll.poll(0))

    def close(self) -> None:
        """Close it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
