from collections.abc import Sequence

from pdns.core.query import Query

def digest128(data: bytes) -> bytes: ...

class Matcher:
    def __init__(
        self, bits: memoryview, bits_per_slice: int, salt: bytes, shallowest: int, names: memoryview, records: int
    ) -> None: ...
    def find(self, query: Query) -> Sequence[tuple[int, int]]: ...
