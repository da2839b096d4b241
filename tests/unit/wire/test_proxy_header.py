"""The PROXY protocol header: what it says, and every way in which it is wrong."""

from __future__ import annotations

import pytest

from pdns.errors import WireError
from pdns.wire.proxy_header import (
    MALFORMED,
    MAX_BLOCK_BYTES,
    NO_CLIENT,
    NO_HEADER,
    SIGNATURE,
    TOO_LONG,
    VERSION,
    crc32c,
    header_bytes,
    parse_header,
)
from tests.proxied import DATAGRAM, LOCAL, PROXY, STREAM, header, raw, tlv

INET, INET6, UNIX = 0x10, 0x20, 0x30
V4 = bytes([198, 51, 100, 7, 192, 0, 2, 53, 0x9C, 0x40, 0, 53])
V6 = bytes.fromhex("20010db8000000000000000000000007") + bytes.fromhex("20010db8000000000000000000000053") + V4[8:]


def test_bytes_of_the_specification() -> None:
    """The header of an IPv4 connection, byte by byte as section 2.2 lays it out."""
    wire = bytes.fromhex("0d0a0d0a000d0a515549540a 21 11 000c c6336407 c0000235 9c40 0035") + b"behind"
    assert parse_header(wire) == (28, "198.51.100.7", False)
    assert header("198.51.100.7", means=STREAM) == wire[:28]


@pytest.mark.parametrize("client", ["198.51.100.7", "2001:db8::7", "127.0.0.1", "::1", "fe80::1", "10.0.0.1", "223.255.255.255"])
@pytest.mark.parametrize("means", [STREAM, DATAGRAM])
def test_the_client(client: str, means: int) -> None:
    """Its address is the source, in either family, and the protocol says how it came to the load balancer."""
    wire = header(client, means=means)
    assert parse_header(wire + b"\0") == (len(wire), client, means == DATAGRAM)


@pytest.mark.parametrize("port", [0, 53, 65535])
def test_any_port(port: int) -> None:
    """Ports mean nothing here: some load balancers do not know them."""
    assert parse_header(header("198.51.100.7", port=port)).client == "198.51.100.7"


def test_a_mapped_address_is_an_ipv4_address() -> None:
    """A client that reached an IPv6 socket over IPv4 is the IPv4 client that networks name."""
    assert parse_header(header("::ffff:198.51.100.7")).client == "198.51.100.7"


@pytest.mark.parametrize(
    "client",
    ["0.0.0.0", "0.1.2.3", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:0.0.0.0", "::ffff:224.0.0.1"],
)
def test_no_client_has_such_an_address(client: str) -> None:
    """Unspecified, multicast, broadcast and reserved addresses."""
    assert refused(header(client)) == NO_CLIENT


@pytest.mark.parametrize("family", [0, 0x11, 0xFF, UNIX | STREAM])
@pytest.mark.parametrize("block", [b"", b"\xff", bytes(MAX_BLOCK_BYTES)])
def test_local_names_no_client_whatever_it_holds(family: int, block: bytes) -> None:
    """The specification: the block of LOCAL is discarded, and so is the family."""
    assert parse_header(raw(LOCAL, family, block)) == (16 + len(block), "", False)


@pytest.mark.parametrize("family", [0, INET, INET6, STREAM, DATAGRAM, UNIX | STREAM, UNIX | DATAGRAM])
def test_a_proxied_client_without_an_internet_address(family: int) -> None:
    """The client is unknown, and the load balancer does not speak for itself."""
    assert refused(raw(PROXY, family, bytes(216))) == NO_CLIENT


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"", NO_HEADER),
        (b"\r\n", NO_HEADER),
        (SIGNATURE[:11], NO_HEADER),
        (bytes(40), NO_HEADER),
        (b"PROXY", NO_HEADER),
        (b"PROXY TCP4 198.51.100.7 192.0.2.53 40000 53\r\n", VERSION),
        (SIGNATURE, MALFORMED),
        (SIGNATURE + b"\x21\x11\0", MALFORMED),
        (raw(0x11, INET | STREAM, V4), VERSION),
        (raw(0x31, INET | STREAM, V4), VERSION),
        (raw(0x01, INET | STREAM, V4), VERSION),
        (raw(0x22, INET | STREAM, V4), MALFORMED),
        (raw(0x2F, INET | STREAM, V4), MALFORMED),
        (raw(PROXY, 0x40 | STREAM, V6), MALFORMED),
        (raw(PROXY, 0xF0 | STREAM, V6), MALFORMED),
        (raw(PROXY, INET | 3, V4), MALFORMED),
        (raw(PROXY, 0xFF, V4), MALFORMED),
        (raw(PROXY, INET | STREAM, V4[:-1]), MALFORMED),
        (raw(PROXY, INET | STREAM, V4, size=11), MALFORMED),
        (raw(PROXY, INET | STREAM, V4, size=13), MALFORMED),
        (raw(PROXY, INET | STREAM), MALFORMED),
        (raw(PROXY, INET6 | STREAM, V6[:-1]), MALFORMED),
        (raw(PROXY, INET6 | STREAM, V4), MALFORMED),
        (raw(LOCAL, 0, size=1), MALFORMED),
        (raw(PROXY, INET | STREAM, V4 + bytes(MAX_BLOCK_BYTES - 11)), TOO_LONG),
        (raw(PROXY, INET | STREAM, V4, size=65535), TOO_LONG),
        (raw(LOCAL, 0, size=MAX_BLOCK_BYTES + 1), TOO_LONG),
    ],
)
def test_refused(wire: bytes, reason: str) -> None:
    """Another beginning, another version, too much, too little, and what the specification tells receivers to reject."""
    assert refused(wire) == reason


