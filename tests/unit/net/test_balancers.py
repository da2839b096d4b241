"""Load balancers are the peers in the networks, of both versions, and no others."""

from __future__ import annotations

from typing import Any

import pytest

from pdns.fast import proxy_header
from pdns.net import balancers

both = pytest.mark.parametrize("twin", [balancers.Balancers, proxy_header.Balancers], ids=["python", "compiled"])


@both
def test_networks(twin: Any) -> None:
    """A network has its first and its last address, and an address alone has one."""
    some = twin(("10.0.0.8/29", "192.0.2.1/32", "2001:db8::/33", "::/80"))
    for address in ("10.0.0.8", "10.0.0.15", "192.0.2.1", "2001:db8:7fff::1", "::1"):
        assert address in some
    for address in ("10.0.0.7", "10.0.0.16", "192.0.2.2", "2001:db8:8000::1", "fe80::1", "0.0.0.1"):
        assert address not in some


@both
def test_none(twin: Any) -> None:
    """Without networks there are no load balancers."""
    assert "127.0.0.1" not in twin(())
    assert "::1" not in twin(())


def test_there_are_bounds() -> None:
    """The kernel compares with at most so many as the configuration may have."""
    networks = [f"10.0.{number}.0/24" for number in range(65)]
    assert "10.0.63.9" in proxy_header.Balancers(networks[:64])
    with pytest.raises(ValueError, match="64"):
        proxy_header.Balancers(networks)
    assert balancers.Balancers(networks)
    assert not balancers.Balancers()
