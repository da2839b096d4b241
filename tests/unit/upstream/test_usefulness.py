"""What an upstream is good for, by what it says."""

from __future__ import annotations

from itertools import count

import pytest

from pdns.upstream.usefulness import Usefulness


def turned_useless(usefulness: Usefulness, kind: str, *, proven: bool) -> int:
    """How many different domains it has to answer badly in a row until it is useless."""
    for number in count(1):
        if usefulness.bad(kind, number.to_bytes(2), proven=proven):
            return number
    raise AssertionError


@pytest.mark.parametrize(
    ("kind", "proven", "domains"),
    [("refused", True, 3), ("formerr", True, 3), ("malformed", True, 3), ("servfail", True, 6), ("timeout", True, 6),
     ("refused", False, 6), ("servfail", False, 11)],
)  # fmt: skip
def test_how_many_bad_answers_make_it_useless(kind: str, proven: bool, domains: int) -> None:
    """REFUSED and the like count more than SERVFAIL, and what another upstream knew counts twice."""
    usefulness = Usefulness()
    usefulness.good()
    assert turned_useless(usefulness, kind, proven=proven) == domains
    assert not usefulness.useful


def test_one_broken_domain_makes_nobody_useless() -> None:
    """However often it is asked for, with or without good answers between."""
    usefulness = Usefulness()
    for number in range(1000):
        assert not usefulness.bad("servfail", b"\x06broken\x04test\0", proven=True)
        if number % 3 == 0:
            usefulness.good()
    assert usefulness.useful


def test_a_tenth_of_bad_answers_is_normal() -> None:
    """Nine good answers for each bad one of another domain: useful all the time."""
    usefulness = Usefulness()
    for number in range(2000):
        usefulness.good(9)
        assert not usefulness.bad("servfail", number.to_bytes(2), proven=True)


def test_nine_tenths_of_bad_answers_are_not() -> None:
    """One good answer now and then does not make it useful."""
    usefulness = Usefulness()
    turned_useless(usefulness, "refused", proven=True)
    for number in range(1000, 3000):
        usefulness.bad("refused", number.to_bytes(2), proven=True)
        if number % 10 == 0:
            assert not usefulness.good()


def test_four_good_answers_bring_it_back() -> None:
    """However long it was of no use."""
    usefulness = Usefulness()
    for number in range(1000):
        usefulness.bad("servfail", number.to_bytes(2), proven=False)
    assert [usefulness.good() for _ in range(4)] == [False, False, False, True]
    assert usefulness.useful
    usefulness.good(100)
    assert usefulness.share == 1.0
    assert turned_useless(usefulness, "refused", proven=True) == 3, "the domains of before count again"


def test_a_batch_counts_for_all_its_answers() -> None:
    """Many good answers that come together weigh as much as those that come one by one."""
    together, apart = Usefulness(), Usefulness()
    for usefulness in (together, apart):
        usefulness.bad("refused", b"a", proven=True)
        usefulness.bad("refused", b"b", proven=True)
    together.good(5)
    for _ in range(5):
        apart.good()
    assert together.share == pytest.approx(apart.share)


def test_turns_are_bounded() -> None:
    """Questions spent on it: after 1, 2, 4 and every 5 s; 0.1 s after a good answer."""
    usefulness = Usefulness()
    turns = [now / 10 for now in range(10, 300) if usefulness.take_turn(now / 10)]
    assert turns == [1, 2, 4, 8, 13, 18, 23, 28]
    usefulness.bad("refused", b"a", proven=True)
    usefulness.good()
    assert usefulness.take_turn(28.2)
    assert not usefulness.take_turn(28.5)
