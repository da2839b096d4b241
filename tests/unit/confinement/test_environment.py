"""What child processes get of the environment."""

from __future__ import annotations

import pytest

from pdns.confinement.environment import for_child


def test_only_what_is_read_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that Python, the C library and we ourselves read, and those asked for; no other."""
    for name in ("LC_TIME", "PYTHONPATH", "PDNS_LOOP", "PDNS_KEY", "AWS_SECRET_ACCESS_KEY", "WANTED", "NOTIFY_SOCKET"):
        monkeypatch.setenv(name, "x")
    given = for_child(["WANTED", "UNSET"])
    assert {"LC_TIME", "PYTHONPATH", "PDNS_LOOP", "WANTED", "PDNS_CLOCK_OFFSET_S"} <= set(given)
    assert not {"PDNS_KEY", "AWS_SECRET_ACCESS_KEY", "NOTIFY_SOCKET", "UNSET"} & set(given)
