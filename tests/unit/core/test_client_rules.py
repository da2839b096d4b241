"""Clients that feeds list: which rule is theirs, and what they get."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import dns.message
import pytest

from pdns.core.client_rules import MARK_SHIFT, MAX_CLIENT_RULES, ClientRules
from pdns.core.given import GivenActions
from pdns.core.outcome import Answer, Forward
from tests.rpz import compiled
from tests.unit.core.conftest import Standstill, make_config
from tests.wire import query

FIRST = """
24.0.2.0.192.rpz-client-ip CNAME .
32.1.2.0.192.rpz-client-ip CNAME rpz-passthru.
32.2.2.0.192.rpz-client-ip CNAME garden.example.
32.3.2.0.192.rpz-client-ip CNAME rpz-drop.
32.4.2.0.192.rpz-client-ip CNAME rpz-tcp-only.
32.5.2.0.192.rpz-client-ip A 198.51.100.1
48.zz.db8.2001.rpz-client-ip CNAME *.
nx.example A 198.51.100.2
"""
SECOND = "24.0.2.0.192.rpz-client-ip CNAME *.\n24.0.3.0.192.rpz-client-ip CNAME *.\nnx.example CNAME *.\nsecond.example CNAME .\n"
ZERO = "zero.example CNAME *.\npass.example CNAME rpz-passthru.\n"
FEEDS: list[dict[str, Any]] = [
    {"name": name, "url": "file:///zone", "format": "rpz", "rpz_action": "given"} for name in ("zero", "first", "second")
]
BLOCKSET = compiled({"zero": ZERO, "first": FIRST, "second": SECOND})
EVERYBODY = {"networks": ["0.0.0.0/0", "::/0"]}


def said(address: str, name: str = "clean.example", *, stream: bool = False, **sections: Any) -> str:
    """What a client gets, in words."""
    here = Standstill(BLOCKSET, feed=FEEDS, access=EVERYBODY, **sections)
    asked = query(name)
    asked.stream = stream
    outcome = here.first.handle(asked, here.first.client(address), address, 1000.0)
    if isinstance(outcome, Forward):
        return f"asks for {outcome.asked_name.decode()}"
    assert isinstance(outcome, Answer)
    if outcome.entry.silent:
        return "nothing"
    message = dns.message.from_wire(outcome.entry.render(asked, 1000.0, 1232))
    return f"{message.rcode().to_text(message.rcode())} {' '.join(str(rrset[0]) for rrset in message.answer)}".strip()


@pytest.mark.parametrize(
    ("address", "name", "expected"),
    [
        ("192.0.2.9", "clean.example", "NXDOMAIN"),
        ("192.0.2.9", "nx.example", "NXDOMAIN"),
        ("192.0.2.9", "zero.example", "NOERROR"),
        ("192.0.2.9", "pass.example", "asks for \4pass\7example\0"),
        ("192.0.2.1", "nx.example", "asks for \2nx\7example\0"),
        ("192.0.2.1", "second.example", "asks for \6second\7example\0"),
        ("192.0.2.1", "zero.example", "NOERROR"),
        ("192.0.2.2", "clean.example", "asks for \6garden\7example\0"),
        ("192.0.2.3", "clean.example", "nothing"),
        ("192.0.2.5", "clean.example", "NOERROR 198.51.100.1"),
        ("192.0.3.9", "clean.example", "NOERROR"),
        ("192.0.3.9", "nx.example", "NOERROR 198.51.100.2"),
        ("2001:db8::1", "clean.example", "NOERROR"),
        ("192.0.4.1", "clean.example", "asks for \5clean\7example\0"),
        ("192.0.4.1", "second.example", "NXDOMAIN"),
    ],
)
def test_answers(address: str, name: str, expected: str) -> None:
    """Names of feeds before the one that lists the client come first; then the client's answer; then nothing of later feeds."""
    assert said(address, name) == expected


def test_over_tcp_alone() -> None:
    """Such a client gets its answers over TCP."""
    assert said("192.0.2.4") == "NOERROR"
    assert said("192.0.2.4", stream=True) == "asks for \5clean\7example\0"


def test_entries_come_before_feeds() -> None:
    """A name that an administrator allows, or blocks, is decided by that."""
    assert said("192.0.2.9", block={"allow": ["clean.example"]}) == "asks for \5clean\7example\0"


def test_listed_clients_share_no_answers_with_others() -> None:
    """Each rule has a policy number of its own, and so its own place in the cache."""
    here = Standstill(BLOCKSET, feed=FEEDS, access=EVERYBODY)
    numbers = {address: here.first.client(address).policy for address in ("192.0.2.9", "192.0.2.1", "192.0.2.3", "192.0.4.1")}
    assert len(set(numbers.values())) == 4
    assert numbers["192.0.4.1"] == 0
    assert here.answer("clean.example", address="192.0.2.9").source == "blocked"
    assert isinstance(here.ask("clean.example", address="192.0.4.1"), Forward)
    assert here.answer("clean.example", address="192.0.2.9", now=1001.0).entry.stored_s == 1000.0


@pytest.mark.parametrize("rpz_action", ["policy", "monitor"])
def test_feeds_that_do_not_act(rpz_action: str) -> None:
    """A feed that decides by the policy says nothing of clients; one in monitor mode only monitors."""
    first = {"rpz_action": "policy"} if rpz_action == "policy" else {"mode": "monitor"}
    feeds = [FEEDS[0], {**FEEDS[1], **first}]
    outcome = Standstill(BLOCKSET, feed=feeds, access=EVERYBODY).ask("clean.example", address="192.0.2.9")
    assert isinstance(outcome, Forward)
    entry = Standstill(BLOCKSET, feed=[*feeds, FEEDS[2]], access=EVERYBODY).answer("clean.example", address="192.0.2.9").entry
    assert entry.verdict is not None
    assert entry.verdict.feed == "second"


@pytest.mark.parametrize("mode", ["monitor", "off", "block"])
def test_a_feed_that_does_not_block_stops_no_other(mode: str) -> None:
    """The first feed that blocks for the tenant answers a client that two feeds list."""
    blockset = compiled({"zero": "32.9.2.0.192.rpz-client-ip CNAME *.\n", "first": FIRST, "second": SECOND})
    policies = [{"name": "trial", "feeds": {"zero": mode}}]
    tenants = [{"name": "north", "networks": ["192.0.2.0/24"], "policy": "trial"}]
    here = Standstill(blockset, feed=FEEDS, policy=policies, tenant=tenants)
    entry = here.answer("clean.example", address="192.0.2.9").entry
    assert entry.verdict is not None
    assert (entry.verdict.feed, entry.rcode) == (("zero", 0) if mode == "block" else ("first", 3))


def test_rules_are_bounded() -> None:
    """Networks with a rule beyond the bound are not listed."""
    zone = "".join(f"32.{number}.2.0.192.rpz-client-ip A 198.51.100.{number}\n" for number in range(MAX_CLIENT_RULES + 3))
    rules = ClientRules(compiled({"zero": zone}), GivenActions(make_config(feed=FEEDS)), lambda _policy, _feed: "block")
    marks = [rules.mark(ip_address(f"192.0.2.{number}"), 0) >> MARK_SHIFT for number in range(MAX_CLIENT_RULES + 3)]
    assert sorted(marks) == [0, 0, 0, *range(1, MAX_CLIENT_RULES + 1)]
