"""Hands parsing and compiling to a process that lives for one job, so that this one stays small and outlives any list."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Self

import msgspec

import feeds
from feeds.jobs import (
    Compile,
    Compiled,
    Exported,
    ExportJob,
    Failed,
    Parse,
    Parsed,
    Progress,
    Published,
    PublishJob,
    Result,
    Said,
)
from pdns.confinement.environment import for_child
from pdns.errors import PdnsError

JOB_TIMEOUT_S = 900.0
SLICE_S = 30.0  # for so long a list keeps others waiting
MAX_ANSWER_BYTES = 16 * 1024 * 1024
_IMPORT_ROOT = Path(feeds.__file__).parent.parent


class BuildError(PdnsError):
    """A job that came to nothing: because of the list (`unusable`), of the parsed entries of feeds (`damaged`), or of neither.

    `stopped`: it took more than it may, or its process failed. The next attempt would fare no better.
    """

    def __init__(self, reason: str, *, unusable: bool = False, stopped: bool = False, damaged: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unusable = unusable
        self.stopped = stopped
        self.damaged = damaged


class Builder:
    """Runs one job at a time: two big lists in memory at once would be one too many.

    A list that takes longer than its slice makes way: it goes on beside the others, unless another one does so already;
    then it is begun again when that is over. So at most two run, and no list keeps the others waiting for longer than a slice.
    """

    def __init__(
        self,
        timeout_s: float = JOB_TIMEOUT_S,
        on_progress: Callable[[Progress | None], None] = lambda _: None,
        slice_s: float = SLICE_S,
    ) -> None:
        """`on_progress` is told how far a job is, and None when it is over."""
        self._timeout_s = timeout_s
        self._slice_s = slice_s
        self._on_progress = on_progress
        self._turn = asyncio.Lock()
        self._overtime = asyncio.Lock()
        self._in_overtime = 0  # jobs that have it, or wait for it

    async def parse(self, job: Parse) -> Parsed:
        """Raises `BuildError`."""
        result = _checked(await self._parse(msgspec.json.encode(job) + b"\n"))
        if not isinstance(result, Parsed):
            raise BuildError("the parser answered something else", stopped=True)
        return result

    async def compile(self, job: Compile) -> Compiled:
        """Raises `BuildError`."""
        async with self._turn, _Child(self._on_progress) as child:
            result = _checked(await self._within(self._timeout_s, child, msgspec.json.encode(job) + b"\n"))
        if not isinstance(result, Compiled):
            raise BuildError("the compiler answered something else")
        return result

    async def publish(self, job: PublishJob) -> Published:
        """Raises `BuildError`."""
        async with self._turn, _Child(self._on_progress) as child:
            result = _checked(await self._within(self._timeout_s, child, msgspec.json.encode(job) + b"\n"))
        if not isinstance(result, Published):
            raise BuildError("the publisher answered something else")
        return result

    async def export(self, job: ExportJob) -> Exported:
        """Raises `BuildError`."""
        async with self._turn, _Child(self._on_progress) as child:
            result = _checked(await self._within(self._timeout_s, child, msgspec.json.encode(job) + b"\n"))
        if not isinstance(result, Exported):
            raise BuildError("the exporter answered something else")
        return result

    async def _parse(self, job: bytes) -> Result:
        async with contextlib.AsyncExitStack() as turn:
            await turn.enter_async_context(self._turn)
            async with _Child(self._on_progress) as child:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(self._slice_s, self._timeout_s)):
                        return await child.perform(job)
                if self._slice_s >= self._timeout_s:
                    raise self._given_up()
                if not self._in_overtime:
                    async with self._overtaking():
                        await turn.aclose()
                        return await self._within(self._timeout_s - self._slice_s, child)
        async with self._overtaking(), _Child(self._on_progress) as child:
            return await self._within(self._timeout_s, child, job)

    @contextlib.asynccontextmanager
    async def _overtaking(self) -> AsyncIterator[None]:
        """The one place beside the turn. Entered at once when `_in_overtime` is 0."""
        self._in_overtime += 1
        try:
            async with self._overtime:
                yield
        finally:
            self._in_overtime -= 1

    async def _within(self, timeout_s: float, child: _Child, job: bytes = b"") -> Result:
        try:
            async with asyncio.timeout(timeout_s):
                return await child.perform(job)
        except TimeoutError:
            raise self._given_up() from None

    def _given_up(self) -> BuildError:
        return BuildError(f"stopped: not done within {self._timeout_s:g} s", stopped=True)


class _Child:
    """The process of one job; it is gone when the `with` block ends."""

    def __init__(self, on_progress: Callable[[Progress | None], None]) -> None:
        self._on_progress = on_progress
        self._result: Result | None = None

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "feeds.build",
                stdin=pipe, stdout=pipe, cwd=_IMPORT_ROOT, limit=MAX_ANSWER_BYTES, env=for_child(),
            )  # fmt: skip
        except OSError as exc:
            raise BuildError(f"no process could be started for it: {exc.strerror}") from None
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._process
        assert process.stdin is not None
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        process.stdin.close()
        self._on_progress(None)

    async def perform(self, job: bytes) -> Result:
        """The result of `job`, or of what was sent before. May be cancelled, and called again. Raises `BuildError`."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(ConnectionError):  # it died already; its exit status says more
            process.stdin.write(job)
            await process.stdin.drain()
        # stdin stays open meanwhile: its end would tell the child that we are gone
        await self._listen(process.stdout)
        status = await process.wait()
        if status != 0:
            raise BuildError(_death(status), stopped=True)
        if self._result is None:
            raise BuildError("it ended without an answer", stopped=True)
        return self._result

    async def _listen(self, pipe: asyncio.StreamReader) -> None:
        """Take in what it comes to, after all that is said of how far it is. Raises `BuildError`."""
        try:
            async for line in pipe:
                said: Said = msgspec.json.decode(line, type=Said)
                if isinstance(said, Progress):
                    self._on_progress(said)
                else:
                    self._result = said
        except (ValueError, RecursionError) as exc:
            raise BuildError(f"its answer was not understood: {exc}", stopped=True) from None


def _checked(result: Result) -> Result:
    if isinstance(result, Failed):
        raise BuildError(result.reason, unusable=result.unusable, stopped=result.stopped, damaged=result.damaged)
    return result


def _death(status: int) -> str:
    if status == -signal.SIGXCPU:
        return "stopped: it took more processor time than a list of this size may: made to do harm, or lower max_bytes"
    if status == -signal.SIGKILL:
        return "it was killed: out of memory? (max_bytes bounds what one list may need)"
    if status < 0:
        return f"it died of {signal.Signals(-status).name}"
    return f"it failed with exit status {status}; the log has the reason"
