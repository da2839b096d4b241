"""The blockset that workers use: one sealed copy in memory, made by the supervisor and mapped by each worker.

Later changes of the files affect no answer. See `docs/decisions/0032-a-sealed-copy.md`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

from pdns.blockset.generations import all_generations, blocksets_directory, current_generation
from pdns.blockset.layout import copy_to_memory, read_manifest
from pdns.confinement.priority import step_back_in_thread
from pdns.errors import BlocksetError, OtherFormatError

_LOOK_S: Final = 0.25
_RETRY_S: Final = 30.0  # for a blockset that was refused; the feeds process compiles another one meanwhile

_log = logging.getLogger(__name__)


class BlocksetReceiver(Protocol):
    """A worker."""

    @property
    def decides_by(self) -> int:
        """The generation of its blockset; 0: it has none."""
        ...

    def give_blockset(self, generation: int, fd: int, *, needed: bool = False) -> None: ...


class SealedBlockset:
    """Follows `<state>/blocksets/current`. It keeps its copy until a complete new one is made."""

    def __init__(
        self, state_dir: Path, receivers: Callable[[], Iterable[BlocksetReceiver]], refused: Callable[[int], object]
    ) -> None:
        """Each of `receivers()` gets each new copy. `refused` is called with the generation of an unusable blockset."""
        self.generation = 0  # of the copy; 0: there is none
        self.fd = -1
        self.problem = ""  # why the blockset on the disk is not used
        self._state_dir = state_dir
        self._receivers, self._refused = receivers, refused
        self._copying = ThreadPoolExecutor(1, "copy", initializer=step_back_in_thread)  # workers answer meanwhile
        self._refused_generation, self._again_s = 0, 0.0
        self._needed = False

    @property
    def is_of_other_version(self) -> bool:
        """Whether there is no copy, and only another version of the program can read the blockset on the disk."""
        return self.fd < 0 and self._again_s == math.inf

    @property
    def in_use(self) -> int:
        """The highest generation that a worker uses; 0: no worker has a blockset."""
        return max((worker.decides_by for worker in self._receivers()), default=0)

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_S)

    async def look(self, *, of_this_format: bool = False) -> None:
        """Copy the current blockset, if it is new and complete.

        Without a copy, an older blockset that still exists is used. Before the first workers start it must be `of_this_format`,
        which they read. Later the feeds process may be of another version of the program, and so may the next workers.
        """
        current = current_generation(self._state_dir)
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if (current == self.generation and self.fd >= 0) or (current == self._refused_generation and now_s < self._again_s):
            return
        older = [] if self.fd >= 0 else sorted((set(all_generations(self._state_dir)) - {current}), reverse=True)
        for generation in ([current] if current else []) + older:
            directory = blocksets_directory(self._state_dir) / str(generation)
            try:
                if of_this_format or generation != current:
                    read_manifest(directory)
                fd = await loop.run_in_executor(self._copying, copy_to_memory, directory)
            except OtherFormatError as error:
                if generation == current:
                    _log.warning("blockset %d is of another version of the program: %s", generation, error)
                    self.problem = str(error)
                    self._refused_generation, self._again_s = current, math.inf
                continue
            except BlocksetError as error:
                held = f"blockset {self.generation} stays in use" if self.fd >= 0 else "there is no blockset"
                _log.error("%s: not used, %s: %s", directory, held, error)
                if generation == current:
                    self.problem = str(error)
                    self._refused_generation, self._again_s = current, now_s + _RETRY_S
                self._refused(generation)
                continue
            self._keep(generation, fd)
            if generation == current:
                self.problem = ""
            elif current:
                _log.error("blockset %d is used until %d has been made anew", generation, current)
            return

    def send_to(self, receiver: BlocksetReceiver, *, starts: bool = False) -> None:
        """Send it the copy, if there is one.

        A worker that `starts` must not answer without it, once any worker has used a blockset.
        """
        self._needed = self._needed or self.in_use > 0
        if self.fd >= 0:
            receiver.give_blockset(self.generation, self.fd, needed=starts and self._needed)

    def close(self) -> None:
        """Close the copy. Workers keep theirs."""
        self._copying.shutdown(wait=False)
        self._close_copy()

    def _close_copy(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _keep(self, generation: int, fd: int) -> None:
        self._close_copy()
        self.generation, self.fd = generation, fd
        for receiver in self._receivers():
            self.send_to(receiver)
