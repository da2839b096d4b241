"""Identifiers of findings: the same finding has the same one after a restart, so that sinks recognise it."""

from __future__ import annotations

import xxhash

from pdns.event_store.event import FindingKind


def finding_id(kind: FindingKind, *what: object) -> int:
    """64 bits that stand for `what`: node, tenant, subject, day, as far as the kind has them."""
    return xxhash.xxh3_64_intdigest("\0".join((kind, *map(str, what))).encode("utf-8", "surrogatepass"))
