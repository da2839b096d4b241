"""The certificates of one listener, and which one a client is shown."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pdns.ipc.encryption_secrets import CertificateSecrets, ListenerSecrets
from pdns.quic.transport import ServerCertificate


class CertificateChoice:
    """By server name: the first certificate that has the name, or else a wildcard for it; the first of all for other names."""

    def __init__(self, secrets: ListenerSecrets) -> None:
        """Raises `ValueError` for what is no certificate or key; the supervisor has checked both."""
        if not secrets.certificates:
            raise ValueError("no certificate")
        self._by_name: dict[str, ServerCertificate] = {}
        made = [_made(one) for one in secrets.certificates]
        self.first = made[0]
        for one in made:
            for name in _names(one.certificate):
                self._by_name.setdefault(name, one)

    def of(self, server_name: str) -> ServerCertificate:
        """The one for `server_name`, as the client has sent it; "" if it has sent none."""
        name = server_name.lower().removesuffix(".")
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name.get("*." + name.partition(".")[2])
        return self.first if found is None else found


def _made(secrets: CertificateSecrets) -> ServerCertificate:
    leaf, *others = x509.load_pem_x509_certificates(secrets.chain_pem)
    return ServerCertificate(leaf, others, load_pem_private_key(secrets.key_pem, None))


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]
