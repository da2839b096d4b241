"""How many reports are accepted: from one network, and in all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.page.report_limits import ReportLimits, network_of


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("192.0.2.7", "192.0.2.7"), ("2001:db8:1:2::7", "2001:db8:1:2::"), ("2001:db8:1:2:ffff::1", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"), ("", ""), ("x", ""),
    ],
)  # fmt: skip
def test_network_of(client: str, network: str) -> None:
    """An IPv4 address counts alone, an IPv6 address with its /64."""
    assert network_of(client) == network


def test_a_network_has_its_limit() -> None:
    """After its share, a network waits; another one does not. The share comes back evenly over the hour."""
    limits = ReportLimits(per_hour=100, per_hour_per_client=2)
    assert [limits.admits("a", 0.0) for _ in range(3)] == [True, True, False]
    assert limits.admits("b", 0.0)
    assert not limits.admits("a", 1700.0)
    assert limits.admits("a", 1801.0)


def test_all_networks_have_a_limit() -> None:
    """The limit in all holds over any number of networks, and what was refused costs no network its share."""
    limits = ReportLimits(per_hour=3, per_hour_per_client=2)
    assert [limits.admits(f"n{number}", 0.0) for number in range(5)] == [True, True, True, False, False]
    assert [limits.admits("n4", 3600.0) for _ in range(3)] == [True, True, False]


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 100)), max_size=300))
def test_bounds(steps: list[tuple[int, float]]) -> None:
    """However they come, no network gets more than its share and what an hour gives back, and neither do all."""
    limits = ReportLimits(per_hour=10, per_hour_per_client=4)
    now_s, admitted, of_one = 0.0, 0, 0
    for network, pause_s in steps:
        now_s += pause_s
        if limits.admits(str(network), now_s):
            admitted += 1
            of_one += network == 0
    assert admitted <= 10 + now_s * 10 / 3600 + 1e-6
    assert of_one <= 4 + now_s * 4 / 3600 + 1e-6
