"""Erases a client or a tenant from the embedded store, and says where else copies may be."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from pdns.config.policies import NO_TENANT
from pdns.config.schema import Config
from pdns.errors import StoreError
from pdns.event_store.sqlite_retention import erase, tenants_in
from pdns.event_store.sqlite_schema import store_path
from pdns.files.safe_files import DAMAGED
from pdns.incident_lookup import client_texts, pseudonyms_of


class ErasedEvents(Struct, frozen=True):
    """What was erased, in words, and where copies may be."""

    text: str
    copies: list[str]


def erase_events(config: Config, *, client: str = "", tenant: str = "") -> ErasedEvents:
    """Erase the events and findings of a client, of a tenant, or of a client at a tenant. It takes seconds.

    An address is erased as events have it or had it under an earlier configuration: in full, or as a pseudonym of any tenant that
    is configured or has records. Its network, which others share, stays unless it is named.
    Raises `SinkError`, and `StoreError` without a store.
    """
    path = store_path(Path(config.state.dir))
    if not path.is_file():
        raise StoreError(f"{path}: there are no events yet")
    texts = client_texts(config, client, with_pseudonyms=True) if client else ()
    tenants = {*(one.name for one in config.tenant), NO_TENANT, *tenants_in(path)}
    texts = tuple(dict.fromkeys((*texts, *pseudonyms_of(config, client, sorted(tenants)))))
    kept = [text for text in texts if "/" in text and text != texts[0]]
    erased = erase(path, clients=[text for text in texts if text not in kept], tenant=tenant)
    where = f"{client or 'every client'}{f' at {tenant}' if tenant else ''}"
    text = f"{where}: {erased.events} events, {erased.findings} findings and {erased.hours} hours are erased"
    return ErasedEvents(text, _copies(config, kept, sorted(one.name for one in path.parent.glob(f"{path.name}{DAMAGED}*"))))


def _copies(config: Config, networks: list[str], damaged: list[str]) -> list[str]:
    found = [f"{network} stays: it is the network of other clients too" for network in networks]
    found += [f"sink {sink.name} ({sink.kind}) keeps what it was sent" for sink in config.sink]
    found += [f"{name} was put aside because it is damaged: remove it" for name in damaged]
    found.append("records on their way to a sink, of the last seconds or since a sink is away, are written later")
    if config.report:
        found.append("reports that were written or mailed keep what they say")
    return found
