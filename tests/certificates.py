"""Certificates for tests: an authority of our own, and what it issues, as files in PEM."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
NAMES = ("dns.example", "127.0.0.1", "::1")


class Issued(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def cert_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def locked_key_pem(self) -> bytes:
        """With a passphrase."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))

    @property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def new_key(kind: str = "ec") -> Key:
    """A key: "ec" (P-256), "rsa1024", "rsa2048", "ed25519", or the name of another curve of `ec`."""
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind[3:]))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1() if kind == "ec" else getattr(ec, kind)())


def issue(
    names: tuple[str, ...] = NAMES,
    *,
    issuer: Issued | None = None,
    authority: bool = False,
    days: float = 90.0,
    since_days: float = -1.0,
    key: Key | None = None,
    subject: str = "",
) -> Issued:
    """A certificate for `names` and addresses, signed by `issuer` or itself, from `since_days` to `days` from now."""
    key = key or new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject or (names[0] if names else "nameless"))])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=since_days))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    signer = key if issuer is None else issuer.key
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    if authority:
        usage = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False, **usage
            ),
            critical=True,
        )  # fmt: skip
    if names and not authority:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(text) for text in names]), critical=False)
    return Issued(builder.sign(signer, _digest(signer)), key)


def revocations(issuer: Issued, *revoked: Issued) -> bytes:
    """A certificate revocation list in PEM."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - timedelta(days=1))
        .next_update(now + timedelta(days=30))
    )
    for one in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(one.certificate.serial_number).revocation_date(now).build()
        )
    return builder.sign(issuer.key, _digest(issuer.key)).public_bytes(Encoding.PEM)


def write_pair(directory: Path, issued: Issued, *chain: Issued, name: str = "") -> tuple[Path, Path]:
    """`fullchain.pem` and `privkey.pem` in `directory`, with `name` before them."""
    cert, key = directory / f"{name}fullchain.pem", directory / f"{name}privkey.pem"
    cert.write_bytes(b"".join(one.cert_pem for one in (issued, *chain)))
    key.touch(mode=0o600)
    key.write_bytes(issued.key_pem)
    return cert, key


def write_documented(directory: Path) -> None:
    """The files that the pages of the documentation name."""
    below = directory / "certificates/dns.example.org"
    below.mkdir(parents=True)
    issued = issue(("dns.example.org",))
    for place in (directory, below):
        write_pair(place, issued)


def _general(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _digest(key: Key) -> Any:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
