"""How many reports are accepted in an hour: from one network, and in all."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final

_HOUR_S: Final = 3600.0
_MOST_NETWORKS: Final = 4096
_IPV4_BITS: Final = 32
_IPV6_BITS: Final = 64


def network_of(client: str) -> str:
    """The network that counts as one client: an IPv4 address, the /64 of an IPv6 address; "" for no address."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return ""
    bits = _IPV4_BITS if address.version == 4 else _IPV6_BITS
    return str(ip_network(f"{address}/{bits}", strict=False).network_address)


class ReportLimits:
    """Token buckets. `now_s` is from a monotonic clock."""

    def __init__(self, per_hour: int, per_hour_per_client: int) -> None:
        self.configure(per_hour, per_hour_per_client)
        self._all = (float(per_hour), 0.0)  # what is left, and when
        self._networks: dict[str, tuple[float, float]] = {}  # the one that was used last at the end

    def configure(self, per_hour: int, per_hour_per_client: int) -> None:
        """Use other limits from now on."""
        self._per_hour, self._per_client = per_hour, per_hour_per_client

    def admits(self, network: str, now_s: float) -> bool:
        """Whether one more report is accepted from `network`, which then counts."""
        left = _refilled(self._networks.get(network, (float(self._per_client), now_s)), self._per_client, now_s)
        left_of_all = _refilled(self._all, self._per_hour, now_s)
        if left < 1.0 or left_of_all < 1.0:
            return False
        self._networks.pop(network, None)
        if len(self._networks) >= _MOST_NETWORKS:
            del self._networks[next(iter(self._networks))]
        self._networks[network] = left - 1.0, now_s
        self._all = left_of_all - 1.0, now_s
        return True


def _refilled(bucket: tuple[float, float], per_hour: int, now_s: float) -> float:
    left, since_s = bucket
    return min(float(per_hour), left + (now_s - since_s) * per_hour / _HOUR_S)
