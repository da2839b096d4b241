"""Frames between the quic process and the workers: what is packed comes out, and nothing else does."""

from __future__ import annotations

import random
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.errors import RelayError
from pdns.ipc.relay_frames import (
    H3,
    MAX_MESSAGE_BYTES,
    NO_ANSWER,
    QUIC,
    RelayAnswer,
    RelayClient,
    answers_in,
    pack_answer,
    pack_client,
    pack_query,
    queries_in,
    unpack_client,
)

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=255)
CLIENTS = st.builds(
    RelayClient, ADDRESSES, st.integers(0, 65535), st.sampled_from([b"", bytes(range(32))]), st.binary(max_size=128), NAMES,
    st.booleans(),
)  # fmt: skip
ONE = RelayClient("192.0.2.7", 5353, b"", b"token", "home.dns.example", admits_by_name=True)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.sampled_from([QUIC, H3]), CLIENTS, st.binary(min_size=12, max_size=400))))
def test_queries_come_out_as_they_were(queries: list[tuple[int, int, RelayClient, bytes]]) -> None:
    """Any number of queries in a packet, of any clients."""
    packet = b"".join(
        pack_query(number, transport, pack_client(client), message) for number, transport, client, message in queries
    )
    found = queries_in(packet)
    assert [(one.number, one.transport, one.message) for one in found] == [(n, t, m) for n, t, _, m in queries]
    for one, (_, _, client, _) in zip(found, queries, strict=True):
        assert ip_address(one.client.address) == ip_address(client.address)
        assert one.client[1:] == client[1:]


@given(st.lists(st.builds(RelayAnswer, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 65535), st.binary())))
def test_answers_come_out_as_they_were(answers: list[RelayAnswer]) -> None:
    """Also those that say that there is no answer."""
    packet = b"".join(pack_answer(one.number, one.message, max_age_s=one.max_age_s, status=one.status) for one in answers)
    assert answers_in(packet) == answers


def test_the_largest_messages_fit() -> None:
    """65,535 bytes either way, and not one more."""
    packed, largest = pack_client(ONE), bytes(MAX_MESSAGE_BYTES)
    assert queries_in(pack_query(1, QUIC, packed, largest))[0].message == largest
    assert answers_in(pack_answer(1, largest))[0].message == largest
    with pytest.raises(RelayError):
        queries_in(pack_query(1, QUIC, packed, largest + b"\0"))
    with pytest.raises(RelayError):
        answers_in(pack_answer(1, largest + b"\0"))


def test_a_client_that_is_none_is_refused() -> None:
    """Lengths that lead behind the end, other sizes of addresses and certificates, names that are not ASCII."""
    packed = pack_client(ONE)
    broken = [packed[:end] for end in range(len(packed))]
    broken += [packed + b"\0", b"\x05" + packed[1:], packed[:-1] + b"\xff", packed[:3] + b"\x02" + packed[4:]]
    broken += [pack_client(ONE._replace(certificate_sha256=bytes(32)))[:8] + b"\x1f" + bytes(31) + b"\0\0"]
    for one in broken:
        with pytest.raises(RelayError):
            unpack_client(one)


@pytest.mark.parametrize("wrong", [{"certificate_sha256": b"x"}, {"token": bytes(129)}, {"server_name": "n" * 256}])
def test_what_cannot_be_read_is_not_packed(wrong: dict[str, Any]) -> None:
    """A packer that is wrong is found on its own side."""
    with pytest.raises(ValueError, match=r"bytes|long"):
        pack_client(ONE._replace(**wrong))


def test_a_query_that_is_shorter_than_a_header_is_refused() -> None:
    """So is another transport, and an answer where a query is expected."""
    packed = pack_client(ONE)
    for packet in (pack_query(1, QUIC, packed, bytes(11)), pack_query(1, 3, packed, bytes(12)), pack_answer(1, NO_ANSWER)):
        with pytest.raises(RelayError):
            queries_in(packet)
    with pytest.raises(RelayError):
        answers_in(pack_query(1, QUIC, packed, bytes(12)))


def test_damaged_packets_are_refused_or_read_and_nothing_else() -> None:
    """40,000 packets with flipped, missing, doubled and inserted bytes: RelayError, or frames within the bounds."""
    chance = random.Random(1)
    refused = 0
    for _ in range(20000):
        queries = [
            pack_query(
                chance.getrandbits(64), chance.choice((QUIC, H3)), pack_client(ONE), chance.randbytes(chance.randrange(12, 60))
            )
            for _ in range(chance.randrange(1, 4))
        ]
        answers = [pack_answer(chance.getrandbits(64), chance.randbytes(chance.randrange(40))) for _ in range(2)]
        for read, frames in ((queries_in, queries), (answers_in, answers)):
            packet = bytearray(b"".join(frames))
            for _ in range(chance.randrange(1, 4)):
                at = chance.randrange(len(packet))
                match chance.randrange(4):
                    case 0:
                        packet[at] ^= 1 << chance.randrange(8)
                    case 1:
                        del packet[at:]
                    case 2:
                        packet[at:at] = packet[:at]
                    case _:
                        packet[at:at] = chance.randbytes(chance.randrange(1, 5))
                if not packet:
                    break
            try:
                found = read(bytes(packet))
            except RelayError:
                refused += 1
                continue
            assert sum(len(one.message) for one in found) <= len(packet)
    assert 10000 < refused < 40000
