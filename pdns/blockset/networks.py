"""The networks of a blockset: sorted numbers in `nets.bin`, searched where they are mapped."""

from __future__ import annotations

import ipaddress
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec


class Run(msgspec.Struct, frozen=True):
    """The networks of one prefix length in `nets.bin`: columns of sorted numbers, then a record for each."""

    address_bytes: Literal[4, 16]
    prefix_bits: Annotated[int, msgspec.Meta(ge=0, le=128)]
    count: Annotated[int, msgspec.Meta(ge=1)]
    offset: Annotated[int, msgspec.Meta(ge=0)]

    @property
    def end(self) -> int:
        return self.offset + self.count * (self.address_bytes + 4)


class Networks:
    """The networks of one prefix length, searched where they are mapped."""

    __slots__ = ("_high", "_host_bits", "_low", "_records", "address_bytes", "count", "prefix_bits")

    def __init__(self, run: Run, nets: memoryview) -> None:
        self.address_bytes, self.prefix_bits, self.count = run.address_bytes, run.prefix_bits, run.count
        self._host_bits = 8 * run.address_bytes - run.prefix_bits
        columns_end = run.end - 4 * run.count
        if run.address_bytes == 4:
            self._high = None
            self._low: Sequence[int] = nets[run.offset : columns_end].cast("I")
        else:
            middle = run.offset + 8 * run.count
            self._high = nets[run.offset : middle].cast("Q")
            self._low = nets[middle:columns_end].cast("Q")
        self._records = nets[columns_end : run.end].cast("I")

    def find(self, address: int) -> int | None:
        """The record of the network that holds `address`; None when there is none."""
        at = self.at(address)
        return None if at is None else self._records[at]

    def at(self, address: int) -> int | None:
        """The place of the network that holds `address`; None when there is none."""
        wanted = address >> self._host_bits << self._host_bits
        low, first, last = self._low, 0, len(self._low)
        if self._high is not None:
            top = wanted >> 64
            wanted &= 0xFFFF_FFFF_FFFF_FFFF
            first = bisect_left(self._high, top)
            last = bisect_right(self._high, top, first)
        at = bisect_left(low, wanted, first, last)
        return at if at < last and low[at] == wanted else None

    def listed(self) -> Iterator[tuple[bytes, int]]:
        """Every network, as the bytes of its address and one of its prefix length; and its record."""
        for at, record in enumerate(self._records):
            number = self._low[at] | (self._high[at] << 64 if self._high is not None else 0)
            yield number.to_bytes(self.address_bytes) + bytes((self.prefix_bits,)), record

    def text(self, address: int) -> str:
        kind = ipaddress.IPv4Address if self.address_bytes == 4 else ipaddress.IPv6Address
        return f"{kind(address >> self._host_bits << self._host_bits)}/{8 * self.address_bytes - self._host_bits}"
