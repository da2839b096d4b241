"""Tokens of the report form: for one host, one client, some hours, and once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdns.page.form_tokens import MOST_USED, VALID_S, FormTokens

TOKENS = FormTokens(b"secret of the supervisor")


def test_a_token_is_valid_where_it_was_made() -> None:
    """The same host and client within the time; also for another process with the same secret."""
    token = TOKENS.make("a.example", "192.0.2.7", 1000.0)
    assert TOKENS.check(token, "a.example", "192.0.2.7", 1000.0 + VALID_S - 1) == "valid"
    assert FormTokens(b"secret of the supervisor").check(token, "a.example", "192.0.2.7", 1001.0) == "valid"


def test_a_token_is_invalid_elsewhere() -> None:
    """Another host, client, time or secret makes it invalid."""
    token = TOKENS.make("a.example", "192.0.2.7", 1000.0)
    assert TOKENS.check(token, "b.example", "192.0.2.7", 1001.0) == "invalid"
    assert TOKENS.check(token, "a.example", "192.0.2.8", 1001.0) == "invalid"
    assert TOKENS.check(token, "a.example", "192.0.2.7", 1001.0 + VALID_S) == "invalid"
    assert TOKENS.check(token, "a.example", "192.0.2.7", 900.0) == "invalid"
    assert FormTokens(b"another").check(token, "a.example", "192.0.2.7", 1001.0) == "invalid"


def test_host_and_client_do_not_run_into_each_other() -> None:
    """No other pair of host and client has the same token."""
    token = TOKENS.make("a.example", "192.0.2.7", 1000.0)
    assert TOKENS.check(token, "a.example\n192.0.2.7", "", 1001.0) == "invalid"


def test_people_behind_one_address_have_their_own() -> None:
    """Two forms for the same host and client in the same second are two reports."""
    assert TOKENS.make("a.example", "192.0.2.7", 1000.0) != TOKENS.make("a.example", "192.0.2.7", 1000.0)


def test_a_token_counts_once() -> None:
    """A used token is known with its report; only so many are remembered."""
    tokens = FormTokens(b"s")
    token = tokens.make("a.example", "c", 1.0)
    tokens.use(token, 7)
    assert tokens.check(token, "a.example", "c", 2.0) == "used"
    assert tokens.number(token) == 7
    for number in range(MOST_USED):
        tokens.use(f"1.{number}", number)
    assert tokens.check(token, "a.example", "c", 2.0) == "valid"


@given(st.text(max_size=80))
def test_any_text_is_checked(text: str) -> None:
    """No text raises, and no text is valid that was not made here."""
    assert TOKENS.check(text, "a.example", "192.0.2.7", 1000.0) == "invalid"


@given(st.integers(0, 200), st.sampled_from("0123456789abcdef.-"))
def test_a_changed_token_is_invalid(at: int, character: str) -> None:
    """One other character anywhere makes it invalid."""
    token = TOKENS.make("a.example", "192.0.2.7", 1000.0)
    at %= len(token)
    changed = token[:at] + character + token[at + 1 :]
    if changed != token:
        assert TOKENS.check(changed, "a.example", "192.0.2.7", 1000.0) == "invalid"
