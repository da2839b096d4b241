"""Hands parsing and compiling to a process that lives for one job, so that this one stays small and outlives any list."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

import feeds
from feeds.jobs import Compile, Compiled, Failed, Job, Parse, Parsed, Progress, Result, Said
from pdns.environment import for_child
from pdns.errors import PdnsError

JOB_TIMEOUT_S = 900.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
_IMPORT_ROOT = Path(feeds.__file__).parent.parent


class BuildError(PdnsError):
    """A job that came to nothing: because of the list (`unusable`), of the parsed entries of feeds (`damaged`), or of neither."""

    def __init__(self, reason: str, *, unusable: bool = False, damaged: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unusable = unusable
        self.damaged = damaged


class Builder:
    """Runs one job at a time: two big lists in memory at once would be one too many."""

    def __init__(self, timeout_s: float = JOB_TIMEOUT_S, on_progress: Callable[[Progress | None], None] = lambda _: None) -> None:
        """`on_progress` is told how far a job is, and None when it is over."""
        self._timeout_s = timeout_s
        self._on_progress = on_progress
        self._turn = asyncio.Lock()

    async def parse(self, job: Parse) -> Parsed:
        """Raises `BuildError`."""
        result = await self._run(job)
        if not isinstance(result, Parsed):
            raise BuildError("the parser answered something else")
        return result

    async def compile(self, job: Compile) -> Compiled:
        """Raises `BuildError`."""
        result = await self._run(job)
        if not isinstance(result, Compiled):
            raise BuildError("the compiler answered something else")
        return result

    async def _run(self, job: Job) -> Result:
        async with self._turn:
            result = await self._in_child(msgspec.json.encode(job) + b"\n")
        if isinstance(result, Failed):
            raise BuildError(result.reason, unusable=result.unusable, damaged=result.damaged)
        return result

    async def _in_child(self, job: bytes) -> Result:
        pipe = asyncio.subprocess.PIPE
        try:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "feeds.build",
                stdin=pipe, stdout=pipe, cwd=_IMPORT_ROOT, limit=MAX_ANSWER_BYTES, env=for_child(),
            )  # fmt: skip
        except OSError as exc:
            raise BuildError(f"no process could be started for it: {exc.strerror}") from None
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                with contextlib.suppress(ConnectionError):  # it died already; its exit status says more
                    child.stdin.write(job)
                    await child.stdin.drain()
                # stdin stays open meanwhile: its end would tell the child that we are gone
                said = await self._listen(child.stdout)
                status = await child.wait()
        except TimeoutError:
            raise BuildError(f"given up after {self._timeout_s:g} s") from None
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
            child.stdin.close()
            self._on_progress(None)
        if status != 0:
            raise BuildError(_death(status))
        if said is None:
            raise BuildError("it ended without an answer")
        return said

    async def _listen(self, pipe: asyncio.StreamReader) -> Result | None:
        """What it comes to, after all that is said of how far it is. Raises `BuildError`."""
        result: Result | None = None
        try:
            async for line in pipe:
                said: Said = msgspec.json.decode(line, type=Said)
                if isinstance(said, Progress):
                    self._on_progress(said)
                else:
                    result = said
        except (msgspec.DecodeError, ValueError) as exc:
            raise BuildError(f"its answer was not understood: {exc}") from None
        return result


def _death(status: int) -> str:
    if status == -signal.SIGKILL:
        return "it was killed: out of memory? (max_bytes bounds what one list may need)"
    if status < 0:
        return f"it died of {signal.Signals(-status).name}"
    return f"it failed with exit status {status}; the log has the reason"
