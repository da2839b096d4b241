"""When an update counts from, and in which generation it is live."""

from __future__ import annotations

import time

import pytest

from feeds.update_times import LiveUpdates, UpdateTimes
from pdns.clock import boottime_s


def test_an_update_counts_from_its_attempt() -> None:
    """Once: the next blockset with the same content has nothing new of it."""
    times = UpdateTimes()
    times.begins(10.0)
    times.keep("a")
    assert times.live("other") is None
    assert times.live("a") == 10.0
    assert times.live("a") is None


def test_a_notice_counts_even_if_the_first_attempt_fails() -> None:
    """NOTIFY at 5, a second one at 8; an attempt fails, the next brings the content. The one after that was not announced."""
    times = UpdateTimes()
    times.noticed(5.0, earlier_counts=True)
    times.noticed(8.0, earlier_counts=True)
    times.begins(9.0)
    times.failed()
    times.begins(20.0)
    times.keep("a")
    assert times.live("a") == 5.0
    times.begins(30.0)
    times.keep("b")
    assert times.live("b") == 30.0


def test_a_notice_during_an_attempt_is_for_the_next_one() -> None:
    """The attempt may have missed what it is about."""
    times = UpdateTimes()
    times.begins(9.0)
    times.noticed(10.0, earlier_counts=True)
    times.keep("a")
    assert times.live("a") == 9.0
    times.begins(12.0)
    times.keep("b")
    assert times.live("b") == 10.0


def test_a_failed_poll_announces_nothing() -> None:
    """The source was away: its content is first seen by the attempt that succeeds."""
    times = UpdateTimes()
    times.begins(9.0)
    times.failed()
    times.begins(3600.0)
    times.keep("a")
    assert times.live("a") == 3600.0


def test_a_file_counts_from_its_last_change() -> None:
    """A file that is still being written has not its content yet."""
    times = UpdateTimes()
    times.noticed(5.0, earlier_counts=False)
    times.noticed(7.0, earlier_counts=False)
    times.begins(9.0)
    times.keep("a")
    assert times.live("a") == 7.0


def test_a_release_counts_from_itself() -> None:
    """Not from the attempt that brought what was held."""
    times = UpdateTimes()
    times.begins(9.0)
    times.keep("a", 5000.0)
    assert times.live("a") == 5000.0


def test_the_oldest_addition_counts() -> None:
    """Content that was replaced before it was live is part of what replaced it; what came later waits for its own blockset."""
    times = UpdateTimes()
    for at_s, content in ((1.0, "a"), (2.0, "b"), (3.0, "c")):
        times.begins(at_s)
        times.keep(content)
    assert times.live("b") == 1.0
    assert times.live("c") == 3.0


def test_nothing_grows_while_no_blockset_can_be_made() -> None:
    """And the oldest of a thousand updates still counts."""
    times = UpdateTimes()
    for number in range(1000):
        times.begins(float(number))
        times.keep(str(number))
    assert len(times._kept) <= 16
    assert times.live("999") == 0.0


def test_a_node_counts_from_the_publisher() -> None:
    """What the publisher says of several generations is one time for each feed; a clock that is ahead gives no negative time."""
    publisher, node = LiveUpdates(), LiveUpdates()
    now_s = boottime_s()
    for generation, feed, ago_s in ((3, "x", 90.0), (4, "x", 50.0), (5, "y", 20.0), (6, "y", 10.0)):
        publisher.add(generation, feed, now_s - ago_s)
    seen_s = publisher.seen_s(above=3, up_to=5)
    assert seen_s == {"x": pytest.approx(time.time() - 50.0, abs=5.0), "y": pytest.approx(time.time() - 20.0, abs=5.0)}
    node.add_published(77, {**seen_s, "ahead": time.time() + 1000.0})
    assert {(one.feed, one.generation) for one in node.latest} == {("x", 77), ("y", 77), ("ahead", 77)}
    since_s = {one.feed: boottime_s() - one.seen_boot_s for one in node.latest}
    assert since_s == {"x": pytest.approx(50.0, abs=5.0), "y": pytest.approx(20.0, abs=5.0), "ahead": pytest.approx(0.0, abs=5.0)}
