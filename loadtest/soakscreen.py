"""What a soak shows while it runs: a table that is redrawn on a terminal, else a line for each hour of the week."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from loadtest import week

_REDRAW_S = 0.5


class Screen:
    """Use as a context manager."""

    def __init__(self, console: Console, run_s: float, progress: Callable[[], dict[str, str]]) -> None:
        self._console = console
        self._run_s = run_s
        self._progress = progress
        self._started_s = time.monotonic()
        self._doing = "playing the week"
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    async def refresh(self) -> None:
        """Redraws until cancelled."""
        self._started_s = time.monotonic()
        with contextlib.suppress(asyncio.CancelledError):
            while self._live is not None:
                self._draw()
                await asyncio.sleep(_REDRAW_S)

    def show_step(self, doing: str) -> None:
        """Show `doing` as the present step."""
        self._doing = doing
        self._draw()

    def hour_over(self, each: week.Slice, sent: int, received: int, worst_ms: float, faults: list[str]) -> None:
        """One hour's answers are all here, or given up."""
        if self._live is None:
            asked = f"{week.hour_name(each.hour)} {each.rate:9,.1f}/s {sent:8,} sent"
            got = f"{sent - received:6,} lost {worst_ms:9,.1f} ms worst"
            line = f"{asked} {got}  {', '.join(faults)}".rstrip()
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _draw(self) -> None:
        if self._live is None:
            return
        passed_s = min(self._run_s, time.monotonic() - self._started_s)
        table = Table.grid(padding=(0, 2))
        table.add_row(self._doing, ProgressBar(total=self._run_s, completed=passed_s, width=50))
        for what, value in self._progress().items():
            table.add_row(what, value)
        self._live.update(table, refresh=True)
