"""Query packets: one line of a table for each kind, a name for each packet. All ask for names that the upstream answers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

ZONE = b"\x04diff\x07example\x03net\0"
NAME = b"\x03www" + ZONE
RD, QR, AA, TC, RA, Z, AD, CD = 0x0100, 0x8000, 0x0400, 0x0200, 0x0080, 0x0040, 0x0020, 0x0010
FLAGS = {
    "rd": RD,
    "none": 0,
    "aa": RD | AA,
    "tc": RD | TC,
    "ra": RD | RA,
    "z": RD | Z,
    "ad": RD | AD,
    "cd": RD | CD,
    "qr": RD | QR,
}
FLAGS |= {"ad-cd": RD | AD | CD, "all-but-qr": RD | AA | TC | RA | Z | AD | CD, "no-rd-cd": CD, "no-rd-ad": AD}
FLAGS |= {f"rcode-{code}": RD | code for code in (1, 2, 3, 5, 15)}
TYPES = [0, *range(1, 66), 99, *range(100, 110), 127, 128, 129, 200, *range(245, 263), 32768, 32769, 65280, 65535]
TYPES.remove(41)
CLASSES = (0, 2, 3, 4, 5, 254, 255, 256, 65535)
_COOKIE = bytes(range(8))
OPTIONS = {
    "nsid": (3, b""),
    "nsid-with-data": (3, b"x"),
    "dau": (5, b"\x08\x0d"),
    "ecs-v4": (8, b"\0\1\x18\0\xc0\0\2"),
    "ecs-v4-no-prefix": (8, b"\0\1\0\0"),
    "ecs-v6": (8, b"\0\2\x20\0\x20\1\x0d\xb8"),
    "ecs-short": (8, b"\0"),
    "ecs-family-9": (8, b"\0\x09\0\0"),
    "ecs-scope": (8, b"\0\1\x18\x18\xc0\0\2"),
    "ecs-surplus-bits": (8, b"\0\1\x17\0\xc0\0\3"),
    "expire": (9, b""),
    "cookie": (10, _COOKIE),
    "cookie-short": (10, _COOKIE[:7]),
    "cookie-empty": (10, b""),
    "cookie-12": (10, _COOKIE + b"abcd"),
    "cookie-unknown-server": (10, _COOKIE * 3),
    "cookie-41": (10, _COOKIE * 5 + b"x"),
    "keepalive": (11, b""),
    "keepalive-with-data": (11, b"\0\x64"),
    "padding": (12, bytes(40)),
    "chain": (13, b"\0"),
    "key-tag": (14, b"\x4f\x66"),
    "ede": (15, b"\0\x0f"),
    "unassigned": (30, b"abc"),
    "local": (65001, b"abc"),
    "zero": (0, b""),
}


class QueryCase(NamedTuple):
    """One packet. `name` is unique."""

    name: str
    wire: bytes
    tcp: bool = False


def message(
    qname: bytes = NAME,
    qtype: int = 1,
    qclass: int = 1,
    *,
    flags: int = RD,
    counts: tuple[int, int, int, int] = (1, 0, 0, 0),
    after: bytes = b"",
) -> bytes:
    """A query, `after` behind its question."""
    return struct.pack("!HHHHHH", 0x1234, flags, *counts) + qname + struct.pack("!HH", qtype, qclass) + after


def opt(
    size: int = 1232, version: int = 0, flags: int = 0, rdata: bytes = b"", *, owner: bytes = b"\0", high_rcode: int = 0
) -> bytes:
    """An OPT record."""
    return owner + struct.pack("!HHBBHH", 41, size, high_rcode, version, flags, len(rdata)) + rdata


def option(code: int, data: bytes) -> bytes:
    return struct.pack("!HH", code, len(data)) + data


def edns(**how: int | bytes) -> bytes:
    """A query for an address with this OPT."""
    return message(counts=(1, 0, 0, 1), after=opt(**how))  # type: ignore[arg-type]  # names and types of `opt`


def query_cases() -> list[QueryCase]:
    """All packets, in a fixed order."""
    cases = [*_headers(), *_questions(), *_counts(), *_edns(), *_damaged()]
    assert len({case.name for case in cases}) == len(cases)
    return cases


def _headers() -> Iterator[QueryCase]:
    for name, flags in FLAGS.items():
        yield QueryCase(f"flags/{name}", message(flags=flags))
        yield QueryCase(f"flags-edns/{name}", message(flags=flags, counts=(1, 0, 0, 1), after=opt()))
    for opcode in range(1, 16):
        yield QueryCase(f"opcode/{opcode}", message(flags=RD | opcode << 11))
        yield QueryCase(f"opcode-edns/{opcode}", message(flags=RD | opcode << 11, counts=(1, 0, 0, 1), after=opt()))


def _questions() -> Iterator[QueryCase]:
    for qtype in TYPES:
        yield QueryCase(f"type/{qtype}", message(qtype=qtype))
    for qclass in CLASSES:
        yield QueryCase(f"class/{qclass}", message(qclass=qclass))
        yield QueryCase(f"class-edns/{qclass}", message(qclass=qclass, counts=(1, 0, 0, 1), after=opt()))
    longest = b"".join(bytes((length,)) + b"a" * length for length in (63, 63, 63, 44)) + ZONE
    names = {
        "root": b"\0",
        "upper": NAME.upper(),
        "mixed": b"\x03wWw\x04DiFf\x07eXample\x03nEt\0",
        "longest": longest,
        "too-long": b"\x03abc" + longest,
        "label-63": b"\x3f" + b"x" * 63 + ZONE,
        "label-64": b"\x40" + b"x" * 64 + ZONE,
        "label-bits-10": b"\x81xy" + ZONE,
        "zero-byte": b"\x03a\0b" + ZONE,
        "dot-in-label": b"\x03a.b" + ZONE,
        "space": b"\x03a b" + ZONE,
        "high-bytes": b"\x03\xff\xfe\x80" + ZONE,
        "underscore": b"\x04_tcp" + ZONE,
        "pointer-to-itself": b"\xc0\x0c",
        "pointer-to-header": b"\xc0\0",
        "pointer-forward": b"\xc0\x20",
        "many-labels": b"\x01a" * 100 + ZONE,
    }
    for name, qname in names.items():
        yield QueryCase(f"qname/{name}", message(qname))


def _counts() -> Iterator[QueryCase]:
    question = NAME + b"\0\1\0\1"
    a_record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
    yield QueryCase("counts/no-question", message()[:12].replace(b"\0\1\0\0\0\0\0\0", bytes(8)))
    yield QueryCase("counts/no-question-edns", struct.pack("!HHHHHH", 0x1234, RD, 0, 0, 0, 1) + opt())
    yield QueryCase("counts/no-question-cookie", struct.pack("!HHHHHH", 0x1234, RD, 0, 0, 0, 1) + opt(rdata=option(10, _COOKIE)))
    yield QueryCase("counts/question-uncounted", message(counts=(0, 0, 0, 0)))
    yield QueryCase("counts/two-questions", message(counts=(2, 0, 0, 0), after=question))
    yield QueryCase("counts/two-questions-one-there", message(counts=(2, 0, 0, 0)))
    for section, name in ((1, "answer"), (2, "authority"), (3, "additional")):
        counts = [1, 0, 0, 0]
        counts[section] = 1
        counted = (counts[0], counts[1], counts[2], counts[3])
        yield QueryCase(f"counts/{name}-record", message(counts=counted, after=a_record))
        yield QueryCase(f"counts/{name}-missing", message(counts=counted))
        yield QueryCase(f"counts/{name}-cut", message(counts=counted, after=a_record[:-2]))
        counts[section] = 65535
        yield QueryCase(f"counts/{name}-65535", message(counts=(counts[0], counts[1], counts[2], counts[3])))
    yield QueryCase("counts/opt-in-answer", message(counts=(1, 1, 0, 0), after=opt()))
    yield QueryCase("counts/opt-in-authority", message(counts=(1, 0, 1, 0), after=opt()))
    yield QueryCase("counts/record-before-opt", message(counts=(1, 0, 0, 2), after=a_record + opt()))
    yield QueryCase("counts/record-after-opt", message(counts=(1, 0, 0, 2), after=opt() + a_record))
    yield QueryCase("counts/two-opts", message(counts=(1, 0, 0, 2), after=opt() + opt()))
    for length in (1, 2, 3, 11, 12, 100, 400):
        yield QueryCase(f"surplus/plain-{length}", message(after=bytes(length)))
        yield QueryCase(f"surplus/edns-{length}", message(counts=(1, 0, 0, 1), after=opt() + b"\xaa" * length))
        yield QueryCase(f"surplus/tcp-{length}", message(after=bytes(length)), tcp=True)


def _edns() -> Iterator[QueryCase]:
    for size in (0, 1, 511, 512, 1232, 4096, 65535):
        yield QueryCase(f"edns/size-{size}", edns(size=size))
    for version in (1, 2, 100, 255):
        yield QueryCase(f"edns/version-{version}", edns(version=version))
    for flags in (0x8000, 0x4000, 0x0001, 0x7FFF, 0xFFFF):
        yield QueryCase(f"edns/flags-{flags:04x}", edns(flags=flags))
    yield QueryCase("edns/high-rcode", edns(high_rcode=7))
    yield QueryCase("edns/owner-not-root", edns(owner=b"\xc0\x0c"))
    yield QueryCase("edns/owner-pointer-to-root", edns(owner=b"\xc0" + bytes((12 + len(NAME) - 1,))))
    yield QueryCase("edns/version-1-opcode-2", message(flags=RD | 2 << 11, counts=(1, 0, 0, 1), after=opt(version=1)))
    for name, (code, data) in OPTIONS.items():
        yield QueryCase(f"option/{name}", edns(rdata=option(code, data)))
        if name.startswith(("keepalive", "cookie", "padding")):
            yield QueryCase(f"option-tcp/{name}", edns(rdata=option(code, data)), tcp=True)
    yield QueryCase("option/twice", edns(rdata=option(10, _COOKIE) * 2))
    yield QueryCase("option/header-cut", edns(rdata=b"\0\x0a\0"))
    yield QueryCase("option/longer-than-opt", edns(rdata=b"\0\x0a\0\x20" + _COOKIE))
    yield QueryCase("option/hundred", edns(rdata=option(65001, b"") * 100))


def _damaged() -> Iterator[QueryCase]:
    whole = edns(rdata=option(10, _COOKIE))
    for length in (0, 1, 2, 4, 8, 11, 12, 13, 16, 20, 30, 33, 35, 36, 38, 39, 40, 44, 45, 47, 50, 55, len(whole) - 1):
        yield QueryCase(f"cut/{length}", whole[:length])
    for length in (2, 11, 12, 20, 33, 38):
        yield QueryCase(f"cut-tcp/{length}", whole[:length], tcp=True)
