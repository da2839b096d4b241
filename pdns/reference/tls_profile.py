"""What a listener offers its clients in TLS, said with Python's `ssl`: the specification of the compiled contexts."""

# kernel: pdns/fast/tls.pyx
# kernel: pdns/fast/tls_certificates.pyx

from __future__ import annotations

import ssl
from typing import Final

CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
DOT: Final = ("dot",)
HTTPS: Final = ("h2", "http/1.1")


def server_context(cert_file: str, key_file: str, protocols: tuple[str, ...] = DOT) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with forward secrecy and authenticated ciphers; no compression, no renegotiation. Raises `OSError`.

    The compiled context adds what `ssl` cannot say: several certificates by name, groups X25519 and P-256, shared ticket keys,
    and the alert no_application_protocol for a client that offers only others.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(list(protocols))
    context.load_cert_chain(cert_file, key_file)
    return context
