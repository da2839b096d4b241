from collections.abc import Callable

from pdns.core.in_flight import Flight as AnyFlight
from pdns.core.in_flight import Waiter
from pdns.core.ruleset import RuleSet
from pdns.fast.cache import AnswerCache
from pdns.fast.fast_path import FastPath
from pdns.fast.in_flight import Flight, InFlight
from pdns.fast.tunnels import TunnelMeter
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
        tunnels: TunnelMeter,
        stats: Stats,
        punt: Callable[[Flight], tuple[UpstreamQuestion, Done]],
        refuse: Callable[[Waiter, str, float], None],
    ) -> None: ...
    def adopt(self, rules: RuleSet) -> None: ...
    def ask(
        self, queries: list[Datagram], pool: UdpPool, forwarder: Forwarder, exact: bool, now: float, due_s: float
    ) -> list[Datagram]: ...
    def shed(self, flight: AnyFlight, why: str, now: float) -> None: ...
