from typing import Final

from pdns.core import cache

SOURCES: Final[tuple[str, ...]]
SOURCE_NUMBERS: Final[dict[str, int]]

class AnswerCache(cache.AnswerCache):
    def __init__(self, max_bytes: int, fd: int = -1) -> None: ...
    def leave(self) -> None: ...
    def resize(self, max_bytes: int, fd: int = -1) -> None: ...