@pytest.mark.parametrize(
    "tlvs",
    [
        b"",
        tlv(4, b""),  # NOOP
        tlv(1, b"dns") + tlv(5, b"id") + tlv(0xEA, bytes(9)),
        tlv(0x20, b"\1\0\0\0\0" + tlv(0x21, b"TLSv1.3")),
        tlv(0, bytes(MAX_BLOCK_BYTES - 12 - 3)),
    ],
)
def test_tlvs_are_skipped(tlvs: bytes) -> None:
    """Whatever their types, up to the largest block."""
    wire = header("198.51.100.7", tlvs=tlvs)
    assert parse_header(wire + b"message") == (len(wire), "198.51.100.7", True)
    if tlvs:
        assert refused(header("198.51.100.7", tlvs=tlvs[:-1])) == MALFORMED


@pytest.mark.parametrize(
    "tlvs", [b"\1", b"\1\0", b"\1\0\1", b"\1\xff\xff", tlv(1, b"x") + b"\0", tlv(1, b"x")[:-1], b"\1\0\2x" * 2]
)
def test_tlvs_that_do_not_fill_the_block_exactly(tlvs: bytes) -> None:
    """A length that lies makes the whole header doubtful."""
    assert refused(header("198.51.100.7", tlvs=tlvs)) == MALFORMED


def test_the_checksum() -> None:
    """It may stand anywhere among the TLVs; each changed byte makes it wrong, and two of them are one too many."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    wire = header("2001:db8::7", tlvs=tlv(4, b"padding"), checksum=True)
    assert parse_header(wire).client == "2001:db8::7"
    for at in (*range(16, 52), *range(len(wire) - 4, len(wire))):
        assert refused(wire[:at] + bytes([wire[at] ^ 1]) + wire[at + 1 :]) == MALFORMED
    assert refused(header("198.51.100.7", tlvs=tlv(3, bytes(4)) * 2)) == MALFORMED
    assert refused(header("198.51.100.7", tlvs=tlv(3, bytes(3)))) == MALFORMED
    first = raw(PROXY, 0x12, V4 + tlv(3, bytes(4)) + tlv(1, b"x"))
    right = raw(PROXY, 0x12, V4 + tlv(3, crc32c(first).to_bytes(4)) + tlv(1, b"x"))
    assert parse_header(right).client == "198.51.100.7"


def test_the_size_is_known_as_soon_as_it_can_be() -> None:
    """0 until 16 bytes are there; then what they say."""
    wire = header("2001:db8::7", tlvs=tlv(1, b"x"))
    assert [header_bytes(wire[:count]) for count in range(20)] == [0] * 16 + [len(wire)] * 4
    assert header_bytes(b"PRO") == 0


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"\0", NO_HEADER),
        (b"\r\n\r\n\1", NO_HEADER),
        (b"PROXX", NO_HEADER),
        (b"PROXY ", VERSION),
        (raw(0x31, 0), VERSION),
        (raw(PROXY, 0x11, size=537), TOO_LONG),
    ],
)
def test_a_wrong_start_is_refused_as_soon_as_it_shows(start: bytes, reason: str) -> None:
    """A start that cannot become a sound header is not waited for."""
    with pytest.raises(WireError) as caught:
        header_bytes(start)
    assert (caught.value.reason, caught.value.rcode) == (reason, None)
    if len(start) > 6:
        assert header_bytes(start[:-4]) == 0


def refused(wire: bytes) -> str:
    """Why."""
    with pytest.raises(WireError) as caught:
        parse_header(wire)
    assert caught.value.rcode is None
    return caught.value.reason
