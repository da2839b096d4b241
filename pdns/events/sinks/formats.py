"""The formats of records that sinks of text can be given."""

from __future__ import annotations

from collections.abc import Callable

from pdns import __version__
from pdns.event_store.event import Record
from pdns.events.cef import cef_message
from pdns.events.ecs import ecs_document
from pdns.events.mappings import one_line
from pdns.events.ocsf import ocsf_document

Format = Callable[[Record], bytes]


def format_of(name: str) -> Format:
    """How records become one line each: `ocsf` and `ecs` are JSON, `cef` is text."""
    return {"ocsf": _ocsf, "ecs": _ecs, "cef": _cef}[name]


def _ocsf(record: Record) -> bytes:
    return one_line(ocsf_document(record, __version__))


def _ecs(record: Record) -> bytes:
    return one_line(ecs_document(record, __version__))


def _cef(record: Record) -> bytes:
    return cef_message(record, __version__).encode()
