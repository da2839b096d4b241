from collections.abc import Sequence

import marisa_trie

from pdns.core.query import Query

def digest128(data: bytes) -> bytes: ...

class Matcher:
    def __init__(
        self,
        bits: memoryview,
        bits_per_slice: int,
        salt: bytes,
        shallowest: int,
        trie: marisa_trie.BinaryTrie,
        records: memoryview,
        record_bytes: int,
        only_record: int,
    ) -> None: ...
    def find(self, query: Query) -> Sequence[tuple[int, int]]: ...
