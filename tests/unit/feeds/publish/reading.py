"""Readers of a policy zone for tests: how resolvers match a name against its records, in the two ways that there are."""

from __future__ import annotations

from collections.abc import Mapping

from pdns.wire.names import ROOT, ancestors, parent

CLEAN, PASSED, BLOCKED = "clean", "passed", "blocked"
_STAR = b"\x01*"


def longest(records: Mapping[bytes, str], qname: bytes) -> str:
    """The name itself, else the longest wildcard above it."""
    if qname in records:
        return records[qname]
    for name in ancestors(qname):
        if name != qname and (found := records.get(_STAR + name)) is not None:
            return found
    return CLEAN


def closest(records: Mapping[bytes, str], qname: bytes) -> str:
    """The name itself, else the wildcard below the closest name that exists (RFC 4592)."""
    if qname in records:
        return records[qname]
    existing = {above for owner in records for above in ancestors(owner)} | {ROOT}
    name = qname
    while name not in existing:
        name = parent(name)
    return CLEAN if name == qname else records.get(_STAR + name, CLEAN)
