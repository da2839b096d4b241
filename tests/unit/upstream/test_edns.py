"""What is remembered of upstreams and EDNS."""

from __future__ import annotations

from pdns.upstream.edns import MEMORY_S, EdnsMemory


def test_a_refusal_counts_for_an_hour() -> None:
    """After a refusal that an answer without EDNS confirmed, EDNS is left out, and tried again an hour later."""
    memory = EdnsMemory()
    assert memory.is_on(0)
    memory.refused(10.0)
    assert not memory.is_on(10.0 + MEMORY_S - 1)
    assert memory.is_on(10.0 + MEMORY_S)


def test_silence_must_happen_three_times_in_a_row() -> None:
    """Answering only without EDNS twice may be packet loss; a response with OPT clears the suspicion."""
    memory = EdnsMemory()
    memory.answered_only_without(0)
    memory.answered_only_without(0)
    memory.saw_opt(0)
    memory.answered_only_without(0)
    memory.answered_only_without(0)
    assert memory.is_on(0)
    memory.answered_only_without(0)
    assert not memory.is_on(0)


def test_who_has_answered_with_opt_is_not_suspected() -> None:
    """For an hour after a response with OPT, silence is never taken for a dislike of EDNS."""
    memory = EdnsMemory()
    assert memory.may_be_dropped(0)
    memory.saw_opt(5.0)
    assert not memory.may_be_dropped(5.0 + MEMORY_S - 1)
    assert memory.may_be_dropped(5.0 + MEMORY_S)
