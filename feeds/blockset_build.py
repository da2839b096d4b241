"""One build: collects the inputs, compiles a blockset if they differ from those of the live one, and activates it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from feeds.activation import Activation
from feeds.builder import Builder, BuildError
from feeds.files import disk_reason
from feeds.inputs import InputCollector
from feeds.jobs import Compile
from feeds.live_blockset import Input, LiveBlockset
from feeds.protected_names import Protection
from pdns.blockset.generations import blocksets_directory
from pdns.clock import steady_s
from pdns.files import safe_files

COMPILED = "compiled"  # in the directory that a compiler may write to
MAX_DAMAGED_IN_A_ROW = 3  # a copy that was replaced while it waited to be compiled counts as one


class _DamagedEntriesError(Exception):
    """`parsed`: feed -> its file of entries that cannot be read."""

    def __init__(self, parsed: dict[str, str]) -> None:
        super().__init__(parsed)
        self.parsed = parsed


class BlocksetBuild:
    """Makes generations, one at a time."""

    def __init__(
        self,
        state_dir: Path,
        builder: Builder,
        inputs: InputCollector,
        activation: Activation,
        on_live: Callable[[int, Sequence[Input]], object] = lambda *_: None,
    ) -> None:
        """`on_live` is called with each new generation, and what it was made of."""
        self._state_dir = state_dir
        self._builder = builder
        self._inputs = inputs
        self._activation = activation
        self._on_live = on_live
        self.protection = Protection()  # names that no list blocks without an administrator; counts from the next build on

    async def run(self) -> bool:
        """Bring the live blockset up to date. True if a new one was needed.

        Raises `BuildError`; the blockset that was live stays live then.
        """
        for _ in range(MAX_DAMAGED_IN_A_ROW):
            try:
                return await self._run()
            except _DamagedEntriesError as exc:
                self._inputs.reread(exc.parsed)
        raise BuildError("the parsed entries are damaged each time they are read: is the disk sound?")

    async def _run(self) -> bool:
        shares = await self._inputs.collect()
        inputs = [entry for entry, _ in shares]
        live, protection = self._activation.live, self.protection
        same = inputs == live.inputs and (protection == live.protection or not inputs)
        if same and not self._activation.inputs_unknown and not live.expiry_due(steady_s()):
            return False
        started = time.monotonic()
        generation = self._activation.next_generation()
        building = blocksets_directory(self._state_dir) / f".building-{generation}-{os.getpid()}"
        try:
            created_s = steady_s()
            safe_files.make_directory(building.parent)
            safe_files.make_directory(building)  # the only directory that the compiler may write to
            job = Compile(str(building / COMPILED), generation, created_s, [part for _, part in shares], protection)
            compiled = await self._builder.compile(job)
            new = LiveBlockset(
                generation=generation,
                inputs=inputs,
                entries=compiled.entries,
                build_s=time.monotonic() - started,
                created_s=created_s,
                next_expiry_s=compiled.next_expiry_s,
                feeds={feed.name: feed for feed in compiled.feeds},
                protection=protection,
                held=compiled.held,
            )
            self._activation.go_live(building / COMPILED, new)
            self._on_live(generation, inputs)
        except OSError as exc:
            raise BuildError(disk_reason(exc, self._state_dir)) from None
        except BuildError as exc:
            damaged = {part.feed.name: part.parsed for _, part in shares if part.feed.name in exc.damaged}
            raise _DamagedEntriesError(damaged) if damaged else exc from None
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return True
