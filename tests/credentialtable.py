"""The table of clients in `docs/policy.md`: what a client shows, and what that makes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from pdns.config.policy_schema import Tenant
from pdns.config.schema import Access
from pdns.core.clients import ClientTable, Identity
from pdns.core.credentials import NO_CREDENTIAL, Credential
from pdns.core.enrolled import EXPIRED, REVOKED, CredentialRules, token_digest

PAGE: Final = Path(__file__).parents[1] / "docs/policy.md"
_ROW = re.compile(r"^\| (C\d+) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \| (.+?) \|$", re.MULTILINE)

TENANTS: Final = (
    Tenant(name="north", networks=("198.51.100.0/24",)),
    Tenant(name="west", tls_names=("west.dns.example",)),
    Tenant(name="south", doh_token_sha256=token_digest(b"south-by-file").hex()),
    Tenant(name="east", certificate_sha256=(b"f" * 32).hex()),
)
RULES: Final = CredentialRules(
    tokens={token_digest(b"south"): "south", token_digest(b"gone"): "a tenant that was removed"},
    certificates={b"e" * 32: "east"},
    ended={token_digest(b"expired"): EXPIRED, token_digest(b"revoked"): REVOKED, b"x" * 32: EXPIRED, b"r" * 32: REVOKED},
)
CERTIFICATES: Final = {"": b"", "of `east`": b"e" * 32, "unknown": b"u" * 32, "expired": b"x" * 32, "revoked": b"r" * 32}
TOKENS: Final = {"": b"", "of `south`": b"south", "unknown": b"unknown", "expired": b"expired", "revoked": b"revoked"}
NAMES: Final = {"": "", "of `west`": "west.dns.example", "another": "dns.example"}
ADDRESSES: Final = {"of `north`": "198.51.100.7", "in `access.networks`": "10.0.0.7", "elsewhere": "192.0.2.7"}
ADMITS: Final = {"": False, "yes": True}


class ClientRow(NamedTuple):
    """One row: certificate, token, server name, address, whether names admit; and what that makes a client."""

    number: str
    certificate: str
    token: str
    server_name: str
    address: str
    names_admit: str
    result: str

    @property
    def credential(self) -> Credential:
        shown = Credential(CERTIFICATES[self.certificate], TOKENS[self.token], NAMES[self.server_name], ADMITS[self.names_admit])
        return NO_CREDENTIAL if shown == NO_CREDENTIAL else shown


def rows() -> list[ClientRow]:
    return [ClientRow(*found) for found in _ROW.findall(PAGE.read_text(encoding="utf-8"))]


def table(kind: Any = ClientTable) -> Any:
    """The table of clients, made by a class like `ClientTable`."""
    return kind(Access(), TENANTS, (1, 2, 3, 4), credentials=RULES)


def words(identity: Identity) -> str:
    """An identity in the words of the page."""
    if identity.is_unknown:
        return f"404, counted as `{identity.refusal}`"
    if identity.refusal:
        return f"refused, counted as `{identity.refusal}`"
    return f"`{identity.client.tenant}`" if identity.client.allowed else "refused"
