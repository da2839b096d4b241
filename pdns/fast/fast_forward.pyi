from collections.abc import Callable

from pdns.blockset.reader import Blockset
from pdns.config.schema import Cache
from pdns.core.in_flight import Flight as AnyFlight
from pdns.core.in_flight import Waiter
from pdns.core.listing import AddressListing
from pdns.fast.cache import AnswerCache
from pdns.fast.fast_path import FastPath
from pdns.fast.in_flight import Flight, InFlight
from pdns.fast.udp import Datagram
from pdns.telemetry.stats import Stats
from pdns.upstream.exchange import Done, UpstreamQuestion
from pdns.upstream.forwarder import Forwarder
from pdns.upstream.udp import UdpPool

class FastForward:
    def __init__(
        self,
        cache: AnswerCache,
        fast_path: FastPath,
        in_flight: InFlight,
        stats: Stats,
        punt: Callable[[Flight], tuple[UpstreamQuestion, Done]],
        refuse: Callable[[Waiter, str, float], None],
    ) -> None: ...
    def configure(self, cache: Cache) -> None: ...
    def judge_by(
        self,
        blockset: Blockset | None,
        listings: Callable[[Blockset, bytes], tuple[AddressListing, ...]],
        local_filter_keys: frozenset[bytes] = ...,
    ) -> None: ...
    def ask(
        self, queries: list[Datagram], pool: UdpPool, forwarder: Forwarder, exact: bool, now: float, due_s: float
    ) -> list[Datagram]: ...
    def shed(self, flight: AnyFlight, why: str, now: float) -> None: ...
