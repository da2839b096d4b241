"""What `pdns events erase` erases of a client, and which copies it names."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pdns.core.client_identity import PSEUDONYM, ClientView, identity, packed, text_of
from pdns.event_erasing import erase_events
from pdns.event_store.sqlite import SqliteStore
from pdns.event_store.sqlite_schema import store_path
from pdns.state.client_key import client_key
from tests.unit.report import records

ADDRESS = "10.3.4.27"


def pseudonym(state_dir: Path, tenant: str) -> str:
    return text_of(identity(ClientView(PSEUDONYM), client_key(state_dir), tenant, packed(ADDRESS)))


def test_a_client_is_erased_under_every_name_that_it_had(tmp_path: Path) -> None:
    """At a tenant that has no pseudonyms any more, at one that is gone, in full; its network and other clients stay."""
    some = next(record for record in records.records() if getattr(record, "tag", "") == "event" or hasattr(record, "qname"))
    kept = ["10.3.4.0/24", "10.3.4.28", pseudonym(tmp_path, "elsewhere")]
    clients = [("leeds", pseudonym(tmp_path, "leeds")), ("gone", pseudonym(tmp_path, "gone")), ("leeds", ADDRESS)]
    events = [
        msgspec.structs.replace(some, id=number, tenant=tenant, client=client)
        for number, (tenant, client) in enumerate([*clients, *(("leeds", one) for one in kept)], 1)
    ]
    path = store_path(tmp_path)
    with SqliteStore(path) as store:
        store.write(events)
    (path.parent / "events.db.damaged-20261130").write_bytes(b"")
    config = records.config(str(tmp_path))
    outcome = erase_events(config, client=ADDRESS)
    assert outcome.text.startswith(f"{ADDRESS}: 3 events")
    assert any("events.db.damaged-20261130" in line for line in outcome.copies)
    assert erase_events(config, client=kept[2]).text.startswith(f"{kept[2]}: 1 events")
