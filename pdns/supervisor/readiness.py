"""Reports readiness to the service manager and the log whenever it changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from pdns.supervisor import systemd

_LOOK_EVERY_S: Final = 1.0

_log = logging.getLogger(__name__)


class Readiness:
    """Follows the value of `not_ready`: one line for each thing that is missing."""

    def __init__(self, not_ready: Callable[[], list[str]], announced: asyncio.Event) -> None:
        """Nothing is reported before the start is `announced`."""
        self._not_ready = not_ready
        self._announced = announced
        self._said: list[str] = []

    async def run(self) -> None:
        """Report changes until cancelled. `systemctl status` shows the state."""
        await self._announced.wait()
        self._said = self._not_ready()
        systemd.notify(f"READY=1\nSTATUS={status(self._said)}")
        if self._said:
            _log.warning("%s", status(self._said))
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            lines = self._not_ready()
            if lines == self._said:
                continue
            self._said = lines
            systemd.notify(f"STATUS={status(lines)}")
            _log.log(logging.WARNING if lines else logging.INFO, "%s", status(lines))


def status(lines: list[str]) -> str:
    """`lines` as one sentence."""
    return f"not ready: {'; '.join(lines)}" if lines else "ready: queries are answered"
