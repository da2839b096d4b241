"""What is believed of the honesty of an upstream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.upstream.honesty import LIES_TO_CONVICT, TRUTHS_TO_ACQUIT, CanaryKind, CanaryResult, Honesty

V = CanaryKind.VALIDATION
RESULTS = {"h": CanaryResult.HONEST, "l": CanaryResult.LIE, ".": CanaryResult.NOTHING}


@pytest.mark.parametrize(
    ("rounds", "verdict", "in_doubt"),
    [
        ("", None, False),
        ("...", None, False),
        ("h", True, False),
        ("ll", None, True),
        ("lll", False, False),
        ("l.l.l", False, False),  # what proves nothing is no acquittal
        ("llhll", True, True),
        ("h.....", True, False),  # lost packets are no lies
        ("lllhh", False, True),
        ("lllhhh", True, False),
        ("lllhhlhh", False, True),
    ],
)
def test_three_in_a_row(rounds: str, verdict: bool | None, in_doubt: bool) -> None:
    """Three lies in a row convict, three truths acquit; the next round comes early while the last one contradicts the verdict."""
    honesty = Honesty()
    for one in rounds:
        honesty.found(V, RESULTS[one])
    assert honesty.verdicts.get(V) is verdict
    assert honesty.is_honest is (verdict is not False)
    assert honesty.is_in_doubt is in_doubt


@given(st.lists(st.sampled_from(list(CanaryResult)), max_size=40))
def test_a_change_takes_three_in_a_row(results: list[CanaryResult]) -> None:
    """No verdict changes before so many contradictions in a row, and `found` is true exactly when one does, or is the first."""
    honesty = Honesty()
    told: list[CanaryResult] = []
    for result in results:
        before = honesty.verdicts.get(V)
        news = honesty.found(V, result)
        told += [] if result is CanaryResult.NOTHING else [result]
        assert news is (honesty.verdicts.get(V) is not before)
        if news and before is not None:
            wanted = TRUTHS_TO_ACQUIT if honesty.verdicts[V] else LIES_TO_CONVICT
            assert len(set(told[-wanted:])) == 1
            assert len(told) > wanted


def test_one_kind_is_enough() -> None:
    """An upstream that fails one kind of canary is not honest, however good the others are."""
    honesty = Honesty()
    honesty.found(CanaryKind.FILTERING, CanaryResult.HONEST)
    for _ in range(3):
        honesty.found(CanaryKind.REWRITING, CanaryResult.LIE)
    assert not honesty.is_honest
