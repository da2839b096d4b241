"""Upstream answers: one line of a table for each, served below `<case>.diff.example.net`."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.fakes.upstream import Handler, Hangup, SeenQuery, Send, a_records, reply, rr
from tests.fakes.upstream import answer as addresses

SUFFIX = "diff.example.net"
ZONE = b"\x04diff\x07example\x03net\0"
_SOA = b"\x02ns" + ZONE + b"\x04host" + ZONE + struct.pack("!IIIII", 1, 3600, 600, 86400, 60)
SOA = rr(6, _SOA, 60, ZONE)
NS = rr(2, b"\x02ns" + ZONE, 300, ZONE)
A = rr(1, b"\xc0\0\2\7")
RRSIG_HEAD = struct.pack("!HBBIIIH", 1, 13, 5, 300, 0x7FFFFFFF, 0x60000000, 4711)
RRSIG = rr(46, RRSIG_HEAD + ZONE + bytes(64))
POINTER = b"\xc0\x0c"

# RFC 3597 section 4 and later types: bytes before the name, how many names, bytes behind. The names are compressed.
NAMES_IN_RDATA = {
    "ns": (2, b"", 1, b""), "md": (3, b"", 1, b""), "mf": (4, b"", 1, b""), "soa": (6, b"", 2, bytes(20)),
    "mb": (7, b"", 1, b""), "mg": (8, b"", 1, b""), "mr": (9, b"", 1, b""), "ptr": (12, b"", 1, b""),
    "minfo": (14, b"", 2, b""), "mx": (15, b"\0\x0a", 1, b""), "rp": (17, b"", 2, b""), "afsdb": (18, b"\0\1", 1, b""),
    "rt": (21, b"\0\1", 1, b""), "nsap-ptr": (23, b"", 1, b""), "sig": (24, RRSIG_HEAD, 1, bytes(64)),
    "px": (26, b"\0\1", 2, b""), "nxt": (30, b"", 1, b"\x40"), "srv": (33, b"\0\1\0\2\0\x50", 1, b""),
    "naptr": (35, b"\0\1\0\2\1u\3abc\0", 1, b""), "kx": (36, b"\0\1", 1, b""), "a6": (38, b"\x80", 1, b""),
    "dname-type": (39, b"", 1, b""), "rrsig": (46, RRSIG_HEAD, 1, bytes(64)), "nsec": (47, b"", 1, b"\0\1\x40"),
    "hip": (55, b"\2\5\0\2abcd", 1, b""), "talink": (58, b"", 2, b""), "svcb": (64, b"\0\1", 1, b""),
    "https": (65, b"\0\1", 1, b""), "lp": (107, b"\0\1", 1, b""), "amtrelay": (260, b"\0\3", 1, b""),
    "unknown": (65280, b"", 1, b""),
}  # fmt: skip
# types without names: RDATA as it is
PLAIN_RDATA = {
    "txt": (16, b"\3abc"), "txt-empty": (16, b"\0"), "txt-no-rdata": (16, b""), "hinfo": (13, b"\1a\1b"), "null": (10, b"abc"),
    "wks": (11, b"\xc0\0\2\1\6\x40"), "x25": (19, b"\x04311"), "isdn": (20, b"\3123"), "nsap": (22, b"\x47abc"),
    "key": (25, b"\1\0\3\x0dabcd"), "gpos": (27, b"\0011\0012\0013"), "aaaa": (28, bytes(15) + b"\1"), "loc": (29, bytes(16)),
    "cert": (37, b"\0\1\0\2\5abc"), "apl": (42, b"\0\1\x18\3\xc0\0\2"), "ds": (43, b"\x12\x34\x0d\2" + bytes(32)),
    "sshfp": (44, b"\1\1" + bytes(20)), "ipseckey": (45, b"\1\0\2abc"), "dnskey": (48, b"\1\1\3\x0d" + bytes(64)),
    "dhcid": (49, b"\0\1\2abc"), "nsec3param": (51, b"\1\0\0\1\0"), "tlsa": (52, b"\3\1\1" + bytes(32)),
    "smimea": (53, b"\3\1\1" + bytes(32)), "cds": (59, b"\x12\x34\x0d\2" + bytes(32)), "cdnskey": (60, b"\1\1\3\x0d" + bytes(64)),
    "openpgpkey": (61, b"abc"), "csync": (62, b"\0\0\0\1\0\3\0\1\x60"), "zonemd": (63, b"\0\0\0\1\1\1" + bytes(48)),
    "spf": (99, b"\3abc"), "nid": (104, bytes(10)), "l32": (105, bytes(6)), "l64": (106, bytes(10)), "eui48": (108, bytes(6)),
    "eui64": (109, bytes(8)), "uri": (256, b"\0\1\0\2http://a"), "caa": (257, b"\0\5issueca"), "unknown-65281": (65281, b"abcd"),
    "unknown-empty": (65282, b""),
}  # fmt: skip


class AnswerCase(NamedTuple):
    """What the upstream does when asked for `qtype` below the name of the case."""

    name: str
    qtype: int
    handler: Handler

    @property
    def label(self) -> str:
        return self.name.replace("/", "-")


def answer_cases() -> list[AnswerCase]:
    """All answers, in a fixed order."""
    cases = [*_types(), *_negatives(), *_chains(), *_shapes()]
    assert len({case.label for case in cases}) == len(cases)
    return cases


class Upstream:
    """The handler of one server's upstream: the case that the name says, addresses for any other name."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()  # by label of the case
        self._handlers = {case.label: case.handler for case in answer_cases()}
        self._otherwise = addresses()

    def __call__(self, query: SeenQuery) -> list[Send | Hangup]:
        try:
            name = query.name
        except IndexError:  # dnsmasq passes damaged questions on
            return []
        label = name.removesuffix(SUFFIX).rstrip(".").rpartition(".")[2]
        self.asked[label] += 1
        return list(self._handlers.get(label, self._otherwise)(query))


