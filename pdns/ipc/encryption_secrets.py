"""What workers need to encrypt: certificates, private keys, ticket keys. They travel in sealed memory, and are on no disk."""

from __future__ import annotations

import os
from typing import Final

import msgspec

TICKET_KEY_BYTES: Final = 80  # name (16), HMAC key (32), AES key (32)


class CertificateSecrets(msgspec.Struct, frozen=True):
    """A certificate chain, leaf first, and its private key; both PEM."""

    chain_pem: bytes
    key_pem: bytes

    def __repr__(self) -> str:
        return "CertificateSecrets(...)"  # no key reaches a log


class ListenerSecrets(msgspec.Struct, frozen=True):
    """What one `[[listener]]` needs. The first certificate is for clients whose server name no certificate has."""

    certificates: tuple[CertificateSecrets, ...]
    client_ca_pem: bytes = b""
    client_crl_pem: bytes = b""


class EncryptionSecrets(msgspec.Struct, frozen=True):
    """What all listeners need, by their index in `config.listener`."""

    generation: int  # higher: newer
    listeners: dict[int, ListenerSecrets]
    ticket_keys: tuple[bytes, ...] = ()  # the newest first; it encrypts, and all decrypt

    def __repr__(self) -> str:
        return f"EncryptionSecrets({self.generation}, ...)"


def encode(secrets: EncryptionSecrets) -> bytes:
    """The bytes that travel."""
    return msgspec.msgpack.encode(secrets)


def decode(data: bytes) -> EncryptionSecrets:
    """What `encode` was given. Raises `msgspec.DecodeError`."""
    return msgspec.msgpack.decode(data, type=EncryptionSecrets)


def read_secrets(fd: int) -> EncryptionSecrets:
    """What is in the sealed memory behind `fd`, which stays open. Raises `msgspec.DecodeError` and `OSError`."""
    size = os.fstat(fd).st_size
    data = b""
    while len(data) < size and (chunk := os.pread(fd, size - len(data), len(data))):  # the file offset is shared
        data += chunk
    return decode(data)
