"""Where names stand in RDATA: the one table of it, for the reader in Python and for the compiled one.

It has the types whose names may be compressed (RFC 3597, 4, and the older ones of the IANA registry), and those whose names
must not be, but that some servers compress all the same. RDATA of other types has no names, or must not compress them.
"""

from __future__ import annotations

from typing import NamedTuple

from pdns.errors import WireError
from pdns.wire import protocol as p

_A6, _IPSECKEY, _HIP, _AMTRELAY = 38, 45, 55, 260
_TO_THE_END = -1
_NAME_AS_GATEWAY = 3  # gateway type (RFC 4025, 2.3), relay type (RFC 8777, 4.2.3)


class Shape(NamedTuple):
    """RDATA of one type: fixed fields, then character strings, then names, then anything."""

    fixed: int  # bytes
    strings: int
    names: int
    folded: bool  # a signature covers the names in lower case (RFC 4034, 6.2; RFC 6840, 5.1): their letter case is free
    exact: bool  # nothing follows


def _shape(fixed: int, names: int, *, strings: int = 0, folded: bool = True, exact: bool = False) -> Shape:
    return Shape(fixed, strings, names, folded, exact)


SHAPES = {
    p.NS: _shape(0, 1, exact=True),
    3: _shape(0, 1),  # MD
    4: _shape(0, 1),  # MF
    p.CNAME: _shape(0, 1, exact=True),
    p.SOA: _shape(0, 2),
    7: _shape(0, 1),  # MB
    8: _shape(0, 1),  # MG
    9: _shape(0, 1),  # MR
    p.PTR: _shape(0, 1, exact=True),
    14: _shape(0, 2),  # MINFO
    p.MX: _shape(2, 1, exact=True),
    17: _shape(0, 2),  # RP
    18: _shape(2, 1),  # AFSDB
    21: _shape(2, 1),  # RT
    23: _shape(0, 1, folded=False),  # NSAP-PTR
    24: _shape(18, 1),  # SIG
    26: _shape(2, 2),  # PX
    30: _shape(0, 1),  # NXT
    p.SRV: _shape(6, 1),
    p.NAPTR: _shape(4, 1, strings=3, exact=True),
    36: _shape(2, 1),  # KX
    p.DNAME: _shape(0, 1, exact=True),
    p.RRSIG: _shape(18, 1),
    p.NSEC: _shape(0, 1, folded=False),
    58: _shape(0, 2, folded=False),  # TALINK
    p.SVCB: _shape(2, 1, folded=False),
    p.HTTPS: _shape(2, 1, folded=False),
    66: _shape(5, 1, folded=False),  # DSYNC
    107: _shape(2, 1, folded=False),  # LP
}
VARIABLE = frozenset((_A6, _IPSECKEY, _HIP, _AMTRELAY))  # whether and where there are names depends on the RDATA


def has_names(rtype: int) -> bool:
    """Whether there may be names in RDATA of this type."""
    return rtype in SHAPES or rtype in VARIABLE


def names_of(wire: bytes, rtype: int, at: int, end: int) -> tuple[int, int]:
    """Where the first name stands in the RDATA between `at` and `end`, and how many follow one another; -1: up to the end.

    Raises `WireError` where the RDATA is cut short.
    """
    shape = SHAPES.get(rtype)
    if shape is not None:
        first, count = at + shape.fixed, shape.names
        for _ in range(shape.strings):
            first += 1 + _byte(wire, first, end)
    elif rtype == _A6:  # RFC 2874, 3.1.1: a suffix of as many bits as the prefix leaves
        prefix_bits = _byte(wire, at, end)
        if prefix_bits > 128:
            raise WireError("prefix of over 128 bits")
        first, count = at + 1 + (128 - prefix_bits + 7) // 8, int(prefix_bits > 0)
    elif rtype == _IPSECKEY:
        first, count = at + 3, int(_byte(wire, at + 1, end) == _NAME_AS_GATEWAY)
    elif rtype == _AMTRELAY:
        first, count = at + 2, int(_byte(wire, at + 1, end) & 0x7F == _NAME_AS_GATEWAY)
    elif rtype == _HIP:  # RFC 8005, 5: lengths of HIT and key, then these
        first = at + 4 + _byte(wire, at, end) + (_byte(wire, at + 2, end) << 8 | _byte(wire, at + 3, end))
        count = _TO_THE_END
    else:
        first, count = at, 0
    if first > end:
        raise WireError("RDATA cut short")
    return first, count


def _byte(wire: bytes, at: int, end: int) -> int:
    if at >= end:
        raise WireError("RDATA cut short")
    return wire[at]
