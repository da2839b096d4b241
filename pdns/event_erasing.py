"""Erases a client or a tenant from the embedded store, and says where else copies may be."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from pdns.config.schema import Config
from pdns.errors import StoreError
from pdns.event_store.sqlite_retention import erase
from pdns.event_store.sqlite_schema import store_path
from pdns.incident_lookup import client_texts


class ErasedEvents(Struct, frozen=True):
    """What was erased, in words, and where copies may be."""

    text: str
    copies: list[str]


def erase_events(config: Config, *, client: str = "", tenant: str = "") -> ErasedEvents:
    """Erase the events and findings of a client, of a tenant, or of a client at a tenant. It takes seconds.

    An address is erased as events have it: in full or as a pseudonym. Its network, which others share, stays unless it is named.
    Raises `SinkError`, and `StoreError` without a store.
    """
    path = store_path(Path(config.state.dir))
    if not path.is_file():
        raise StoreError(f"{path}: there are no events yet")
    texts = client_texts(config, client, with_pseudonyms=True) if client else ()
    kept = [text for text in texts if "/" in text and text != texts[0]]
    erased = erase(path, clients=[text for text in texts if text not in kept], tenant=tenant)
    where = f"{client or 'every client'}{f' at {tenant}' if tenant else ''}"
    text = f"{where}: {erased.events} events, {erased.findings} findings and {erased.hours} hours are erased"
    return ErasedEvents(text, list(_copies(config, kept)))


def _copies(config: Config, networks: list[str]) -> list[str]:
    found = [f"{network} stays: it is the network of other clients too" for network in networks]
    found += [f"sink {sink.name} ({sink.kind}) keeps what it was sent" for sink in config.sink]
    found.append("records on their way to a sink, of the last seconds or since a sink is away, are written later")
    if config.report:
        found.append("reports that were written or mailed keep what they say")
    return found
