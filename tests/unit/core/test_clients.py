"""Who a client is, by what it shows. Each row of the table of `docs/policy.md` is a test."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from pdns.config.policy_schema import Tenant
from pdns.config.schema import Access
from pdns.core.clients import ClientTable, ClientTranslation
from pdns.core.credentials import NO_CREDENTIAL, Credential
from pdns.core.enrolled import REVOKED, CredentialRules, DigestTable, token_digest
from pdns.fast.clients import ClientTable as CompiledClientTable
from tests.credentialtable import ADDRESSES, ADMITS, CERTIFICATES, NAMES, TOKENS, ClientRow, rows, table, words

ROWS = rows()
TABLES: dict[str, Any] = {"python": ClientTable, "compiled": CompiledClientTable}


@pytest.mark.parametrize("kind", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("row", ROWS, ids=[row.number for row in ROWS])
def test_the_table_of_clients(row: ClientRow, kind: Any) -> None:
    """What the page says is what comes out, the first time and later."""
    clients = table(kind)
    for _ in range(2):
        assert words(clients.identify(ADDRESSES[row.address], row.credential)) == row.result


def test_the_table_has_all_that_a_client_can_show() -> None:
    """Each value of each column, and each number once."""
    assert [row.number for row in ROWS] == [f"C{number}" for number in range(1, len(ROWS) + 1)]
    columns = list(zip(*ROWS, strict=True))[1:6]
    assert [set(column) for column in columns] == [set(CERTIFICATES), set(TOKENS), set(NAMES), set(ADDRESSES), set(ADMITS)]
    assert len({row[1:6] for row in ROWS}) == len(ROWS)


def test_whatever_a_client_shows() -> None:
    """All combinations: what is not valid admits from nowhere; without a certificate, a token or a name that admits, the address
    must be one that may ask.
    """
    clients = table()
    for certificate, token, name, address, admits in product(CERTIFICATES, TOKENS, NAMES, ADDRESSES, ADMITS):
        row = ClientRow("", certificate, token, name, address, admits, "")
        identity = clients.identify(ADDRESSES[address], row.credential)
        valid = certificate in ("", "of `east`") and token in ("", "of `south`")
        assert bool(identity.refusal) is not valid
        assert identity.is_unknown is (token not in ("", "of `south`"))
        proven = bool(certificate or token) or (name == "of `west`" and bool(admits))
        assert identity.client.allowed is (valid and (proven or address != "elsewhere"))


def test_a_client_without_credential_is_known_by_its_address() -> None:
    """As over UDP."""
    clients = table()
    for address in ADDRESSES.values():
        assert clients.identify(address, NO_CREDENTIAL).client is clients.lookup(address)


def test_tokens_and_certificates_of_the_configuration() -> None:
    """They are credentials like those that are enrolled. A digest is one kind of credential only."""
    clients = table()
    assert words(clients.identify("192.0.2.7", Credential(token=b"south-by-file"))) == "`south`"
    assert words(clients.identify("192.0.2.7", Credential(certificate_sha256=b"f" * 32))) == "`east`"
    assert words(clients.identify("192.0.2.7", Credential(token=b"gone"))) == "404, counted as `unknown_token`"
    other = Credential(certificate_sha256=token_digest(b"south"))
    assert words(clients.identify("10.0.0.7", other)) == "refused, counted as `unknown_certificate`"


def test_a_credential_of_the_configuration_that_was_revoked() -> None:
    """What was revoked stays revoked, also where the configuration still names it."""
    digest = token_digest(b"both")
    tenants = (Tenant(name="south", doh_token_sha256=digest.hex()),)
    clients = ClientTable(Access(), tenants, (1,), credentials=CredentialRules(ended={digest: REVOKED}))
    assert words(clients.identify("10.0.0.7", Credential(token=b"both"))) == "404, counted as `revoked`"


def test_the_policy_of_a_roaming_client_is_that_of_its_tenant() -> None:
    """Translated by its address, as that of any client; IPv4 inside IPv6 is IPv4."""
    tenants = (Tenant(name="west", tls_names=("west.dns.example",)),)
    clients = ClientTable(Access(), tenants, (5,), ClientTranslation(("192.0.2.0/24",), 3))
    shown = Credential(server_name="west.dns.example", admits_by_name=True)
    found = {address: clients.identify(address, shown).client.policy for address in ("192.0.2.7", "::ffff:192.0.2.7", "10.0.0.1")}
    assert found == {"192.0.2.7": 8, "::ffff:192.0.2.7": 8, "10.0.0.1": 5}
    assert clients.identify("192.0.2.7", shown).client.policy_key == (8).to_bytes(2)


def test_digests_are_compared_as_a_whole() -> None:
    """One that begins like another is not it."""
    known: DigestTable[int] = DigestTable()
    known.add(b"a" * 32, 1)
    known.add(b"a" * 32, 2)
    assert known.get(b"a" * 32) == 1
    assert known.get(b"a" * 31 + b"b") is None
    assert known.get(b"b" * 32) is None
