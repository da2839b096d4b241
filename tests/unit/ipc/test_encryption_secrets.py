"""Certificates and keys, as they travel between processes."""

from __future__ import annotations

import msgspec
import pytest

from pdns.ipc.encryption_secrets import CertificateSecrets, EncryptionSecrets, ListenerSecrets, decode, encode


def test_they_arrive_as_sent() -> None:
    """Listeners keep their numbers, and ticket keys their order."""
    listener = ListenerSecrets((CertificateSecrets(b"chain", b"key"), CertificateSecrets(b"chain 2", b"key 2")), b"ca", b"crl")
    secrets = EncryptionSecrets(7, {0: listener, 3: ListenerSecrets(())}, (bytes(80), b"\1" * 80))
    assert decode(encode(secrets)) == secrets


def test_other_bytes() -> None:
    """What is no message is an error of its own kind."""
    with pytest.raises(msgspec.DecodeError):
        decode(b"\xff")
