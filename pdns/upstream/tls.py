"""Whom upstreams over TLS have to be, and sessions with them that are resumed (RFC 8446, 2.2)."""

from __future__ import annotations

import _ssl
import ssl
from collections.abc import Mapping
from typing import Any, Final

from pdns.clock import boottime_s
from pdns.config.upstream_address import UpstreamAddress
from pdns.errors import ConfigError
from pdns.upstream.proofs import Proofs
from pdns.wire.transport import Transport

RESUME_S: Final = 3600.0  # since the last handshake with a certificate: a newer certificate, or its end, is noticed within that
ALPN: Final = {Transport.TLS: "dot", Transport.HTTPS: "h2"}


class UpstreamTls(ssl.SSLContext):
    """Checks the certificate of an upstream as its address says: by name, by pin, or both. Offers the last session again.

    Servers whose addresses agree in all but name and endpoint can share it.
    """

    proofs: Proofs
    _sessions: dict[str, ssl.SSLSession]  # by the name or address of the server
    _proven_s: dict[str, float]  # when a certificate was last checked

    @classmethod
    def of(cls, address: UpstreamAddress, ca_file: str) -> UpstreamTls:
        """For `address`, with the authorities of `ca_file`, or the system's. Raises `OSError` when they cannot be read."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.proofs = Proofs(address)
        context._sessions, context._proven_s = {}, {}
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols([ALPN[address.transport]])
        if not address.server_name:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE  # the pin alone is the proof
        elif ca_file:
            context.load_verify_locations(ca_file)
        else:
            context.load_default_certs()
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as Python 3.13 has it: an authority need not be a root
        return context

    def wrap_bio(  # as event loops call it
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        # each ticket is used once: observers cannot link connections by it (RFC 8446, C.4)
        name = str(server_hostname)
        kept = self._sessions.pop(name, None)
        if kept is not None and boottime_s() < self._proven_s.get(name, 0.0) + RESUME_S:
            session = kept
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def unproven(self, tls: ssl.SSLObject) -> str:
        """Why the server on this connection is not the one that was meant, "" if it is. Its name was checked before."""
        if tls.session_reused or not self.proofs.are_wanted:
            return ""  # a session is kept only of a server that was proven
        return self.proofs.unproven(tls.getpeercert(binary_form=True) or b"", _verified_chain(tls))

    def keep_session(self, tls: ssl.SSLObject) -> None:
        """Offer the session of `tls` to its server the next time."""
        name = str(tls.server_hostname)
        if not tls.session_reused:
            self._proven_s[name] = boottime_s()
        if tls.session is not None:
            self._sessions[name] = tls.session


class TlsContexts:
    """The contexts for upstreams over TLS and HTTPS. `keys` says where each file of authorities is configured."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = keys
        self._made: dict[tuple[Transport, bool, tuple[str, ...], str], UpstreamTls] = {}

    def of(self, address: UpstreamAddress, ca_file: str) -> UpstreamTls | None:
        """For `address`, None for transports without one. Raises `ConfigError` when the authorities cannot be read."""
        if address.transport not in ALPN:
            return None
        key = address.transport, bool(address.server_name), address.proofs, ca_file
        if key not in self._made:
            try:
                self._made[key] = UpstreamTls.of(address, ca_file)
            except OSError as error:
                raise ConfigError("", self._keys[ca_file], str(error)) from error
        return self._made[key]


def _verified_chain(tls: ssl.SSLObject) -> list[bytes]:
    """The chain from the certificate to the authority that proves it; empty if none was asked for."""
    public = getattr(tls, "get_verified_chain", None)  # Python 3.13 and later
    if public is not None:
        return list(public())
    private: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return [certificate.public_bytes(_ssl.ENCODING_DER) for certificate in private.get_verified_chain() or ()]
