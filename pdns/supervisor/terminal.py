"""The terminal that a program was started from, and whether it is still there."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress


class Terminal:
    """Tells a SIGHUP that means "the terminal was closed" from one that somebody sent. Make it before handling SIGHUP.

    Under nohup, which has SIGHUP ignored, and without a controlling terminal it is never gone.
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
        """Forget it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
