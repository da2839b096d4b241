"""Services, with compiled kernels or as their reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pdns.core.ruleset import RuleSet
from pdns.reference.service import REFERENCE, ReferenceService
from pdns.telemetry.stats import Stats
from pdns.upstream.forwarder import Forwarder
from pdns.worker.kernels import COMPILED
from pdns.worker.parts import Kernels
from pdns.worker.service import Service


def kernels(*, compiled: bool) -> Kernels:
    return COMPILED if compiled else REFERENCE


def new_service(
    rules: RuleSet, forwarder: Forwarder, stats: Stats, clock: Callable[[], float], *, compiled: bool, **options: Any
) -> Service:
    if compiled:
        return Service(rules, forwarder, stats, clock, COMPILED, **options)
    return ReferenceService(rules, forwarder, stats, clock, **options)
