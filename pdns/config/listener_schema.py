"""`[[listener]]` and `[encrypted]`, as frozen structs: the encrypted transports for clients, and their limits."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from pdns.config.value_types import MOST, AtLeastOne, Positive, PositiveSeconds

EncryptedTransport = Literal["tls", "https", "quic", "h3"]
ClientCertificate = Literal["off", "optional", "required"]
TicketKeyLifetime = Annotated[float, Meta(ge=60, le=MOST)]


class ListenerCertificate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One more certificate of a listener, for clients that ask for one of its names (SNI)."""

    cert_file: str
    key_file: str


class ListenerSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One encrypted transport, at one or more addresses, with its certificates."""

    transport: EncryptedTransport
    listen: AtLeastOne
    cert_file: str
    key_file: str
    certificate: tuple[ListenerCertificate, ...] = ()
    path: str = ""
    client_certificate: ClientCertificate = "off"
    client_ca_file: str = ""
    client_crl_file: str = ""
    admit_by_server_name: bool = False

    @property
    def pairs(self) -> tuple[ListenerCertificate, ...]:
        """All certificates. The first is for clients that name no server, or an unknown one."""
        return ListenerCertificate(cert_file=self.cert_file, key_file=self.key_file), *self.certificate


class EncryptedSection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of all encrypted listeners together."""

    max_connections: Positive = 4000
    max_connections_per_client: Positive = 100
    max_streams_per_connection: Annotated[int, Meta(ge=1, le=1000)] = 100
    idle_timeout_s: PositiveSeconds = 30.0
    handshake_timeout_s: PositiveSeconds = 5.0
    max_handshakes: Positive = 200
    new_connections_per_client_per_s: Positive = 50
    padding: bool = True
    ticket_key_lifetime_s: TicketKeyLifetime = 21600.0
