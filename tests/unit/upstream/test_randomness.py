"""Ids, ports and choices are unpredictable."""

from __future__ import annotations

from collections import Counter

from pdns.upstream.randomness import Randomness


def test_u16_covers_its_range_evenly() -> None:
    """Of 64,000 draws each sixteenth of the range gets its share, and few values come twice as often as expected."""
    random = Randomness()
    draws = [random.u16() for _ in range(64_000)]
    assert all(0 <= draw < 65536 for draw in draws)
    shares = Counter(draw >> 12 for draw in draws)
    assert len(shares) == 16
    assert all(3600 < share < 4400 for share in shares.values())  # 4000, and more than six standard deviations
    assert 40_000 < len(set(draws)) < 42_000  # 65536 (1 - 1/e^0.977): neither repeated nor spread by design


def test_ports_leave_out_the_privileged_ones() -> None:
    """Ports are 1024..65535, the low ones no likelier than the others."""
    random = Randomness()
    ports = [random.port() for _ in range(50_000)]
    assert min(ports) >= 1024
    assert max(ports) <= 65535
    low = sum(port < 2048 for port in ports)
    assert 600 < low < 980  # 794 expected; twice that if 0..1023 were folded onto them


def test_below_reaches_every_value() -> None:
    """below(5) gives 0 to 4."""
    random = Randomness()
    assert {random.below(5) for _ in range(1000)} == set(range(5))


def test_bytes_are_fresh_each_time() -> None:
    """Pieces of any length up to a whole batch are never the same twice."""
    random = Randomness()
    pieces = [random.data(16) for _ in range(2000)]
    assert {len(piece) for piece in pieces} == {16}
    assert len(set(pieces)) == 2000
    assert len(random.data(4096)) == 4096
    assert random.data(0) == b""
