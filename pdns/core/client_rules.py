"""Clients that feeds have an answer for, whatever they ask: a policy number of their own leads to it."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final, NamedTuple

from pdns.config.value_types import PolicyMode
from pdns.core.given import GivenActions
from pdns.core.listing import ListedAction, Listings

MAX_CLIENT_RULES: Final = 15  # different ones; networks with one beyond are not listed
MARK_SHIFT: Final = 11
MARKS: Final = MAX_CLIENT_RULES << MARK_SHIFT  # the bits of a policy number that have the number of a rule, from 1 on
CLIENT_RULE: Final = "this client"  # in a decision, in place of what is listed


class ClientRule(NamedTuple):
    """What one feed answers some clients."""

    feed: str
    place: int  # of the feed in the configuration
    action: ListedAction


class ClientRules:
    """The rules of one blockset, and the networks that they are for."""

    def __init__(self, listings: Listings, given: GivenActions, mode: Callable[[int, str], PolicyMode]) -> None:
        """`mode` is what a feed may do for the clients of a policy, by its number."""
        self._mode = mode
        self.rules: list[ClientRule] = []
        self._networks: dict[tuple[int, int, int], dict[int, int]] = {}  # place, version, length -> network -> number
        numbers: dict[ClientRule, int] = {}
        for client in listings.clients:
            action = given.action(listings, client.feed, client.action)
            if action is None:
                continue
            rule = ClientRule(client.feed, given.place(client.feed), action)
            if rule not in numbers:
                if len(self.rules) == MAX_CLIENT_RULES:
                    continue
                self.rules.append(rule)
                numbers[rule] = len(self.rules)
            network = ip_network(client.network)
            at = rule.place, network.version, network.prefixlen
            self._networks.setdefault(at, {})[int(network.network_address)] = numbers[rule]
        self._order = sorted(self._networks, key=lambda at: (at[0], -at[2]))

    def __bool__(self) -> bool:
        return bool(self.rules)

    def mark(self, address: IPv4Address | IPv6Address, policy: int) -> int:
        """What is added to the policy number of a client: the first feed that blocks by that policy decides, else the first in
        monitor mode; of one feed the longest prefix. 0: none.
        """
        number, bits = int(address), address.max_prefixlen
        monitored, decided = 0, -1  # the place of the last feed that lists the address
        for at in self._order:
            place, version, length = at
            if version != address.version or place == decided:
                continue
            found = self._networks[at].get(number >> (bits - length) << (bits - length))
            if found is None:
                continue
            decided, mode = place, self._mode(policy, self.rules[found - 1].feed)
            if mode == "block":
                return found << MARK_SHIFT
            if mode == "monitor":
                monitored = monitored or found << MARK_SHIFT
        return monitored

    def of(self, policy: int) -> ClientRule | None:
        """The rule for clients with that policy number."""
        number = (policy & MARKS) >> MARK_SHIFT
        return self.rules[number - 1] if 0 < number <= len(self.rules) else None
