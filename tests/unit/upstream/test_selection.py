"""Which upstream is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import cast

import pytest

from pdns.config.value_types import Strategy
from pdns.upstream import selection
from pdns.upstream.exchange import Attempt, Exchange, UpstreamQuestion
from pdns.upstream.group import UpstreamGroup
from pdns.upstream.randomness import Randomness
from pdns.upstream.server import UpstreamServer

RANDOM = Randomness()


@pytest.fixture
def servers() -> list[UpstreamServer]:
    """Three upstreams that take 10, 20 and 30 ms."""
    made = []
    for number in (1, 2, 3):
        name = f"udp://192.0.2.{number}"
        server = UpstreamServer(name, case_randomisation=True)
        server.health.sampled(number / 100)
        server.usefulness.good()
        made.append(server)
    return made


def exchange(*asked: UpstreamServer, of: Sequence[UpstreamServer], strategy: Strategy = "fastest") -> Exchange:
    """A question to the group `of`, which these of its servers were asked."""
    group = UpstreamGroup("default", of, strategy, 1.0)
    made = Exchange(UpstreamQuestion(b"\0", 1, 1, do=False, cd=False), lambda _outcome: None, group, 0.0, 1.0, 4)
    made.attempts = [Attempt(made, server, b"", 0.0, "", edns=True, exact=False) for server in asked]
    return made


def down(*servers: UpstreamServer) -> None:
    for server in servers:
        for now in (1.0, 2.0, 3.0):
            server.health.failed(0.0, now)


def test_the_quickest_gets_most_and_the_others_a_little(servers: list[UpstreamServer]) -> None:
    """Of 20,000 questions about 2 % are spread over all; the rest go to the quickest."""
    chosen = Counter(selection.first(servers, RANDOM, 0.0).name for _ in range(20_000))
    assert 19_600 < chosen["udp://192.0.2.1"] < 19_860  # 0.98 + 0.02 / 3 of them: 19,733
    assert 60 < chosen["udp://192.0.2.2"] < 210  # 133
    assert 60 < chosen["udp://192.0.2.3"] < 210


def test_those_that_are_down_are_left_alone(servers: list[UpstreamServer]) -> None:
    """While another is up no question goes to one that is down."""
    down(servers[0], servers[2])
    assert {selection.first(servers, RANDOM, 0.0).name for _ in range(2000)} == {"udp://192.0.2.2"}


def test_when_all_are_down_the_least_bad_is_asked(servers: list[UpstreamServer]) -> None:
    """The one with the fewest failures, so that they take turns and any of them can be found to be back."""
    down(*servers)
    asked = []
    for now in range(4, 10):
        server = selection.first(servers, RANDOM, 0.0)
        asked.append(server)
        server.health.failed(0.0, now)
    assert asked == servers * 2


def test_an_unknown_upstream_is_tried_at_a_bounded_rate(servers: list[UpstreamServer]) -> None:
    """One that never answered gets one question at once, and then one after 1, 2, 4 and every 5 s; the others get the rest."""
    servers[2].health.srtt_s = None
    servers[2].usefulness.reset()
    tried = [now / 10 for now in range(10, 300) if selection.explore(servers, now / 10) is servers[2]]
    assert tried == [1, 2, 4, 8, 13, 18, 23, 28]
    assert Counter(selection.first(servers, RANDOM, 0.0) for _ in range(500)).most_common(1)[0][0] is servers[0]


def test_at_first_all_are_tried(servers: list[UpstreamServer]) -> None:
    """The first questions of all go to one upstream each, so that none is waited for by many."""
    for server in servers:
        server.usefulness.reset()
    assert [selection.explore(servers, 1.0) for _ in range(4)] == [*servers, None]


def spoil(server: UpstreamServer) -> None:
    """Make it useless."""
    for number in range(3):
        server.usefulness.bad("refused", bytes((number,)), proven=True)
    assert not server.usefulness.useful


def test_the_useless_come_last_and_are_tried_again(servers: list[UpstreamServer]) -> None:
    """One that refuses is chosen for no question while another is useful, but for one now and then; when it answers, sooner."""
    spoil(servers[0])
    assert servers[0] not in {selection.first(servers, RANDOM, 10.0) for _ in range(2000)}
    assert [selection.explore(servers, now) for now in (10.0, 10.5, 11.0, 12.0, 13.0)] == [
        servers[0],
        None,
        servers[0],
        None,
        servers[0],
    ]
    servers[0].usefulness.good()
    assert selection.explore(servers, 13.2) is servers[0]


def test_one_that_is_down_is_the_last_resort(servers: list[UpstreamServer]) -> None:
    """When none that is up has answered well of late, one that is down is asked too; else it is left alone."""
    first, second, third = servers
    down(third)
    assert selection.untried(exchange(first, second, of=servers), 0.0) is None
    spoil(first)
    assert selection.untried(exchange(first, second, of=servers), 0.0) is None
    spoil(second)
    assert selection.untried(exchange(first, second, of=servers), 0.0) is third


def test_retransmissions_go_round(servers: list[UpstreamServer]) -> None:
    """First to those not asked yet, the quickest first; then to the one asked longest ago."""
    first, second, third = servers
    assert selection.again(exchange(first, of=servers), 0.0) is second
    assert selection.again(exchange(first, second, of=servers), 0.0) is third
    assert selection.again(exchange(first, second, third, of=servers), 0.0) is first
    assert selection.again(exchange(second, third, first, of=servers), 0.0) is second
    assert selection.again(exchange(first, of=[first]), 0.0) is first


def test_retransmissions_avoid_the_dead_and_those_that_said_no(servers: list[UpstreamServer]) -> None:
    """A server that is down is asked only when there is no other. One that answered with a failure is not asked again."""
    first, second, third = servers
    down(second)
    assert selection.again(exchange(first, of=servers), 0.0) is third
    down(first, third)
    assert selection.again(exchange(first, of=servers), 0.0) in (second, third)
    refused = exchange(first, of=[first])
    refused.bad.append((first, "refused", cast("object", None)))  # type: ignore[arg-type]  # its message does not matter
    assert selection.again(refused, 0.0) is None


def test_a_probe_goes_nowhere_else(servers: list[UpstreamServer]) -> None:
    """What asks after one upstream is not sent to another."""
    probe = exchange(servers[0], of=servers)
    probe.pinned = servers[0]
    assert selection.again(probe, 0.0) is None
    assert selection.untried(probe, 0.0) is None


def test_an_order_that_is_given_is_kept(servers: list[UpstreamServer]) -> None:
    """The first that is up and useful is asked, however slow; one before it that is useless is tried now and then."""
    slow, quick, third = servers[2], servers[0], servers[1]
    ordered = [slow, quick, third]
    assert {selection.first(ordered, RANDOM, 10.0, ordered=True) for _ in range(2000)} == {slow}
    assert selection.untried(exchange(slow, of=ordered, strategy="ordered"), 10.0) is quick
    assert selection.again(exchange(slow, quick, of=ordered, strategy="ordered"), 10.0) is third
    spoil(slow)
    assert {selection.first(ordered, RANDOM, 10.0, ordered=True) for _ in range(2000)} == {quick}
    assert selection.explore(ordered, 10.0, ordered=True) is slow
    assert selection.explore(ordered, 10.5, ordered=True) is None
    down(slow)
    assert selection.explore(ordered, 20.0, ordered=True) is None
    assert selection.first(ordered, RANDOM, 20.0, ordered=True) is quick
    down(quick, third)
    assert selection.first(ordered, RANDOM, 20.0, ordered=True) in ordered


def test_those_behind_a_good_one_are_not_tried_out(servers: list[UpstreamServer]) -> None:
    """In a given order nothing is spent on finding out how those behind the first do."""
    fresh = UpstreamServer("udp://192.0.2.9", case_randomisation=True)
    assert selection.explore([servers[0], fresh], 10.0, ordered=True) is None
    assert selection.explore([servers[0], fresh], 10.0) is fresh
