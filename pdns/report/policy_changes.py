"""What administrators changed in a period, from the audit logs; of a tenant only what concerns it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from pdns.config.schema import Config
from pdns.state import audit_log

_POLICY_FILE: Final = ("set policy", "remove policy")
_TENANT_FILE: Final = ("set tenant", "remove tenant")
_FOR_EVERYONE: Final = ("block", "allow", "remove", "pause", "resume")  # with no tenant: they hold for all
_OF_FEEDS: Final = ("hold", "release", "drop", "disable", "enable")
_RELEVANT: Final = (*_POLICY_FILE, *_TENANT_FILE, *_FOR_EVERYONE, *_OF_FEEDS, "reload")


class PolicyChange(Struct, frozen=True, kw_only=True):
    """One change that took effect. `user` and `reason` are empty where they may be about another tenant."""

    time_s: float
    user: str
    command: str
    subject: str  # feed, name, tenant or policy
    tenant: str  # "": everyone
    reason: str
    for_s: float = 0.0  # how long it holds; 0: for good


class PolicyChanges(Struct, frozen=True, kw_only=True):
    """The changes, the oldest first. `problem`: why some may be missing."""

    changes: tuple[PolicyChange, ...] = ()
    problem: str = ""


def policy_changes(config: Config, start_s: float, end_s: float, tenant: str | None) -> PolicyChanges:
    """What changed from `start_s` until `end_s`, of everyone or of what concerns `tenant`. Reads the audit logs."""
    try:
        lines = audit_log.read(Path(config.state.dir))
    except OSError as error:
        return PolicyChanges(problem=f"the audit log cannot be read: {error.strerror}")
    policies = {one.policy for one in config.tenant if one.name == tenant}
    found = [
        _change(line, tenant)
        for line in reversed(lines)
        if start_s <= line["time_s"] < end_s and line.get("done") is True and _concerns(line, tenant, policies)
    ]
    cut = len(lines) == audit_log.MOST_LINES and lines[-1]["time_s"] > start_s
    return PolicyChanges(
        changes=tuple(found), problem=f"only the latest {audit_log.MOST_LINES:,} changes are known" if cut else ""
    )


def _concerns(line: Mapping[str, Any], tenant: str | None, policies: set[str]) -> bool:
    command = line.get("command")
    if command not in _RELEVANT:
        return False
    if tenant is None:
        return True
    if command in _POLICY_FILE:
        return line.get("name") in policies
    if command in _TENANT_FILE:
        return line.get("name") == tenant
    return line.get("tenant", "") in ("", tenant)


def _change(line: Mapping[str, Any], tenant: str | None) -> PolicyChange:
    command = _text(line, "command")
    of = _text(line, "name") if command in _TENANT_FILE else _text(line, "tenant")
    is_ours = tenant is None or of == tenant
    subject = " ".join(text for key in ("feed", "name", "category", "kind") if (text := _text(line, key)))
    for_s = line.get("for_s")
    return PolicyChange(
        time_s=float(line["time_s"]), user=_text(line, "user") if is_ours else "", command=command, subject=subject, tenant=of,
        reason=_text(line, "reason") if is_ours else "", for_s=float(for_s) if isinstance(for_s, int | float) else 0.0,
    )  # fmt: skip


def _text(line: Mapping[str, Any], key: str) -> str:
    value = line.get(key, "")
    return value if isinstance(value, str) else ""
