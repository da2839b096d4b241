"""How long a forwarder waits before it repeats a question, asks elsewhere or calls an upstream down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pdns.upstream import forwarder, health, rounds

PATIENCE_S = 30.0
_WAITS = (
    (health, "MIN_RTO_S"), (health, "MAX_RTO_S"), (health, "_FIRST_RTO_S"), (rounds, "MAX_RTO_S"), (rounds, "STREAM_RTO_S"),
    (forwarder, "PROBE_TIMEOUT_S"),
)  # fmt: skip


@contextmanager
def patient() -> Iterator[None]:
    """So long that no pause of a busy machine is taken for silence."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in _WAITS:
            patch.setattr(module, name, PATIENCE_S)
        yield


@contextmanager
def impatient() -> Iterator[None]:
    """Tens of milliseconds where it would wait for hundreds and more, so that tests of silence need not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(health, "MIN_RTO_S", 0.05)
        patch.setattr(health, "_FIRST_RTO_S", 0.05)
        patch.setattr(health, "_FIRST_BACKOFF_S", 0.2)
        patch.setattr(health, "_PROBE_INTERVAL_S", 0.1)
        patch.setattr(rounds, "STREAM_RTO_S", 0.2)
        patch.setattr(forwarder, "PROBE_TIMEOUT_S", 0.2)
        yield
