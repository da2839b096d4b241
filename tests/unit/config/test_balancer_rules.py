"""Which load balancers may be believed: networks of a size that somebody can mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.config.balancer_rules import MOST_BALANCERS
from pdns.fast.proxy_header import Balancers
from tests.unit.config.loading import UPSTREAM, errors, loaded, make_home


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    return tmp_path


def section(*networks: str) -> str:
    return f"{UPSTREAM}\n[server]\nproxy_protocol_from = {list(networks)!r}\n"


def test_networks_have_one_spelling() -> None:
    """An address is a network of its own; what is said twice is there once; without any, the feature is off."""
    config = loaded(section("10.0.0.10", "10.0.0.10/32", "2001:DB8::/64", "::1"))
    assert config.server.proxy_protocol_from == ("10.0.0.10/32", "2001:db8::/64", "::1/128")
    assert loaded(UPSTREAM).server.proxy_protocol_from == ()


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("0.0.0.0/0", "expected the networks of your load balancers: whoever is in them can claim to be any client"),
        ("::/0", "expected the networks of your load balancers: whoever is in them can claim to be any client"),
        ("10.0.0.1/8", "expected no bits beyond /8, as in 10.0.0.0/8"),
        ("::ffff:10.0.0.10/128", "expected it as an IPv4 network: 10.0.0.10/32"),
        ("balancer.example", "expected a network such as 192.0.2.0/24 or 2001:db8::/32"),
    ],
)
def test_what_is_no_network_of_load_balancers(network: str, reason: str) -> None:
    """Neither the whole internet nor a name, which is not looked up."""
    (error,) = errors(section("127.0.0.1", network))
    assert error == f'pdns.toml: server.proxy_protocol_from[1]: {reason}, got "{network}"'


def test_there_are_not_too_many() -> None:
    """As many as the kernel compares with, and not one more."""
    networks = [f"10.0.{number}.0/24" for number in range(MOST_BALANCERS + 1)]
    assert Balancers(loaded(section(*networks[1:])).server.proxy_protocol_from)
    (error,) = errors(section(*networks))
    assert error == "pdns.toml: server.proxy_protocol_from: expected at most 64 networks, got 65"
