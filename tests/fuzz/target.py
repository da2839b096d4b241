"""An input of the program that somebody else may have written, to be fuzzed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class FileTarget(NamedTuple):
    """`examples` are sound; `read` says whether it took an input, and may use the directory. `packets`: they are DNS messages."""

    examples: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], bool]
    packets: bool = False
