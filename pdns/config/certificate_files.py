"""Certificates and their keys, as files in PEM: reading and checking them, and what they say.

The files are read as a pair, because a renewal replaces both. Nothing here keeps a key or writes it anywhere.
"""

from __future__ import annotations

import math
import re
import ssl
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pdns.errors import InvalidCertificate
from pdns.files.safe_files import read_bounded

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateRevocationList, Name

MAX_BYTES: Final = 256 * 1024  # of one file; a chain with a CRL beside it is far below this
LEAST_RSA_BITS: Final = 2048
_MOST_CERTIFICATES: Final = 16  # in one chain: each handshake sends all of them
_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_KEY: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


class CertificateDetails(NamedTuple):
    """What the first certificate of a chain says. Times are in seconds since the epoch."""

    names: tuple[str, ...]  # DNS names that it is valid for, in lower case; one may begin with "*."
    addresses: tuple[str, ...]  # IP addresses that it is valid for, in canonical spelling
    key_type: str  # "RSA 2048", "ECDSA P-256", "Ed25519"
    not_before_s: float
    not_after_s: float
    issuer: str  # RFC 4514
    chain: int  # certificates in the file
    ends_with: str  # the issuer of the last one; "" where that is self-signed
    sha256: str  # of the certificate, in hexadecimal

    def covers(self, name: str) -> bool:
        """Whether clients accept the certificate for the host `name` (RFC 9525, 6.3), or for that IP address."""
        _, _, parent = name.partition(".")
        return name in self.names or name in self.addresses or (bool(parent) and f"*.{parent}" in self.names)


class CertificatePair(NamedTuple):
    """A certificate chain and its key, both as PEM."""

    chain_pem: bytes
    key_pem: bytes
    details: CertificateDetails


def read_pair(cert_file: Path, key_file: Path) -> CertificatePair:
    """The chain and the key in these files. An expired certificate is accepted.

    Raises `InvalidCertificate`, whose `key` is `cert_file` or `key_file`, for a file that cannot be read or is not PEM, an
    unsupported type of key, a chain in the wrong order, and a key that is not that of the first certificate.
    """
    chain_pem, key_pem = _read("cert_file", cert_file), _key_block(_read("key_file", key_file), key_file)
    with _refusing("cert_file", cert_file):
        chain = _certificates("cert_file", chain_pem, cert_file)
        key_type = _public_key_type("cert_file", chain[0], cert_file)
        _check_key(key_pem, chain, cert_file, key_file)
        _check_order(chain, cert_file)
        return CertificatePair(_only(chain_pem, chain), key_pem, _details(chain, key_type))


def read_client_authority(ca_file: Path, crl_file: Path | None) -> tuple[bytes, bytes]:
    """The certificates of the authority for client certificates, and its revocation list, as PEM; b"" without one.

    Raises `InvalidCertificate`, whose `key` is `client_ca_file` or `client_crl_file`.
    """
    ca_pem = _read("client_ca_file", ca_file)
    with _refusing("client_ca_file", ca_file):
        authorities = _certificates("client_ca_file", ca_pem, ca_file)
        for number, certificate in enumerate(authorities, 1):
            if not _is_authority(certificate):
                reason = f"certificate {number} in {ca_file} is not that of an authority (CA:TRUE)"
                raise InvalidCertificate("client_ca_file", reason)
        if crl_file is None:
            return _only(ca_pem, authorities), b""
    crl_pem = _read("client_crl_file", crl_file)
    with _refusing("client_crl_file", crl_file):
        _check_crl(_revocations(crl_pem, crl_file), authorities, crl_file, ca_file)
    return _only(ca_pem, authorities), crl_pem


def revocations_until_s(crl_file: Path) -> float:
    """When the revocation list in this file is out of date, in seconds since the epoch. Raises `InvalidCertificate`."""
    crl_pem = _read("client_crl_file", crl_file)
    with _refusing("client_crl_file", crl_file):
        until = _revocations(crl_pem, crl_file).next_update_utc
    return math.inf if until is None else until.timestamp()


@cache
def known_roots() -> frozenset[str]:
    """The subjects of the authorities that this system trusts (RFC 4514)."""
    from cryptography import x509  # noqa: PLC0415

    found = set()
    for der in ssl.create_default_context().get_ca_certs(binary_form=True):
        with suppress(ValueError):
            found.add(x509.load_der_x509_certificate(der).subject.rfc4514_string())
    return frozenset(found)


