"""Tables of names for tests: made of keys at hand, read by both readers."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping

from pdns.blockset.name_table import NameHash, NameTable, seed_of
from pdns.blockset.name_writer import NamesFile, NamesMaker
from pdns.blockset.name_writer import write_names as reference
from pdns.fast.matcher import Matcher
from pdns.fast.query import parse_query
from pdns.wire.names import from_reversed_key

RECORDS = 1000


def seed_for(names: Mapping[bytes, int]) -> NameHash:
    """As a spool has it."""
    return seed_of(hashlib.sha256(b"".join(sorted(names))).digest())


def make_table(
    names: Mapping[bytes, int], common: int = 0, write: NamesMaker = reference, seed: NameHash | None = None
) -> NamesFile:
    """The file of `names`, which are reversed keys with their records, below RECORDS."""
    keys = sorted(names)
    rows = array("I", range(len(keys)))
    stretches = [(keys[at : at + 7], rows[at : at + 7]) for at in range(0, len(keys), 7)]
    return write(lambda: stretches, seed or seed_for(names), [names[key] for key in keys], common)


def compiled_find(content: bytes, keys: list[bytes]) -> list[list[tuple[int, int]]]:
    """What the kernel finds in a table for each of `keys`, as `NameTable.find` puts it. The filter lets everything through."""
    matcher = Matcher(memoryview(b"\xff" * 8), 16, bytes(16), 0, memoryview(content), RECORDS)
    found = []
    for key in keys:
        query = parse_query(bytes(5) + b"\1" + bytes(6) + from_reversed_key(key) + b"\0\1\0\1")
        listed = matcher.find(query)
        assert all(code & 1 == (size - 1 != len(key)) for size, code in listed)
        found.append([(size - 1, code >> 1) for size, code in listed])
    return found


def check_table(content: bytes, keys: list[bytes]) -> bool:
    """Whether a file is taken for a table, whatever its bytes. Both readers find the same in it then, and it holds together."""
    try:
        table = NameTable(memoryview(content), RECORDS)
    except ValueError:
        return False
    assert compiled_find(content, keys) == [table.find(key) for key in keys]
    for key in keys:
        number = table.number(key)
        assert number is None or number < table.names
    for key, number, record in table.all_names():
        assert number < table.names
        assert record < RECORDS
        from_reversed_key(key)
    return True
