"""Connection ids, and what the start of a datagram says."""

from __future__ import annotations

import pytest
from aioquic.buffer import Buffer
from aioquic.quic.packet import pull_quic_header
from hypothesis import given
from hypothesis import strategies as st

from pdns.quic.connection_ids import (
    CONNECTION_ID_BYTES,
    INITIAL,
    RESET_TOKEN_BYTES,
    ConnectionIds,
    DatagramHead,
    head_of,
    owner_of,
    version_negotiation,
)

IDS = ConnectionIds(200, bytes(range(32)))


def test_ids_name_their_process() -> None:
    """Each is another, and of a length that few clients choose."""
    made = {IDS.new() for _ in range(100)}
    assert len(made) == 100
    assert {len(one) for one in made} == {CONNECTION_ID_BYTES}
    assert {owner_of(one) for one in made} == {200}
    assert owner_of(bytes(8)) is None
    assert owner_of(b"") is None


def test_a_process_with_the_same_secret_knows_the_tokens() -> None:
    """So a client learns of a dead process from its successor."""
    token = IDS.reset_token(b"id")
    assert ConnectionIds(3, bytes(range(32))).reset_token(b"id") == token
    assert ConnectionIds(200, bytes(32)).reset_token(b"id") != token
    assert len(token) == RESET_TOKEN_BYTES


@pytest.mark.parametrize("received", range(1, 200))
def test_a_reset_is_shorter_than_what_it_answers(received: int) -> None:
    """RFC 9000, 10.3.3: two servers cannot answer each other for ever."""
    reset = IDS.reset(b"id", received)
    if received <= 21:
        assert reset is None
    else:
        assert reset is not None
        assert 21 <= len(reset) < received
        assert reset.endswith(IDS.reset_token(b"id"))
        assert reset[0] & 0xC0 == 0x40


@given(st.binary(max_size=100))
def test_any_bytes_are_read_safely(data: bytes) -> None:
    """What is taken for QUIC is within the datagram; what aioquic reads as version 1 has the same ids here."""
    head = head_of(data)
    try:
        theirs = pull_quic_header(Buffer(data=data), host_cid_length=CONNECTION_ID_BYTES)
    except ValueError:
        theirs = None
    if theirs is not None and len(data) >= 21 and theirs.version in (None, 1):
        assert head is not None
        assert head.destination == theirs.destination_cid
        assert head.source == theirs.source_cid
    if head is not None:
        assert head.destination in data


def test_version_negotiation_turns_the_ids_round() -> None:
    """RFC 9000, 17.2.1: the client finds its own id as the destination, and version 0."""
    answer = version_negotiation(DatagramHead(True, 0x1A2A3A4A, INITIAL, b"destination", b"source"), (1,))
    assert answer[0] & 0x80
    assert answer[1:] == b"\0\0\0\0" + b"\6source" + b"\x0bdestination" + b"\0\0\0\1"
