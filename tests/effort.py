"""How many examples a property test draws."""

from __future__ import annotations

from hypothesis import settings

_USUAL = 100  # of the profile `all` in tests/conftest.py


def examples(count: int) -> settings:
    """For a test that needs other than the usual 100: `count` in `make test-all`; elsewhere more or fewer, by the profile."""
    return settings(max_examples=max(1, count * settings().max_examples // _USUAL))
