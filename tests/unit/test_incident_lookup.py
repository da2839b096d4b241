"""From what a person types to the incident: names, addresses, clients and their pseudonyms."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pdns.core.client_identity import PSEUDONYM, ClientView, identity, packed, text_of
from pdns.errors import InvalidName
from pdns.incident_lookup import client_texts, incident_of
from pdns.state.client_key import client_key
from tests.unit.report import records
from tests.unit.report.stored import stored
from tests.unit.report.test_content import NOW_S, PERIOD


def test_a_client_as_events_name_it(tmp_path: Path) -> None:
    """An address stands for itself, its network and its pseudonym at each tenant; no key is made to find one."""
    config = records.config(str(tmp_path))
    views = {"leeds": "hash", "kirklees": "prefix"}
    tenants = tuple(msgspec.structs.replace(one, events_clients=views.get(one.name, "full")) for one in config.tenant)
    config = msgspec.structs.replace(config, tenant=tenants)
    assert client_texts(config, "10.3.4.27", with_pseudonyms=True) == ("10.3.4.27", "10.3.4.0/24")
    assert list(tmp_path.iterdir()) == []
    key = client_key(tmp_path)
    ours = text_of(identity(ClientView(PSEUDONYM), key, "leeds", packed("10.3.4.27")))
    assert client_texts(config, "10.3.4.27", with_pseudonyms=True) == ("10.3.4.27", "10.3.4.0/24", ours)
    assert client_texts(config, "10.3.4.27", with_pseudonyms=False) == ("10.3.4.27", "10.3.4.0/24")
    assert client_texts(config, ours.upper(), with_pseudonyms=False) == (ours,)


@pytest.mark.parametrize("name", ["CDN-Sync.example.", "https://cdn-sync.example/x", "cdn-sync.example"])
def test_a_name_as_people_type_it(name: str) -> None:
    """Capitals, a final dot and a URL lead to the same incident, also where there is no blockset."""
    with stored(records.records()) as queries:
        content = incident_of(queries, records.config(), PERIOD, NOW_S, name=name, client="", tenant=None)
    assert content.name == "cdn-sync.example"
    assert content.blocked > 600
    assert content.listings == ()


def test_what_is_no_subject() -> None:
    """Without a name and a client, and for what is no name, an error says so."""
    for name in ("", "a..b", "x" * 300):
        with stored([]) as queries, pytest.raises(InvalidName):
            incident_of(queries, records.config(), PERIOD, NOW_S, name=name, client="", tenant=None)