def _sent(make: Callable[[SeenQuery], bytes]) -> Handler:
    return lambda query: [Send(make(query))]


def _fixed(answer: list[bytes], authority: list[bytes] | None = None, **how: int) -> Handler:
    return _sent(lambda query: reply(query, answer, authority or [], **how))  # type: ignore[arg-type]  # flags and rcode are ints


def _types() -> Iterator[AnswerCase]:
    for name, (qtype, head, names, tail) in NAMES_IN_RDATA.items():
        yield AnswerCase(f"compressed/{name}", qtype, _fixed([rr(qtype, head + POINTER * names + tail)]))
        spelt = (b"\1x" + ZONE) * names
        yield AnswerCase(f"spelt/{name}", qtype, _fixed([rr(qtype, head + spelt + tail)]))
    for name, (qtype, rdata) in PLAIN_RDATA.items():
        yield AnswerCase(f"type/{name}", qtype, _fixed([rr(qtype, rdata)]))


def _negatives() -> Iterator[AnswerCase]:
    authorities = {
        "soa": [SOA],
        "nothing": [],
        "ns": [NS],
        "ns-soa": [NS, SOA],
        "two-soas": [SOA, rr(6, _SOA, 30, b"\x03net\0")],
    }
    authorities["soa-at-name"] = [rr(6, _SOA, 60)]
    authorities["soa-of-elsewhere"] = [rr(6, _SOA, 60, b"\x05other\x04test\0")]
    authorities["soa-ttl-0"] = [rr(6, _SOA, 0, ZONE)]
    authorities["soa-rrsig"] = [SOA, rr(46, RRSIG_HEAD + ZONE + bytes(64), 60, ZONE)]
    for name, authority in authorities.items():
        yield AnswerCase(f"nodata/{name}", 1, _fixed([], authority))
        yield AnswerCase(f"nxdomain/{name}", 1, _fixed([], authority, rcode=3))
        yield AnswerCase(f"nodata-aa/{name}", 1, _fixed([], authority, flags=0x8580))
    for code in (1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 15):
        yield AnswerCase(f"rcode/{code}", 1, _fixed([], rcode=code))
    yield AnswerCase("rcode/nxdomain-with-answer", 1, _fixed([A], rcode=3))
    yield AnswerCase("rcode/servfail-with-answer", 1, _fixed([A], rcode=2))
    yield AnswerCase("rcode/refused-with-answer", 1, _fixed([A], rcode=5))


