"""What a client asks: one question, its flags, what its EDNS allows."""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 (it is an exception)

from pdns.errors import WireError
from pdns.wire import protocol as p
from pdns.wire.message import HEADER
from pdns.wire.names import filter_key, reversed_key

Options = tuple[tuple[int, bytes], ...]
_RR = Struct("!HHIH")
PLAIN_UDP_BYTES = 512  # RFC 1035, 4.2.1: without EDNS


class Query:
    """A well-formed query. `question` is byte for byte what came, `qname` the same name in lower case."""

    __slots__ = (
        "cd",
        "cookie",
        "do",
        "edns",
        "flags",
        "id",
        "keepalive",
        "key",
        "monitored",
        "nsid",
        "options",
        "qclass",
        "qname",
        "qtype",
        "question",
        "structured",
        "udp_bytes",
        "verified",
    )  # fmt: skip

    batched = False  # it came in a batch, and can be forwarded in one
    needs_recheck = False  # the cache has an answer, but the resolver must check it: it may be old, or decided under other rules
    skips_local = False  # by its class, type and name it is not answered here: only feeds and upstreams decide

    def __init__(
        self, query_id: int, flags: int, question: bytes, qtype: int, qclass: int, *, edns: bool, do: bool, udp_bytes: int
    ) -> None:
        self.id = query_id
        self.flags = flags
        self.question = question
        self.qname = question[:-4].lower()
        self.qtype = qtype
        self.qclass = qclass
        self.edns = edns
        self.do = do
        self.cd = bool(flags & p.CD)
        self.udp_bytes = udp_bytes
        self.monitored = False  # a feed in monitor mode lists it
        self.verified = False  # the client's address is proven: it came over TCP, or with a valid cookie
        self.cookie = b""  # the client's, and the server's if it has one (RFC 7873)
        self.keepalive = False  # it asks how long its TCP connection may stay (RFC 7828)
        self.nsid = False  # it asks which server answers (RFC 5001)
        self.structured = False  # its client understands structured errors (`pdns.core.structured_error`)
        self.options = b""  # of the OPT record of its answer
        # DO and CD change what an upstream says (RFC 4035, 3.2.1 and 3.2.2), so they are part of the question.
        self.key = self.qname + question[-4:] + (b"\3" if do and self.cd else b"\1" if do else b"\2" if self.cd else b"\0")

    @property
    def filter_key(self) -> bytes:
        """The last two labels of the qname, or what it has of them, with the root label."""
        return filter_key(self.qname)

    @property
    def reversed_key(self) -> bytes:
        """As `names.reversed_key` of the qname."""
        return reversed_key(self.qname)

    @property
    def rd(self) -> bool:
        return bool(self.flags & p.RD)


def error_reply(wire: bytes, error: WireError) -> bytes | None:
    """What to send back for bytes that `parse_query` refused; None for silence.

    Only the id, the opcode and (for opcode QUERY) RD are taken over: RA, AD, CD and Z stay clear. An OPT record answers an OPT
    record (RFC 6891, 6.1.1 and 7).
    """
    if error.rcode is None:
        return None
    opcode = (wire[2] & 0x78) << 8
    flags = p.QR | opcode | (0 if opcode else (wire[2] & 1) << 8) | (error.rcode & p.RCODE_MASK)
    extended = error.rcode >> 4
    reply = wire[:2] + flags.to_bytes(2) + (b"\0\1" if error.question else b"\0\0") + b"\0\0\0\0"
    if not has_opt(wire):
        return reply + b"\0\0" + error.question
    return reply + b"\0\1" + error.question + b"\0\0\x29\x04\xd0" + bytes([extended, 0, 0, 0]) + b"\0\0"


def has_opt(wire: bytes) -> bool:
    """Whether an OPT record can be found in a message of any opcode, whatever else is wrong with it."""
    try:
        _, _, questions, answers, authorities, additionals = HEADER.unpack_from(wire)
        at = p.HEADER_BYTES
        for _ in range(questions):
            at = _behind_name(wire, at) + 4
        for number in range(answers + authorities + additionals):
            start, at = at, _behind_name(wire, at)
            rtype, _, _, rdata_bytes = _RR.unpack_from(wire, at)
            at += 10 + rdata_bytes
            if at > len(wire):
                return False
            if rtype == p.OPT and wire[start] == 0 and number >= answers + authorities:
                return True
    except (IndexError, StructError):
        pass
    return False


def _behind_name(wire: bytes, at: int) -> int:
    """The offset behind the name at `at`, without following its pointers. Raises `IndexError` for what is no name."""
    while length := wire[at]:
        if length >= 192:
            return at + 2
        if length > 63:
            raise IndexError
        at += 1 + length
    return at + 1
