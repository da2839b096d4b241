"""Which queries are copied for taps: every n-th, and all of some tenants. The specification of the kernel."""

# kernel: pdns/fast/query_tap.pyx

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pdns.core.client_identity import ClientView, Views, identity, packed
from pdns.core.query import Query
from pdns.telemetry.ring import Ring
from pdns.telemetry.tap_ring import SAMPLED, TAPPED, encoded
from pdns.wire import protocol as p
from pdns.wire.message import HEADER
from pdns.wire.transport import Transport

_DO: Final = 0x8000


class ReferenceQueryTap:
    """The only writer of a ring."""

    def __init__(self, ring: Ring, key: bytes, tenant_slot: Callable[[str], int]) -> None:
        """`key` makes pseudonyms. `tenant_slot` gives a slot of a series whose first label is the tenant."""
        self._ring, self._key, self._tenant_slot = ring, key, tenant_slot
        self._views: Views = lambda _tenant: ClientView()
        self._tapped: frozenset[str] = frozenset()
        self._every = self._left = 0

    def configure(self, views: Views, tapped: frozenset[str], every: int, first: int) -> None:
        """Copy all queries of `tapped` tenants, and of all queries number `first` from now and then every `every`-th; 0: none.

        Clients are recorded by `views`.
        """
        self._views, self._tapped, self._every, self._left = views, tapped, every, first if every else 0

    def see(self, query: Query, tenant: str, address: str, transport: Transport, now: float) -> None:
        """A well-formed query came. `now` is of `pdns.clock.boottime_s`."""
        flags = TAPPED if tenant in self._tapped else 0
        if self._every:
            self._left -= 1
            if self._left == 0:
                self._left = self._every
                flags |= SAMPLED
        if flags:
            client = identity(self._views(tenant), self._key, tenant, packed(address))
            self._ring.write(encoded(now, self._tenant_slot(tenant), flags, transport, client, plain_message(query)))


def plain_message(query: Query) -> bytes:
    """The query in wire form, without EDNS options."""
    opt = b""
    if query.edns:
        opt = b"\0" + p.OPT.to_bytes(2) + query.udp_bytes.to_bytes(2) + (_DO if query.do else 0).to_bytes(4) + bytes(2)
    return HEADER.pack(query.id, query.flags, 1, 0, 0, int(query.edns)) + query.question + opt