def _chain(length: int, *, end: bytes = b"\xc0\0\2\7", reverse: bool = False, rcode: int = 0) -> Handler:
    """CNAMEs c1, c2, ... below the case, then an address. A name within the chain gets the rest of it."""

    def make(query: SeenQuery) -> bytes:
        first, *rest = query.name.split(".")
        inside = first[:1] == "c" and first[1:].isdigit() and rest[-4:-3] != ["diff"]
        at = int(first[1:]) if inside else 0
        base = query.qname[1 + query.qname[0] :] if inside else query.qname
        owners = [base, *(bytes((len(text),)) + text + base for text in (b"c%d" % n for n in range(1, length + 1)))]
        chain = [rr(5, owners[n + 1], 300, owners[n]) for n in range(at, length)]
        chain += [rr(1, end, 300, owners[length])] if end else []
        authority = [] if end else [SOA]
        return reply(query, chain[::-1] if reverse else chain, authority, rcode=rcode)

    return _sent(make)


def _chains() -> Iterator[AnswerCase]:
    for length in (1, 2, 5, 8, 9, 10, 11, 12, 15, 16, 17, 20):
        yield AnswerCase(f"chain/{length}", 1, _chain(length))
    yield AnswerCase("chain/backwards", 1, _chain(2, reverse=True))
    yield AnswerCase("chain/to-nodata", 1, _chain(2, end=b""))
    yield AnswerCase("chain/to-nxdomain", 1, _chain(2, end=b"", rcode=3))
    yield AnswerCase("chain/to-itself", 1, _fixed([rr(5, POINTER)]))
    yield AnswerCase("chain/cname-asked", 5, _fixed([rr(5, b"\1x" + ZONE)]))
    yield AnswerCase("chain/cname-and-address", 1, _fixed([rr(5, b"\3end" + ZONE), A]))
    yield AnswerCase("chain/two-cnames", 1, _fixed([rr(5, b"\3end" + ZONE), rr(5, b"\4end2" + ZONE)]))
    short = b"\6target" + ZONE
    long = b"\x3f" + b"t" * 63 + b"\x3f" + b"t" * 63 + b"\x3f" + b"t" * 63 + b"\x2b" + b"t" * 43 + ZONE  # 254 bytes
    for name, code, end in (("noerror", 0, short), ("yxdomain", 6, long), ("yxdomain-that-fits", 6, short)):

        def dname(query: SeenQuery, code: int = code, end: bytes = end) -> bytes:
            first, above = query.qname[: 1 + query.qname[0]], query.qname[1 + query.qname[0] :]
            records = [rr(39, end, 300, above)]
            if code == 0:
                records += [rr(5, first + end, 300), rr(1, b"\xc0\0\2\7", 300, first + end)]
            return reply(query, records, rcode=code)

        yield AnswerCase(f"dname/{name}", 1, _sent(dname))


def _edit(change: Callable[[bytes], bytes], *answer: bytes) -> Handler:
    return _sent(lambda query: change(reply(query, answer or [A])))


def _count(section: int, value: int) -> Callable[[bytes], bytes]:
    return lambda wire: wire[: 4 + 2 * section] + value.to_bytes(2) + wire[6 + 2 * section :]