def is_readable_by_all(path: Path) -> bool:
    """Whether every user of this machine may read the file."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


@contextmanager
def _refusing(key: str, path: Path) -> Iterator[None]:
    """The library reads parts of a file when they are asked for, and reports damage by errors of many kinds."""
    try:
        yield
    except InvalidCertificate:
        raise
    except Exception as error:  # noqa: BLE001 (none may end the server, which watches these files)
        raise InvalidCertificate(key, f"{path} is damaged: {_first_line(error)}") from None


def _read(key: str, path: Path) -> bytes:
    try:
        return read_bounded(path, MAX_BYTES, follow_links=True)
    except OSError as error:
        raise InvalidCertificate(key, f"cannot be read: {path}: {error.strerror}") from None


def _key_block(pem: bytes, path: Path) -> bytes:
    """The key alone: parameters of its curve and certificates may be beside it."""
    found = _KEY.search(pem)
    if found is None:
        kinds = sorted({kind.decode() for kind in _BLOCK.findall(pem)})
        only = f", only {', '.join(kinds)}" if kinds else ""
        raise InvalidCertificate("key_file", f"expected a file with a PEM key: {path} has none{only}")
    return found[0] + b"\n"


def _certificates(key: str, pem: bytes, path: Path) -> list[Certificate]:
    from cryptography import x509  # noqa: PLC0415 (4 MB of memory, for those that have an encrypted listener)

    kinds = {found.decode() for found in _BLOCK.findall(pem)}
    if "CERTIFICATE" not in kinds:
        found = f", only {', '.join(sorted(kinds))}" if kinds else ""
        raise InvalidCertificate(key, f"expected a file with PEM certificates: {path} has none{found}")
    try:
        chain = x509.load_pem_x509_certificates(pem)
        for certificate in chain:
            _ = certificate.extensions  # parsed only now
    except Exception as error:  # noqa: BLE001 (of several kinds)
        raise InvalidCertificate(key, f"a certificate in {path} is damaged: {_first_line(error)}") from None
    if len(chain) > _MOST_CERTIFICATES and key == "cert_file":
        raise InvalidCertificate(key, f"expected at most {_MOST_CERTIFICATES} certificates, got {len(chain)} in {path}")
    return chain


def _public_key_type(key: str, certificate: Certificate, path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415

    try:
        public = certificate.public_key()
    except Exception as error:  # noqa: BLE001 (of several kinds, for keys that the library does not know)
        raise InvalidCertificate(
            key, f"the key of the certificate in {path} is of an unknown type: {_first_line(error)}"
        ) from None
    match public:
        case rsa.RSAPublicKey() if public.key_size >= LEAST_RSA_BITS:
            return f"RSA {public.key_size}"
        case rsa.RSAPublicKey():
            reason = f"expected an RSA key of at least {LEAST_RSA_BITS} bits, got {public.key_size} in {path}"
            raise InvalidCertificate(key, reason)
        case ec.EllipticCurvePublicKey() if public.curve.name in _CURVES:
            return f"ECDSA {_CURVES[public.curve.name]}"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
    kind = public.curve.name if isinstance(public, ec.EllipticCurvePublicKey) else type(public).__name__.strip("_")
    raise InvalidCertificate(key, f"expected a key of RSA, ECDSA (P-256, P-384, P-521) or Ed25519, got {kind} in {path}")


def _check_key(pem: bytes, chain: Sequence[Certificate], cert_file: Path, key_file: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key  # noqa: PLC0415

    try:
        private = load_pem_private_key(pem, None)
    except TypeError:
        reason = f"the key in {key_file} has a passphrase: remove it (openssl pkey -in KEY -out NEW), and protect the file"
        raise InvalidCertificate("key_file", reason) from None
    except Exception:  # noqa: BLE001 (of several kinds, whose texts may quote the key)
        raise InvalidCertificate("key_file", f"the key in {key_file} is damaged or of an unknown type") from None

    def public(key: object) -> bytes:
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined, no-any-return]

    ours = public(private.public_key())
    for number, certificate in enumerate(chain, 1):
        if public(certificate.public_key()) == ours:
            if number == 1:
                return
            reason = f"certificate {number} in {cert_file} is the one of the key in {key_file}: it must be the first"
            raise InvalidCertificate("cert_file", reason)
    raise InvalidCertificate("key_file", f"the key in {key_file} does not belong to the certificate in {cert_file}")


def _check_order(chain: Sequence[Certificate], path: Path) -> None:
    for number, (certificate, issuer) in enumerate(pairwise(chain), 1):
        if not _has_issued(issuer, certificate):
            reason = (
                f"certificate {number + 1} in {path} ({_said(issuer.subject)}) has not issued certificate {number} "
                f"({_said(certificate.subject)}): each must be followed by its issuer"
            )
            raise InvalidCertificate("cert_file", reason)


def _has_issued(issuer: Certificate, certificate: Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # noqa: BLE001 (a wrong name, a wrong signature, a type of key that the library does not know)
        return False
    return True


def _is_authority(certificate: Certificate) -> bool:
    from cryptography import x509  # noqa: PLC0415

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _revocations(pem: bytes, path: Path) -> CertificateRevocationList:
    from cryptography import x509  # noqa: PLC0415

    try:
        return x509.load_pem_x509_crl(pem)
    except ValueError:
        raise InvalidCertificate("client_crl_file", f"expected a file with a PEM certificate revocation list: {path}") from None


def _check_crl(crl: CertificateRevocationList, authorities: Iterable[Certificate], crl_file: Path, ca_file: Path) -> None:
    for authority in authorities:
        with suppress(Exception):  # a type of key that the library does not know
            if crl.is_signature_valid(authority.public_key()):  # type: ignore[arg-type]
                return
    raise InvalidCertificate("client_crl_file", f"the list in {crl_file} is not signed by an authority in {ca_file}")


def _only(pem: bytes, chain: Sequence[Certificate]) -> bytes:
    """The certificates alone: a file may hold the key too."""
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415

    if set(_BLOCK.findall(pem)) == {b"CERTIFICATE"}:
        return pem
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)


def _details(chain: Sequence[Certificate], key_type: str) -> CertificateDetails:
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    leaf, last = chain[0], chain[-1]
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    with suppress(x509.ExtensionNotFound):
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(name.lower() for name in alternatives.get_values_for_type(x509.DNSName))
        addresses = tuple(str(address) for address in alternatives.get_values_for_type(x509.IPAddress))
    return CertificateDetails(
        names,
        addresses,
        key_type,
        leaf.not_valid_before_utc.timestamp(),
        leaf.not_valid_after_utc.timestamp(),
        leaf.issuer.rfc4514_string(),
        len(chain),
        "" if _has_issued(last, last) else last.issuer.rfc4514_string(),
        leaf.fingerprint(SHA256()).hex(),
    )


def _said(name: Name) -> str:
    return name.rfc4514_string() or "without a name"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
