"""The terminal of `pdns top`: its second screen, keys without Enter, and all as it was before, whatever ends the program."""

from __future__ import annotations

import codecs
import os
import select
import signal
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.text import Text

from pdns.cli.top_keys import keys_of
from pdns.cli.top_view import TopLook

_ENTER: Final = b"\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE: Final = b"\x1b[0m\x1b[?25h\x1b[?1049l"
_ESCAPE_S: Final = 0.05  # the rest of a sequence is there by then
_LOCAL_FLAGS: Final = 3  # of termios attributes
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


class TopTerminal:
    """Standard input and output while the view is shown. Use it with `with`. Methods raise `OSError` when it has gone."""

    def __init__(self) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._console = Console(highlight=False, force_terminal=True, soft_wrap=True)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._before: list[Any] = []
        self._handlers: dict[signal.Signals, Any] = {}
        self._wake_out, self._wake_in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._in)
        for number, handler in (
            *((ending, _end) for ending in _ENDING),
            (signal.SIGINT, signal.default_int_handler),  # which a shell's background jobs ignore
            (signal.SIGTSTP, self._suspend),
            (signal.SIGWINCH, self._resized),
        ):  # fmt: skip
            self._handlers[number] = signal.signal(number, handler)
        try:
            self._show()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._hide()
        os.close(self._wake_in)
        os.close(self._wake_out)

    @property
    def look(self) -> TopLook:
        """Its size at the moment."""
        try:
            size = os.get_terminal_size(self._out)
        except OSError:
            size = os.terminal_size((80, 24))
        return TopLook(size.columns or 80, size.lines or 24, self._unicode)

    def draw(self, lines: Sequence[Text]) -> None:
        """Show these lines, which fit. Raises `OSError` when the terminal has gone."""
        with self._console.capture() as captured:
            for line in lines:
                self._console.print(line)
        shown = "\x1b[K\r\n".join(captured.get().split("\n")[: len(lines)])
        _write(self._out, f"\x1b[H{shown}\x1b[K\x1b[J".encode(sys.stdout.encoding or "utf-8", "replace"))

    def wake(self) -> None:
        """End `pressed` now. For any thread and for signals."""
        with suppress(OSError):  # full: it ends anyway; closed: it has ended
            os.write(self._wake_in, b"w")

    def pressed(self) -> list[str]:
        """Wait for keys, `wake` or another size. Raises `EOFError` when there will be no more keys."""
        ready, _, _ = select.select([self._in, self._wake_out], [], [])
        if self._wake_out in ready:
            with suppress(BlockingIOError):
                os.read(self._wake_out, 4096)
        return keys_of(self._typed()) if self._in in ready else []

    def _typed(self) -> str:
        text = self._read()
        while text.endswith(("\x1b", "\x1b[", "\x1bO")) and select.select([self._in], [], [], _ESCAPE_S)[0]:
            text += self._read()
        return text

    def _read(self) -> str:
        try:
            read = os.read(self._in, 4096)
        except OSError:
            read = b""
        if not read:
            raise EOFError
        return self._decoder.decode(read)

    def _show(self) -> None:
        mode = termios.tcgetattr(self._in)
        mode[_LOCAL_FLAGS] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(self._in, termios.TCSANOW, mode)
        _write(self._out, _ENTER)

    def _hide(self) -> None:
        with suppress(OSError, termios.error):
            termios.tcflow(self._out, termios.TCOON)  # Ctrl-S would keep it from being restored
            termios.tcsetattr(self._in, termios.TCSANOW, self._before)
        with suppress(OSError):
            _write(self._out, _LEAVE)

    def _suspend(self, _number: int, _frame: FrameType | None) -> None:
        self._hide()
        os.kill(os.getpid(), signal.SIGSTOP)
        with suppress(OSError, termios.error):
            self._show()
        self.wake()

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        self.wake()


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