def _shapes() -> Iterator[AnswerCase]:
    many = a_records(*(f"192.0.2.{n}" for n in range(1, 31)))
    shapes: dict[str, Handler] = {
        "plain": _fixed([A]),
        "thirty": _fixed(many),
        "large": _fixed(a_records(*(f"192.0.{n // 250}.{n % 250}" for n in range(200)))),
        "same-twice": _fixed([A, A]),
        "ttls-differ": _fixed([A, rr(1, b"\xc0\0\2\x08", 5)]),
        "ttl-0": _fixed([rr(1, b"\xc0\0\2\7", 0)]),
        "ttl-top-bit": _fixed([rr(1, b"\xc0\0\2\7", 0x80000001)]),
        "other-owner": _fixed([rr(1, b"\xc0\0\2\7", 300, b"\5other" + ZONE)]),
        "other-owner-too": _fixed([A, rr(1, b"\xc0\0\2\x08", 300, b"\5other" + ZONE)]),
        "other-type": _fixed([rr(28, bytes(16))]),
        "other-type-too": _fixed([A, rr(28, bytes(16))]),
        "other-class": _fixed([A[:4] + b"\0\3" + A[6:]]),
        "rdata-3": _fixed([rr(1, b"\xc0\0\2")]),
        "rdata-5": _fixed([rr(1, b"\xc0\0\2\7\7")]),
        "rrsig-unasked": _fixed([A, RRSIG]),
        "rrsig-first": _fixed([RRSIG, A]),
        "authority-ns": _fixed([A], [NS]),
        "flags-aa": _fixed([A], flags=0x8580),
        "flags-ad": _fixed([A], flags=0x81A0),
        "flags-no-ra": _fixed([A], flags=0x8100),
        "flags-no-rd": _fixed([A], flags=0x8080),
        "flags-z": _fixed([A], flags=0x81C0),
        "flags-tc-with-answer": _sent(lambda query: reply(query, [A], flags=0x8380 if query.transport == "udp" else 0x8180)),
        "flags-tc-empty": _sent(lambda query: reply(query, [] if query.transport == "udp" else [A], flags=0x8380 if query.transport == "udp" else 0x8180)),  # noqa: E501  # a row of a table
        "flags-tc-on-both": _fixed([A], flags=0x8380),
        "surplus-1": _edit(lambda wire: wire + b"\0"),
        "surplus-20": _edit(lambda wire: wire + bytes(20)),
        "cut-in-answer": _edit(lambda wire: wire[:-3]),
        "count-answer-2": _sent(lambda query: _count(1, 2)(reply(query, [A], edns=False))),
        "count-answer-0": _sent(lambda query: _count(1, 0)(reply(query, [A], edns=False))),
        "count-authority-1": _sent(lambda query: _count(2, 1)(reply(query, [A], edns=False))),
        "count-additional-1": _sent(lambda query: _count(3, 1)(reply(query, [A], edns=False))),
        "authority-damaged": _fixed([A], [rr(2, b"\x3fcut")]),
        "no-question": _sent(lambda query: reply(query, [rr(1, b"\xc0\0\2\7", 300, query.qname)], question=b"")),
        "no-opt": _sent(lambda query: reply(query, [A], edns=False)),
        "two-opts": _sent(lambda query: _count(3, 2)(reply(query, [A], edns=False) + 2 * (b"\0\0\x29\4\xd0" + bytes(6)))),
        "opt-version-1": _sent(lambda query: _count(3, 1)(reply(query, [A], edns=False) + b"\0\0\x29\4\xd0\0\1\0\0\0\0")),
        "opt-owner": _sent(lambda query: _count(3, 1)(reply(query, [A], edns=False) + b"\xc0\x0c\0\x29\4\xd0" + bytes(6))),
        "opt-size-0": _sent(lambda query: _count(3, 1)(reply(query, [A], edns=False) + b"\0\0\x29\0\0" + bytes(6))),
        "opt-option-cut": _sent(lambda query: _count(3, 1)(reply(query, [A], edns=False) + b"\0\0\x29\4\xd0\0\0\0\0\0\3\0\x0a\0")),  # noqa: E501  # a row of a table
        "opt-in-answer": _fixed([A, b"\0\0\x29\4\xd0" + bytes(6)]),
        "opt-ede": _sent(lambda query: reply(query, [A], options=b"\0\x0f\0\2\0\3")),
        "question-lower": _sent(lambda query: reply(query._replace(wire=query.wire[:12] + query.question.lower() + query.opt), [A])),  # noqa: E501  # a row of a table
        "owner-pointer-loop": _sent(lambda query: reply(query, [A[:0] + rr(1, b"\xc0\0\2\7", owner=(0xC00C + len(query.question)).to_bytes(2))])),  # noqa: E501  # a row of a table
    }  # fmt: skip
    for name, handler in shapes.items():
        yield AnswerCase(f"shape/{name}", 1, handler)
