"""Proof that a client receives at its address: the token of a Retry packet (RFC 9000, 8.1.2)."""

from __future__ import annotations

from contextlib import suppress
from hashlib import blake2s

from aioquic.buffer import Buffer
from aioquic.quic.packet import encode_quic_retry, pull_quic_header
from aioquic.quic.retry import QuicRetryTokenHandler
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pdns.quic.client import Address
from pdns.quic.connection_ids import CONNECTION_ID_BYTES, DatagramHead


class AddressProof:
    """Makes tokens and believes those of every process with the same secret, for half a minute."""

    def __init__(self, secret: bytes) -> None:
        self._handler = QuicRetryTokenHandler()
        self._handler._aead = AESGCM(blake2s(secret, person=b"retry", digest_size=16).digest())  # noqa: SLF001 (it draws its own)

    def token(self, address: Address, original: bytes, source: bytes, now_s: float) -> bytes:
        """For a client at `address` that began with the connection id `original` and is told to go on with `source`."""
        return self._handler.create_token(
            address=_plain(address), original_destination_connection_id=original, retry_source_connection_id=source, now=now_s
        )

    def original_destination(self, address: Address, destination: bytes, token: bytes, now_s: float) -> bytes | None:
        """The connection id that the client began with; None if `token` proves nothing."""
        with suppress(ValueError):  # also of its reader's errors
            return self._handler.validate_token(address=_plain(address), destination_cid=destination, token=token, now=now_s)
        return None


def _plain(address: Address) -> Address:
    return address[0].partition("%")[0], address[1]


def initial_token(datagram: bytes) -> bytes | None:
    """The token of the Initial packet that `datagram` begins with; None if it is not whole."""
    try:
        return pull_quic_header(Buffer(data=datagram), host_cid_length=CONNECTION_ID_BYTES).token
    except ValueError:
        return None


def retry_datagram(proof: AddressProof, source: bytes, head: DatagramHead, address: Address, now_s: float) -> bytes:
    """The Retry packet that answers the Initial packet with `head`."""
    return encode_quic_retry(
        version=head.version,
        source_cid=source,
        destination_cid=head.source,
        original_destination_cid=head.destination,
        retry_token=proof.token(address, head.destination, source, now_s),
    )
