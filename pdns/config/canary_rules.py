"""Rules for `[canaries]`. Values are returned in canonical spelling."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from pdns.config.addresses import parse_zone_name
from pdns.config.canary_schema import CanarySection
from pdns.config.canary_targets import KnownName
from pdns.config.shape import Report
from pdns.errors import InvalidAddress

MOST_NAMES: Final = 3  # in one list: three lies in a row convict, and each name must have had its turn
_LONGEST_ZONE: Final = 200  # bytes: there must be room for a random label

T = TypeVar("T")


class CanaryRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...


def settle_canaries(section: CanarySection, around: CanaryRuleContext) -> CanarySection:
    """`[canaries]`."""
    for key in ("signed", "bogus", "resolves", "known"):
        if (count := len(getattr(section, key))) > MOST_NAMES:
            around.report.add(f"canaries.{key}", f"expected at most {MOST_NAMES}, got {count}")
    return replace(
        section,
        signed=around.canonical("canaries.signed", section.signed, parse_zone_name),
        bogus=around.canonical("canaries.bogus", section.bogus, parse_zone_name),
        resolves=around.canonical("canaries.resolves", section.resolves, parse_zone_name),
        empty_zone=section.empty_zone and (around.parse("canaries.empty_zone", section.empty_zone, _short_name) or ""),
        known=around.canonical("canaries.known", section.known, KnownName.of),
    )


def _short_name(text: str) -> str:
    name = parse_zone_name(text)
    if len(name) > _LONGEST_ZONE:
        raise InvalidAddress(f"expected a name of at most {_LONGEST_ZONE} bytes")
    return name
