"""What an upstream must show besides the name in its certificate: pinned keys and digests of certificates."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from pdns.config.upstream_address import PIN, TBS, UpstreamAddress


class Proofs:
    """The pins of an address. `cryptography` is loaded with them."""

    def __init__(self, address: UpstreamAddress) -> None:
        self._pins = address.digests(PIN)
        self._signed = address.digests(TBS)
        self.are_wanted = bool(self._pins or self._signed)
        if self.are_wanted:
            from cryptography import x509  # noqa: F401, PLC0415  # loaded now, rather than during the first handshake

    def unproven(self, certificate: bytes, verified: Iterable[bytes] = ()) -> str:
        """Why `certificate`, in DER, is not the one that was meant, "" if it is; `verified`: the chain that proves it."""
        if self._pins:
            digest = _key_digest(certificate)
            if digest not in self._pins:
                return "the key of its certificate is not pinned" + (
                    f": pin=sha256/{base64.b64encode(digest).decode()}" if digest else ", and cannot be read"
                )
        if self._signed and not any(_signed_digest(one) in self._signed for one in verified):
            return "no certificate of its chain has the digest tbs="
        return ""


def _key_digest(der: bytes) -> bytes:
    """SHA-256 of the public key (SubjectPublicKeyInfo) of a certificate, b"" when it cannot be read."""
    from cryptography import x509  # noqa: PLC0415  # takes memory in each worker
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

    try:
        key = x509.load_der_x509_certificate(der).public_key()
        return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    except (ValueError, UnsupportedAlgorithm):
        return b""


def _signed_digest(der: bytes) -> bytes:
    """SHA-256 of the signed part (TBSCertificate) of a certificate, b"" when it cannot be read."""
    from cryptography import x509  # noqa: PLC0415

    try:
        return hashlib.sha256(x509.load_der_x509_certificate(der).tbs_certificate_bytes).digest()
    except ValueError:
        return b""
