"""Rules for `[findings]`. Values are returned in canonical spelling."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec.structs import replace

from pdns.config.addresses import parse_zone_name
from pdns.config.findings_schema import FindingsSection


class FindingsContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...


def settle_findings(findings: FindingsSection, around: FindingsContext) -> FindingsSection:
    """`[findings]`."""
    return replace(findings, tunnel_allow=around.canonical("findings.tunnel_allow", findings.tunnel_allow, parse_zone_name))
