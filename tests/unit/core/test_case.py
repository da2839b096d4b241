"""Case references: derived, short, checkable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.core.case import ALPHABET, CaseError, parse, reference, spelt
from pdns.wire.names import from_text

KEYS = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize(
    ("listed", "feed", "policy", "case"),
    [
        ("malware.test", "urlhaus", "default", "YC6Y-AQ3M"),
        ("malware.test", "urlhaus", "schools", "GBE9-340W"),
        ("malware.test", "threatfox", "default", "BRWM-90G0"),
        ("www.malware.test", "urlhaus", "default", "VFK1-64ET"),
        (".", "local", "default", "DPBV-KZ78"),
    ],
)
def test_references_never_change(listed: str, feed: str, policy: str, case: str) -> None:
    """A reference is quoted in tickets: every version, node and worker computes the same, and each part of the block counts."""
    assert reference(from_text(listed), feed, policy) == case


@pytest.mark.parametrize("typed", ["YC6Y-AQ3M", "yc6y-aq3m", "YC6YAQ3M", " yc6y aq3m ", "YC-6Y-AQ3M\t"])
def test_a_reference_is_read_as_people_type_it(typed: str) -> None:
    """Lower case, no hyphen or several, spaces."""
    assert parse(typed) == "YC6Y-AQ3M"


def fails(text: str) -> bool:
    try:
        parse(text)
    except CaseError:
        return True
    return False


@given(KEYS, st.integers(0, 7), st.sampled_from(ALPHABET))
def test_a_wrong_character_is_found(key: int, at: int, wrong: str) -> None:
    """Whichever of the eight it is."""
    plain = spelt(key).replace("-", "")
    typed = plain[:at] + wrong + plain[at + 1 :]
    if typed == plain:
        assert parse(typed) == spelt(key)
        return
    with pytest.raises(CaseError, match="mistyped") as caught:
        parse(typed)
    assert caught.value.is_mistyped


@given(KEYS, st.integers(0, 7), st.integers(0, 7))
def test_characters_that_changed_places_are_found(key: int, one: int, other: int) -> None:
    """Any two of them."""
    typed = list(spelt(key).replace("-", ""))
    typed[one], typed[other] = typed[other], typed[one]
    changed = "".join(typed) != spelt(key).replace("-", "")
    assert fails("".join(typed)) == changed


@given(KEYS, st.data())
def test_letters_that_look_alike_are_the_same(key: int, data: st.DataObject) -> None:
    """O is 0; I and L are 1 (Crockford), in any case."""
    text = spelt(key)
    typed = "".join(data.draw(st.sampled_from({"0": "0Oo", "1": "1IiLl"}.get(char, char + char.lower()))) for char in text)
    assert parse(typed) == parse(typed.replace("-", " ")) == text


@pytest.mark.parametrize(
    "text", ["", "K7M3", "K7M3-QXP2-1", "malware.test", "K7M3-QXPU", "K7M3_QXP2", "\u0130" * 8, "\u00b2" * 8]
)
def test_what_is_no_reference(text: str) -> None:
    """Another length, or a character that no reference has."""
    with pytest.raises(CaseError, match="not a case reference") as caught:
        parse(text)
    assert not caught.value.is_mistyped


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but `CaseError` comes out, and what is read is spelt canonically."""
    try:
        case = parse(text)
    except CaseError:
        return
    assert parse(case) == case
