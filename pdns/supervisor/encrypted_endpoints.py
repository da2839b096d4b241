"""The addresses of encrypted listeners that workers serve, which are those over TCP."""

from __future__ import annotations

from typing import NamedTuple

from pdns.config.schema import Config
from pdns.wire.transport import Transport


class EncryptedEndpoint(NamedTuple):
    """One address of a `[[listener]]` over TCP."""

    section: int  # index in `config.listener`
    transport: Transport
    text: str  # as in the configuration


def encrypted_endpoints(config: Config) -> list[EncryptedEndpoint]:
    """Those that workers serve."""
    return [
        EncryptedEndpoint(index, transport, text)
        for index, one in enumerate(config.listener)
        for transport in [Transport(one.transport)]
        if transport in (Transport.TLS, Transport.HTTPS)
        for text in one.listen
    ]
