"""The health of one upstream, with time as an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.upstream.health import MAX_RTO_S, MIN_RTO_S, Health


def test_smoothing_follows_rfc_6298() -> None:
    """SRTT and RTTVAR move by an eighth and a quarter; the RTO is SRTT + 4 RTTVAR."""
    health = Health()
    health.sampled(0.2)
    assert health.srtt_s == 0.2
    assert health.rto_s == pytest.approx(0.2 + 4 * 0.1)
    health.sampled(0.4)
    assert health.srtt_s == pytest.approx(0.225)
    assert health.rto_s == pytest.approx(0.225 + 4 * (0.1 + (0.2 - 0.1) / 4))


@given(st.lists(st.floats(0, 10)))
def test_the_rto_stays_within_bounds(samples: list[float]) -> None:
    """Whatever the round-trip times, the wait is neither a storm nor a stall."""
    health = Health()
    for sample in samples:
        health.sampled(sample)
    assert MIN_RTO_S <= health.rto_s <= MAX_RTO_S


def fail(health: Health, now: float, *, probe: bool = False) -> bool:
    """A failure of what was sent a second ago."""
    return health.failed(now - 1, now, probe=probe)


def down(now: float) -> Health:
    """One that has just gone down."""
    health = Health()
    for failed_s in (now - 2, now - 1, now):
        fail(health, failed_s)
    assert not health.up
    return health


def test_three_failures_in_a_row_bring_it_down() -> None:
    """Two failures and an answer leave it up; three without one do not."""
    health = Health()
    assert [fail(health, 1), fail(health, 2), health.answered(2.5), fail(health, 4), fail(health, 5)] == [False] * 5
    assert [health.up, fail(health, 6), health.up] == [True, True, False]
    assert not fail(health, 7), "it is down already"


def test_a_domain_fails_once() -> None:
    """Many names of one domain that get no answer are one failure, until something is answered; names of three are three."""
    health = Health()
    for now in range(1, 20):
        health.failed(now - 1, now, domain=b"slow")
    assert (health.up, health.failures) == (True, 1)
    assert [health.failed(now - 1, now, domain=b"d%d" % now) for now in (20, 21)] == [False, True]
    assert health.answered(22)
    assert not health.failed(22.5, 23, domain=b"slow")
    assert health.failures == 1


def test_what_could_not_be_reached_fails_with_every_question() -> None:
    """Failures without a domain count each, also after one that has been silent for a domain."""
    health = Health()
    health.failed(0, 1, domain=b"slow")
    assert [health.failed(now - 1, now) for now in (2, 3)] == [False, True]
    health = Health()
    assert [health.failed(now - 1, now) for now in (1, 2, 3)] == [False, False, True]


def test_slow_names_are_no_failures() -> None:
    """A question without an answer says nothing when the upstream has answered another one since it was sent."""
    health = Health()
    for now in range(100):
        health.answered(now + 0.5)
        health.failed(now, now + 1)
    assert (health.up, health.failures) == (True, 0)
    assert health.cost_s(100) == Health().cost_s(0), "it is not avoided"


def test_what_fails_together_is_one_failure() -> None:
    """A hundred questions that run out at the same moment do not bring an upstream down before it could show itself."""
    health = Health()
    for _ in range(100):
        health.failed(9.0, 10.0)
    assert (health.up, health.failures) == (True, 1)


def test_a_failure_asks_for_a_probe_but_not_for_many() -> None:
    """An upstream that is only slow with some names gets the chance to say so before it is down, once a second."""
    health = Health()
    fail(health, 10.0)
    assert health.probe_at_s == 10.0
    health.probed(10.0)
    fail(health, 10.2)
    assert health.probe_at_s == 11.0
    health.answered(10.3)
    assert (health.failures, health.probe_at_s) == (0, float("inf"))
    health.failed(10.4, 10.5)
    assert health.probe_at_s == 11.0


def test_probes_back_off_from_one_second_to_thirty() -> None:
    """Each failed probe doubles the time to the next; failed questions do not; going down again starts over."""
    now = 100.0
    health = down(now)
    waits = []
    for _ in range(7):
        waits.append(health.probe_at_s - now)
        now = health.probe_at_s
        fail(health, now, probe=True)
        fail(health, now + 0.5)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert health.answered(now + 1)
    for failed_s in (now + 3, now + 4, now + 5):
        fail(health, failed_s)
    assert health.probe_at_s == now + 6


def test_an_answer_brings_it_up() -> None:
    """One valid answer is enough."""
    health = down(10)
    assert health.answered(11)
    assert [health.up, health.answered(11)] == [True, False]


def test_after_a_failure_others_come_first_for_a_while() -> None:
    """Five seconds the first time, longer each time that nothing good was heard between, a minute at most."""
    quick, slow = Health(), Health()
    quick.sampled(0.01)
    slow.sampled(0.05)
    assert quick.cost_s(0) < slow.cost_s(0)
    now, spans = 0.0, []
    for _ in range(6):
        quick.avoid(now)
        quick.avoid(now + 1)  # a second one meanwhile adds nothing
        assert quick.cost_s(now + 4) > slow.cost_s(now + 4)
        started = now
        while quick.cost_s(now) > slow.cost_s(now):
            now += 0.5
        spans.append(now - started)
    assert spans == [5, 10, 20, 40, 60, 60]
    quick.sampled(0.01)
    quick.avoid(now)
    assert quick.cost_s(now + 4.9) > slow.cost_s(now + 4.9)
    assert quick.cost_s(now + 5) < slow.cost_s(now + 5)


def test_who_comes_up_is_not_avoided() -> None:
    """The time out of use was penalty enough."""
    health = down(10)
    health.answered(11)
    health.sampled(0.01)
    assert health.cost_s(11) == 0.01
