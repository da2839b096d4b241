"""New blocksets while answers are in the cache: the compiled check that they stay says what Python says, byte for byte."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.files.sealed import new_memory
from pdns.wire.names import from_text
from pdns.wire.transport import Transport
from tests.blocksets import make_blockset
from tests.effort import examples
from tests.property.test_given_twins import BLOCKSETS as GIVEN
from tests.property.test_given_twins import FEEDS
from tests.property.test_twins import _CLIENTS, _NAMES, _RAW, _VARIANTS, QUESTIONS, _Side
from tests.wire import query_wire

BLOCKSETS = [
    make_blockset({"alpha": "malware.test", "watch": "watched.example", "beta": "phish.test"}),
    make_blockset({"alpha": "malware.test b.example", "watch": "watched.example", "beta": "phish.test"}),
    make_blockset({"alpha": "malware.test www.example", "watch": "b.example", "beta": "@@www.example"}),
    make_blockset({"alpha": "192.0.2.0/28", "watch": "198.51.100.2/32", "beta": "198.51.100.4/32"}),
    make_blockset({"alpha": "=example", "watch": "*.example", "beta": "malware.test"}),
    make_blockset({"alpha": "other.example", "beta": "malware.test 192.0.2.0/24"}),
    *GIVEN,
]
VARIANTS = [*_VARIANTS, {"feed": FEEDS, "policy": [], "tenant": []}]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), QUESTIONS, st.sampled_from(_CLIENTS), st.sampled_from(["udp", "tcp"])),
        st.tuples(st.just("warm"), st.sampled_from(_CLIENTS)),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 20.0, 37.0, 61.0])),
        st.tuples(st.just("feeds"), st.sampled_from(range(len(BLOCKSETS)))),
        st.tuples(st.just("allow"), st.sampled_from(["b.example", "www.example"])),
    ),
    max_size=20,
)  # fmt: skip


@contextmanager
def _sides(variant: dict[str, Any]) -> Iterator[list[_Side]]:
    sides = [_Side({**_RAW, **variant}, compiled=compiled, blockset=BLOCKSETS[0]) for compiled in (False, True)]
    try:
        yield sides
    finally:
        for side in sides:
            side.end()


@examples(150)
@given(st.sampled_from(VARIANTS), STEPS)
def test_a_cached_answer_stays_or_goes_alike(variant: dict[str, Any], steps: list[tuple[Any, ...]]) -> None:
    """Answers of every kind, then blocksets that list the name, what it leads to, its addresses, or nothing of it."""
    with _sides(variant) as sides:
        for number, (what, *how) in enumerate(steps):
            for side in sides:
                if what == "ask":
                    side.ask(number, *how)
                elif what == "warm":
                    _ask_all(side, number, how[0])
                    side.upstream.answer_all(fail=False)
                elif what == "wait":
                    side.now += how[0]
                    side.service.tick(side.now)
                elif what == "feeds":
                    side.service.adopt(side.service.rules.with_blockset(BLOCKSETS[how[0]]))
                else:
                    entry = LocalEntry(from_text(how[0]), below_only=False, allow=True, reason="")
                    side.service.adopt(side.service.rules.with_local(LocalRules((entry,))))
            assert sides[1].sent == sides[0].sent
        assert sides[1].counted() == sides[0].counted()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_answer_under_every_blockset(variant: dict[str, Any]) -> None:
    """Each client's cached answer to each name, after each change of the blockset: the same from both."""
    with _sides(variant) as sides:
        for number, (at, client) in enumerate(itertools.product([*range(1, len(BLOCKSETS)), 0], _CLIENTS)):
            for side in sides:
                _ask_all(side, number, client)
                side.upstream.answer_all(fail=False)
                _ask_all(side, number, client)
                side.service.adopt(side.service.rules.with_blockset(BLOCKSETS[at]))
                _ask_all(side, number, client)
                side.upstream.answer_all(fail=False)
                side.now += 1.0
            assert sides[1].sent == sides[0].sent
        assert sides[1].counted() == sides[0].counted()


def _ask_all(side: _Side, number: int, client: str) -> None:
    for name, qtype in itertools.product(_NAMES, ("A", "TXT")):
        side.ask(number, query_wire(name, qtype, edns=1232), client, "udp")


@contextmanager
def new_arena() -> Iterator[int]:
    """Shared memory for answers, as the supervisor makes it."""
    fd = new_memory("answers", 1 << 22)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture
def warm() -> Iterator[_Side]:
    """A compiled service with the answer to www.example in its cache, an alias of b.example with two addresses."""
    with _sides({}) as (_, side):
        _warm(side)
        yield side


def _warm(side: _Side) -> None:
    side.ask(0, query_wire("www.example"), "127.0.0.1", "udp")
    side.upstream.answer_all(fail=False)
    assert _answers_alone(side)


def _answers_alone(side: _Side) -> bool:
    """Whether the compiled part answers www.example without Python."""
    assert side.service.fast_path is not None
    return isinstance(side.service.fast_path.answer(query_wire("www.example"), "127.0.0.1", Transport.UDP, side.now), bytes)


def test_a_new_blockset_leaves_clean_answers_to_compiled_code(warm: _Side) -> None:
    """No blockset that has nothing to say of a cached answer makes Python decide about it, however many there are."""
    for at in (5, 0, 0):
        warm.service.adopt(warm.service.rules.with_blockset(BLOCKSETS[at]))
        assert _answers_alone(warm)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_what_a_feed_may_have_a_say_in_is_decided_by_python(warm: _Side, at: int) -> None:
    """A listed name, a listed target and a listed address, whether the feed acts or not."""
    warm.service.adopt(warm.service.rules.with_blockset(BLOCKSETS[at]))
    assert not _answers_alone(warm)


def test_other_rules_are_decided_by_python(warm: _Side) -> None:
    """A changed configuration or entry counts as such when a new blockset follows it before the next query."""
    rules = warm.service.rules
    entry = LocalEntry(from_text("b.example"), below_only=False, allow=True, reason="")
    for changed in (rules.with_config(msgspec.structs.replace(warm.config)), rules.with_local(LocalRules((entry,)))):
        warm.service.adopt(changed.with_blockset(BLOCKSETS[0]))
        assert not _answers_alone(warm)
        warm.service.adopt(rules)
        _warm(warm)


def test_answers_of_another_worker_are_decided_by_python(warm: _Side) -> None:
    """It had other rules, for all that is known: also when the blockset changes after its answers were taken over."""
    with new_arena() as fd, _sides({}) as (_, after):
        warm.service.take_arena(os.dup(fd))
        _warm(warm)
        warm.service.let_go_of_arena()
        after.service.take_arena(os.dup(fd))
        after.service.adopt(after.service.rules.with_blockset(BLOCKSETS[5]))
        assert len(after.service.cache) == 1
        assert not _answers_alone(after)


def test_nothing_stays_while_a_required_feed_is_missing(warm: _Side) -> None:
    """Python then answers SERVFAIL, or lets through what the policy says."""
    warm.service.adopt(replace(warm.service.rules.with_blockset(BLOCKSETS[5]), ready=False))
    assert not _answers_alone(warm)
