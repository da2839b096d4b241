"""STIX patterns: what they list, and what is counted as skipped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.feeds.reading import bundle, odd, read


def pattern(text: str) -> dict[str, int]:
    """What one STIX pattern is counted by; nothing when it is listed."""
    return odd(read(bundle({"pattern": text}), "stix"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[domain-name:value = 'one.test' OR domain-name:value = 'two.test']", None),
        ("[(domain-name:value = 'one.test')]", None),
        ("[domain-name:value='one.test'] OR [domain-name:value='two.test']", None),
        ("[domain-name:value = 'one.test' AND url:value = 'x']", "unsupported_rule"),
        ("[domain-name:value = 'one.test'] AND [domain-name:value = 'two.test']", "unsupported_rule"),
        ("[domain-name:value = 'one.test'] REPEATS 5 TIMES", "unsupported_rule"),
        ("[domain-name:value = 'one.test'] START t'2026-01-01T00:00:00Z' STOP t'2026-02-01T00:00:00Z'", "unsupported_rule"),
        ("[domain-name:value NOT = 'one.test']", "unsupported_rule"),
        ("[domain-name:value != 'one.test']", "unsupported_rule"),
        ("[domain-name:value MATCHES '^one']", "unsupported_rule"),
        ("[EXISTS domain-name:value AND domain-name:value = 'one.test']", "unsupported_rule"),
        ("[domain-name:resolves_to_refs[*].value = '192.0.2.1']", "other_indicator"),
        ("[network-traffic:dst_ref.value = '192.0.2.1']", "other_indicator"),
        ("[file:hashes.'SHA-256' = 'aa']", "other_indicator"),
        ("[domain-name:value = 'one.test']]", "bad_entry"),
        ("[domain-name:value = 'one.test' OR]", "bad_entry"),
        ("[(domain-name:value = 'one.test']", "bad_entry"),
        ("[domain-name:value = one.test]", "bad_entry"),
        ("[domain-name:value = 'one.test'", "bad_entry"),
        ("[domain-name:value 'one.test']", "bad_entry"),
        ("[]", "bad_entry"),
        ("one.test", "bad_entry"),
        ("[domain-name:value = 'one.test' OR domain-name:value = 'two.test' " + " " * 65536 + "]", "line_too_long"),
    ],
)
def test_stix_patterns(text: str, reason: str | None) -> None:
    """A pattern lists what matches it by itself; one that needs more, is about something else or malformed is counted."""
    assert pattern(text) == ({} if reason is None else {reason: 1})


@given(
    st.text(alphabet="[]()'\\ =ORANDaz:-.1", max_size=60)
    | st.from_regex(r"\[(domain-name:value|url:value) (=|IN|LIKE) '.{0,9}'\]")
)
def test_any_stix_pattern(text: str) -> None:
    """No pattern breaks the reader, and every one is listed or counted as skipped."""
    parsed = read(bundle({"pattern": text}), "stix")
    assert len(parsed.names) + len(parsed.networks) + len(parsed.odd) > 0


def test_stix_patterns_cost_little() -> None:
    """A pattern made to be slow to read, of the greatest length, is read in time that grows with its length alone."""
    for text in ("[" * 60_000, "((" * 30_000, "[a:b=" + "'\\" * 30_000, "[" + "(domain-name:value = 'a' OR " * 2_000):
        assert pattern(text) == {"bad_entry": 1}
