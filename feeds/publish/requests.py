"""What secondaries ask, and how answers are signed (RFC 5936, RFC 1995, RFC 8945)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from struct import Struct
from typing import Final, NamedTuple

import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.SOA
import dns.rdtypes.ANY.TSIG
import dns.tsig

from pdns.errors import WireError

MOST_REQUEST_BYTES: Final = 4096
SOA, OPT, TSIG, IXFR, AXFR = 6, 41, 250, 251, 252
HEADER: Final = Struct("!HHHHHH")
_FUDGE_S: Final = 300
_LEAST_UDP_BYTES: Final = 512
_MOST_UDP_BYTES: Final = 1232
_TSIG_HEAD: Final = Struct("!HHIH")
_ANY: Final = 255

Keyring = Mapping[dns.name.Name, dns.tsig.Key]


class TransferRequest(NamedTuple):
    """One question about a zone."""

    number: int  # message id
    question: bytes  # as it was asked, to be repeated
    zone: bytes  # wire form, lower case
    qtype: int
    serial: int | None  # of an IXFR: the version that the secondary has
    key: dns.tsig.Key | None  # that it is signed with
    mac: bytes
    udp_bytes: int  # room for an answer over UDP
    edns: bool


class UnsignedError(WireError):
    """A signature that is not by a key that is known here."""


def parse(wire: bytes, keys: Keyring) -> TransferRequest | None:
    """The request in `wire`; None for an answer, which gets none. Raises `WireError` with the RCODE to answer with."""
    if len(wire) < HEADER.size:
        raise WireError("cut short", None)
    number, flags, *_ = HEADER.unpack_from(wire)
    if flags & 0x8000:
        return None
    if len(wire) > MOST_REQUEST_BYTES:
        raise WireError("too long", dns.rcode.FORMERR)
    try:
        message = dns.message.from_wire(wire, keyring=dict(keys))
    except dns.message.UnknownTSIGKey:
        raise UnsignedError("unknown key", dns.rcode.NOTAUTH) from None
    except (dns.tsig.BadSignature, dns.tsig.BadKey, dns.tsig.BadTime, dns.tsig.BadAlgorithm) as exc:
        raise UnsignedError(type(exc).__name__, dns.rcode.NOTAUTH) from None
    except Exception as exc:  # noqa: BLE001 (whatever foreign bytes do to the library)
        raise WireError(f"malformed: {type(exc).__name__}", dns.rcode.FORMERR) from None
    if message.opcode() != dns.opcode.QUERY:
        raise WireError("not a query", dns.rcode.NOTIMP)
    if len(message.question) != 1:
        raise WireError("not one question", dns.rcode.FORMERR)
    question = message.question[0]
    zone = question.name.to_wire()
    assert zone is not None
    wire_question = zone + int(question.rdtype).to_bytes(2) + int(question.rdclass).to_bytes(2)
    if question.rdclass != dns.rdataclass.IN:
        raise WireError("not of class IN", dns.rcode.REFUSED, wire_question)
    serial = _serial_of(message) if question.rdtype == IXFR else None
    if question.rdtype == IXFR and serial is None:
        raise WireError("IXFR without a serial", dns.rcode.FORMERR, wire_question)
    edns = message.edns >= 0
    room = min(max(message.payload, _LEAST_UDP_BYTES), _MOST_UDP_BYTES) if edns else _LEAST_UDP_BYTES
    key = keys.get(message.keyname) if message.had_tsig and message.keyname is not None else None
    mac = message.mac or b"" if key is not None else b""
    return TransferRequest(number, wire_question, zone.lower(), int(question.rdtype), serial, key, mac, room, edns)


def _serial_of(message: dns.message.Message) -> int | None:
    for rrset in message.authority:
        if rrset.rdtype == SOA:
            for record in rrset:
                assert isinstance(record, dns.rdtypes.ANY.SOA.SOA)
                return int(record.serial)
    return None


class Signer:
    """Signs the messages of one answer, each with what follows from the one before (RFC 8945, 5.3.1)."""

    def __init__(self, request: TransferRequest) -> None:
        self._request = request
        self._context: dns.tsig.HMACTSig | dns.tsig.GSSTSig | None = None

    def signed(self, wire: bytes, *, more: bool) -> bytes:
        """`wire`, with a signature if the request had one. `more`: it belongs to an answer of several messages."""
        key = self._request.key
        if key is None:
            return wire
        empty = dns.rdtypes.ANY.TSIG.TSIG(  # type: ignore[no-untyped-call]
            dns.rdataclass.ANY, dns.rdatatype.TSIG, key.algorithm, 0, _FUDGE_S, b"", self._request.number, 0, b""
        )  # fmt: skip
        record, self._context = dns.tsig.sign(  # type: ignore[no-untyped-call]
            wire, key, empty, int(time.time()), self._request.mac, self._context, multi=more
        )  # fmt: skip
        return _with_additional(wire, _tsig(key.name, record))


def _tsig(name: dns.name.Name, record: dns.rdtypes.ANY.TSIG.TSIG) -> bytes:
    owner, data = name.to_wire(), record.to_wire()
    assert owner is not None
    assert data is not None
    return owner + _TSIG_HEAD.pack(TSIG, _ANY, 0, len(data)) + data


def message(request: TransferRequest, records: int, data: bytes, *, rcode: int = 0, authoritative: bool = True) -> bytes:
    """An answer with so many records, which are `data`; an OPT record is in the first where the request has one."""
    flags = 0x8000 | (0x0400 if authoritative else 0) | rcode
    return HEADER.pack(request.number, flags, 1, records, 0, 0) + request.question + data


def with_edns(wire: bytes) -> bytes:
    """`wire` and an OPT record (RFC 6891)."""
    return _with_additional(wire, b"\0" + Struct("!HHIH").pack(OPT, _MOST_UDP_BYTES, 0, 0))


def refusal(wire: bytes, rcode: int, question: bytes = b"") -> bytes:
    """An answer without records to the message `wire`, which could not be read or is not to be answered."""
    number, flags, *_ = HEADER.unpack_from(wire)
    return HEADER.pack(number, 0x8000 | (flags & 0x7800) | rcode, 1 if question else 0, 0, 0, 0) + question


def _with_additional(wire: bytes, record: bytes) -> bytes:
    additional = int.from_bytes(wire[10:12]) + 1
    return wire[:10] + additional.to_bytes(2) + wire[12:] + record
