"""Pins and digests of certificates."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding

from pdns.config.upstream_address import parse_upstream
from pdns.upstream.proofs import Proofs
from tests.certificates import issue
from tests.fakes.identity import pin, signed_part


def test_proofs() -> None:
    """One of each kind must match; a digest may be that of any certificate of the verified chain."""
    authority = issue((), authority=True, subject="authority")
    server, other = issue(issuer=authority), issue(issuer=authority)
    der = [one.certificate.public_bytes(Encoding.DER) for one in (server, authority)]

    def unproven(*proofs: str, verified: list[bytes] = der) -> str:
        return Proofs(parse_upstream("tls://192.0.2.1#" + ";".join(("dns.example", *proofs)))).unproven(der[0], verified)

    assert unproven() == ""
    assert unproven(pin(other), pin(server)) == ""
    assert unproven(pin(other)) == f"the key of its certificate is not pinned: {pin(server)}"
    assert unproven(signed_part(authority)) == ""
    assert unproven(signed_part(server), pin(server)) == ""
    assert "no certificate of its chain" in unproven(signed_part(other), pin(server))
    assert "not pinned" in unproven(signed_part(server), pin(other))
    assert "no certificate of its chain" in unproven(signed_part(server), verified=[])


def test_what_cannot_be_read_is_unproven() -> None:
    """What is not a certificate proves nothing."""
    proofs = Proofs(parse_upstream("tls://192.0.2.1#pin=sha256/" + "A" * 43 + "="))
    for data in (b"", b"no certificate"):
        assert proofs.unproven(data) == "the key of its certificate is not pinned, and cannot be read"
