"""Rules for the load balancers that may name their clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from pdns.config.addresses import IPNetwork, parse_network
from pdns.config.shape import Report
from pdns.errors import InvalidAddress

MOST_BALANCERS: Final = 64  # each datagram's sender is compared with all of them


class BalancerRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report

    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...


def settle_balancers(texts: tuple[str, ...], key: str, around: BalancerRuleContext) -> tuple[str, ...]:
    """The networks of `key` in canonical spelling. Broken rules are reported."""
    networks = around.canonical(key, texts, _network)
    if len(networks) > MOST_BALANCERS:
        around.report.add(key, f"expected at most {MOST_BALANCERS} networks, got {len(networks)}")
    return networks


def _network(text: str) -> IPNetwork:
    network = parse_network(text)
    if not network.prefixlen:
        raise InvalidAddress("expected the networks of your load balancers: whoever is in them can claim to be any client")
    return network
