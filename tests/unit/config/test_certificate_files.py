"""Certificates and keys in files: what is accepted, what they say, and how each mistake is named."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from pdns.config.certificate_files import (
    MAX_BYTES,
    is_readable_by_all,
    read_client_authority,
    read_pair,
    revocations_until_s,
)
from pdns.errors import InvalidCertificate
from tests.certificates import Issued, issue, new_key, revocations, write_pair

ROOT = issue(authority=True, subject="Example Root")
MIDDLE = issue(issuer=ROOT, authority=True, subject="Example Intermediate")
LEAF = issue(("dns.example", "*.dns.example", "192.0.2.1", "2001:db8::1"), issuer=MIDDLE)


def test_details(tmp_path: Path) -> None:
    """Names, addresses, type of the key, times and the end of the chain."""
    pair = read_pair(*write_pair(tmp_path, LEAF, MIDDLE))
    details = pair.details
    assert details.names == ("dns.example", "*.dns.example")
    assert details.addresses == ("192.0.2.1", "2001:db8::1")
    assert (details.key_type, details.chain, details.ends_with) == ("ECDSA P-256", 2, "CN=Example Root")
    assert details.issuer == "CN=Example Intermediate"
    assert details.not_after_s - details.not_before_s == pytest.approx(91 * 86400, abs=1)
    assert details.sha256 == LEAF.sha256
    assert (pair.chain_pem, pair.key_pem) == (LEAF.cert_pem + MIDDLE.cert_pem, LEAF.key_pem)
    assert read_pair(*write_pair(tmp_path, issue())).details.ends_with == ""


@pytest.mark.parametrize(
    ("asked", "covered"),
    [
        ("dns.example", True), ("a.dns.example", True), ("a.b.dns.example", False), ("example", False), ("", False),
        ("192.0.2.1", True), ("2001:db8::1", True), ("192.0.2.2", False),
    ],
)  # fmt: skip
def test_names_that_are_covered(asked: str, covered: bool, tmp_path: Path) -> None:
    """A wildcard stands for one label."""
    assert read_pair(*write_pair(tmp_path, LEAF, MIDDLE)).details.covers(asked) is covered


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ec", "ECDSA P-256"), ("SECP384R1", "ECDSA P-384"), ("SECP521R1", "ECDSA P-521"),
        ("rsa2048", "RSA 2048"), ("ed25519", "Ed25519"),
    ],
)  # fmt: skip
def test_types_of_keys(kind: str, said: str, tmp_path: Path) -> None:
    """Those that clients know are accepted."""
    assert read_pair(*write_pair(tmp_path, issue(key=new_key(kind)))).details.key_type == said


def test_an_expired_certificate_is_accepted(tmp_path: Path) -> None:
    """It must not keep the server from answering plain DNS."""
    details = read_pair(*write_pair(tmp_path, issue(since_days=-30, days=-2))).details
    assert details.not_after_s > details.not_before_s


def test_key_and_certificate_in_one_file(tmp_path: Path) -> None:
    """The key stays out of the chain, and the chain out of the key; parameters of a curve are skipped."""
    both = tmp_path / "both.pem"
    both.write_bytes(
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + LEAF.key_pem + LEAF.cert_pem
    )
    pair = read_pair(both, both)
    assert (pair.chain_pem, pair.key_pem) == (LEAF.cert_pem, LEAF.key_pem)


def _text(text: bytes) -> Callable[[Path, Path], object]:
    return lambda cert, key: key.write_bytes(text)


def _chain(*chain: Issued) -> Callable[[Path, Path], object]:
    return lambda cert, key: cert.write_bytes(b"".join(one.cert_pem for one in chain))


def _damaged(cert: Path, _: Path) -> None:
    cert.write_bytes(LEAF.cert_pem.replace(b"MII", b"AAA", 1))


def _weak(cert: Path, _: Path) -> None:
    write_pair(cert.parent, issue(key=new_key("rsa1024")))


def _curve(cert: Path, _: Path) -> None:
    write_pair(cert.parent, issue(key=new_key("SECP256K1")))


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        (lambda cert, _: cert.unlink(), "cert_file", "cannot be read: {cert}: No such file or directory"),
        (lambda _, key: key.unlink(), "key_file", "cannot be read: {key}: No such file or directory"),
        (
            lambda cert, _: cert.write_text("x" * (MAX_BYTES + 1)),
            "cert_file",
            "cannot be read: {cert}: longer than 262,144 bytes",
        ),
        (lambda cert, _: cert.write_text(""), "cert_file", "expected a file with PEM certificates: {cert} has none"),
        (lambda cert, key: cert.write_bytes(key.read_bytes()), "cert_file", "{cert} has none, only PRIVATE KEY"),
        (_damaged, "cert_file", "a certificate in {cert} is damaged: "),
        (_chain(MIDDLE, LEAF), "cert_file", "certificate 2 in {cert} is the one of the key in {key}: it must be the first"),
        (
            _chain(LEAF, ROOT, MIDDLE),
            "cert_file",
            "certificate 2 in {cert} (CN=Example Root) has not issued certificate 1 (CN=dns.example): each must be followed",
        ),
        (_chain(*[LEAF] * 17), "cert_file", "expected at most 16 certificates, got 17 in {cert}"),
        (_text(b""), "key_file", "expected a file with a PEM key: {key} has none"),
        (_text(LEAF.cert_pem), "key_file", "expected a file with a PEM key: {key} has none, only CERTIFICATE"),
        (_text(issue().key_pem), "key_file", "the key in {key} does not belong to the certificate in {cert}"),
        (_text(LEAF.locked_key_pem), "key_file", "the key in {key} has a passphrase: remove it (openssl pkey"),
        (_text(LEAF.key_pem.replace(b"M", b"!")), "key_file", "the key in {key} is damaged or of an unknown type"),
        (_weak, "cert_file", "expected an RSA key of at least 2048 bits, got 1024 in {cert}"),
        (_curve, "cert_file", "expected a key of RSA, ECDSA (P-256, P-384, P-521) or Ed25519, got secp256k1 in {cert}"),
    ],
)
def test_mistakes(change: Callable[[Path, Path], object], key: str, said: str, tmp_path: Path) -> None:
    """Each names the key of the configuration, the file and the reason, and quotes no key."""
    cert, private = write_pair(tmp_path, LEAF, MIDDLE)
    change(cert, private)
    with pytest.raises(InvalidCertificate) as caught:
        read_pair(cert, private)
    assert caught.value.key == key
    assert said.format(cert=cert, key=private) in caught.value.reason
    assert LEAF.key_pem.splitlines()[1].decode() not in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """What is not a file is refused at once."""
    cert, key = write_pair(tmp_path, LEAF)
    with pytest.raises(InvalidCertificate, match="a directory"):
        read_pair(tmp_path, key)
    with pytest.raises(InvalidCertificate, match="a device"):
        read_pair(cert, Path("/dev/zero"))


def test_authority_of_clients(tmp_path: Path) -> None:
    """Certificates of authorities, and a list that one of them signed."""
    ca, crl = tmp_path / "ca.pem", tmp_path / "crl.pem"
    ca.write_bytes(ROOT.cert_pem)
    crl.write_bytes(revocations(ROOT, LEAF))
    assert read_client_authority(ca, None) == (ROOT.cert_pem, b"")
    assert read_client_authority(ca, crl) == (ROOT.cert_pem, crl.read_bytes())


@pytest.mark.parametrize(
    ("ca_text", "crl_text", "key", "said"),
    [
        (b"", b"", "client_ca_file", "has none"),
        (LEAF.cert_pem, b"", "client_ca_file", "is not that of an authority (CA:TRUE)"),
        (ROOT.cert_pem, b"?", "client_crl_file", "expected a file with a PEM certificate revocation list"),
        (ROOT.cert_pem, revocations(MIDDLE), "client_crl_file", "is not signed by an authority in"),
    ],
)
def test_mistakes_in_the_authority(ca_text: bytes, crl_text: bytes, key: str, said: str, tmp_path: Path) -> None:
    """As above."""
    ca, crl = tmp_path / "ca.pem", tmp_path / "crl.pem"
    ca.write_bytes(ca_text)
    crl.write_bytes(crl_text)
    with pytest.raises(InvalidCertificate) as caught:
        read_client_authority(ca, crl)
    assert caught.value.key == key
    assert said in caught.value.reason


def test_files_that_every_user_may_read(tmp_path: Path) -> None:
    """The permissions of the file itself count."""
    _, key = write_pair(tmp_path, LEAF)
    assert not is_readable_by_all(key)
    key.chmod(0o644)
    assert is_readable_by_all(key)
    assert not is_readable_by_all(tmp_path / "missing")


def _rewritten(pem: bytes, change: Callable[[bytes], bytes]) -> bytes:
    label = pem.split(b"-----")[1].removeprefix(b"BEGIN ")
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, base64.encodebytes(change(der)), label)


_UNKNOWN_VERSION = _rewritten(LEAF.cert_pem, lambda der: der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1))
_DAMAGED_ISSUER = _rewritten(
    LEAF.cert_pem, lambda der: der.replace(b"\x0c\x14Example Intermediate", b"\x78\x14Example Intermediate", 1)
)
_REPEATED = _rewritten(LEAF.cert_pem, lambda der: der.replace(b"\x06\x03\x55\x1d\x13", b"\x06\x03\x55\x1d\x11", 1))


@pytest.mark.parametrize("pem", [_UNKNOWN_VERSION, _DAMAGED_ISSUER, _REPEATED], ids=["version", "issuer", "extension"])
def test_damage_that_the_library_reports_late(pem: bytes, tmp_path: Path) -> None:
    """Whatever kind of error it is: none may end the server that watches the files."""
    assert pem.split() != LEAF.cert_pem.split()
    cert, key = write_pair(tmp_path, LEAF)
    cert.write_bytes(pem)
    with pytest.raises(InvalidCertificate, match="is damaged") as caught:
        read_pair(cert, key)
    assert caught.value.key == "cert_file"
    with pytest.raises(InvalidCertificate):
        read_client_authority(cert, None)


def test_a_damaged_revocation_list(tmp_path: Path) -> None:
    """A list of an unknown version is refused by its key."""
    ca, crl = tmp_path / "ca.pem", tmp_path / "crl.pem"
    ca.write_bytes(ROOT.cert_pem)
    crl.write_bytes(_rewritten(revocations(ROOT, LEAF), lambda der: der.replace(b"\x02\x01\x01\x30", b"\x02\x01\x03\x30", 1)))
    for read in (lambda: read_client_authority(ca, crl), lambda: revocations_until_s(crl)):
        with pytest.raises(InvalidCertificate) as caught:
            read()
        assert caught.value.key == "client_crl_file"
