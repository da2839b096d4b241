"""The table of `docs/policy.md`: statements in words, made into a configuration and asked for `www.x.example`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from pdns.config.load import from_tables
from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.core.policy import Decision, Policy
from pdns.wire.names import from_text
from tests.blocksets import make_blockset

PAGE: Final = Path(__file__).parents[1] / "docs/policy.md"
ASKED: Final = "www.x.example"
FEEDS: Final = {"feed": "alpha", "other feed": "beta", "monitored feed": "watch", "feed that is off": "silent"}
_ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.*?) \| (.+?) \|$", re.MULTILINE)
_CODE = re.compile(r"`(.+?)`")
# What an entry can be: (whose, whether it allows)
ENTRIES: Final = {
    "`block.allow`": ("block", True),
    "default policy's block": ("default", False),
    "default policy's allow": ("default", True),
    "local block": ("local", False),
    "local allow": ("local", True),
    "policy's block": ("schools", False),
    "policy's allow": ("schools", True),
    "inherited block": ("parent", False),
    "inherited allow": ("parent", True),
    "tenant's allow": ("tenant", True),
    "tenant's local block": ("tenant local", False),
    "tenant's local allow": ("tenant local", True),
}
KINDS: Final = (*FEEDS, "feed's exception", "paused tenant", *ENTRIES)


class PolicyRow(NamedTuple):
    """One row: what is said, and what becomes of a query of the tenant for `www.x.example`."""

    number: int
    statements: tuple[str, ...]
    result: str


def rows() -> list[PolicyRow]:
    found = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    return [PolicyRow(int(number), tuple(filter(None, (first, second))), result) for number, first, second, result in found]


def kind_of(statement: str) -> str:
    """The kind of a statement: what comes before the name."""
    return statement.partition(": `")[0]


def decided(statements: tuple[str, ...]) -> str:
    """What the decision comes to, in the words of the table. Raises `ConfigErrors` for what cannot be configured."""
    feeds: dict[str, list[str]] = {name: [] for name in FEEDS.values()}
    sections: dict[str, dict[str, Any]] = {"block": {}, "default": {}, "schools": {}, "parent": {}, "tenant": {}}
    everyones: list[LocalEntry] = []
    tenants: list[LocalEntry] = []
    paused: list[str] = []
    for statement in statements:
        kind = kind_of(statement)
        name = (_CODE.findall(statement) or [""])[-1]
        if kind in FEEDS:
            feeds[FEEDS[kind]].append(name)
        elif kind == "feed's exception":
            feeds["alpha"].append(f"@@{name}")
        elif kind == "paused tenant":
            paused.append("north")
        else:
            whose, allow = ENTRIES[kind]
            if whose in ("local", "tenant local"):
                below = name.startswith("*.")
                entry = LocalEntry(from_text(name[2 * below :]), below, allow, "")
                (everyones if whose == "local" else tenants).append(entry)
            else:
                sections[whose].setdefault("allow" if allow else "block", []).append(name)
    modes = {"watch": "monitor"}
    config = from_tables(
        {
            "upstream": {"servers": ["192.0.2.53"]},
            "block": sections["block"],
            "feed": [{"name": feed, "url": "file:x", "mode": modes.get(feed, "block")} for feed in feeds],
            "policy": [
                {"name": "default", **sections["default"]},
                {"name": "schools", "inherits": "parent", "feeds": {"silent": "off"}, **sections["schools"]},
                {"name": "parent", **sections["parent"]},
            ],
            "tenant": [{"name": "north", "networks": ["198.51.100.0/24"], "policy": "schools", **sections["tenant"]}],
        },
        "pdns.toml",
        Path("/nonexistent"),
    )
    policy = Policy(config, LocalRules(everyones, (), {"north": tuple(tenants)} if tenants else {}, paused))
    blockset = make_blockset({feed: " ".join(names) for feed, names in feeds.items() if names}) if any(feeds.values()) else None
    return in_words(policy.decide(blockset, policy.tenant_policies[0], from_text(ASKED)))


def in_words(decision: Decision) -> str:
    """`blocked by alpha`, `allowed by tenant; watch monitors`, `passes`."""
    watched = f"; {', '.join(feed for feed, _ in decision.monitored)} would block" if decision.monitored else ""
    if decision.verdict is not None:
        also = f", {', '.join(decision.verdict.also)} as well" if decision.verdict.also else ""
        return f"blocked by {decision.by}, which names `{decision.rule}`{also}{watched}"
    if decision.by and not decision.monitored:
        return f"allowed by {decision.by}, which names `{decision.rule}`"
    return f"passes{watched}"
