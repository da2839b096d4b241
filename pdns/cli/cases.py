"""Case references on the command line: from what a user reads out to what was blocked."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from rich.console import Console

from pdns.answer_preview import client_of_tenant
from pdns.cli.commands import load_config
from pdns.config.policies import DEFAULT_POLICY, NamedEntry, policies_at
from pdns.config.schema import Config
from pdns.core.case import CaseError, parse
from pdns.core.listing import Rule
from pdns.core.local_rules import LOCAL
from pdns.explain import UnknownError, decision_for, live_blockset
from pdns.state import cases, overrides
from pdns.state.cases import Case
from pdns.state.overrides import Overrides
from pdns.wire import names
from pdns.wire.names import MAX_NAME_BYTES


def typed_case(text: str) -> str:
    """The case reference that `text` is, "" where it is more likely a name. Raises `CaseError` for one that is mistyped."""
    try:
        return parse(text)
    except CaseError as error:
        if error.is_mistyped and text.strip()[4:5] in ("-", " "):
            raise
        return ""


def cases_of(case: str, config: Config, errors: Console) -> list[Case]:
    """The known blocks with this reference. Prints what to do where there is none."""
    try:
        found = cases.find(Path(config.state.dir), case)
    except OSError as failure:
        errors.print(f"cases are unknown: {cases.FILE_NAME} cannot be read: {failure.strerror}", style="red")
        return []
    if not found:
        errors.print(
            f"case {case} is not known here. Ask for the name that was blocked, and run `pdns explain NAME`. "
            f"The latest {cases.MAX_CASES:,} cases are kept; if several servers answer, ask each of them.",
            style="red",
        )
    return found


def name_to_allow(text: str, path: Path | None, errors: Console) -> tuple[str, str]:
    """The name that lifts the block of a case, and its reference; two times "" after printing why there is none."""
    try:
        case = parse(text)
    except CaseError as failure:
        errors.print(str(failure), style="red")
        return "", ""
    config = load_config(path, errors, reads_only=True)
    found = cases_of(case, config, errors) if config is not None else []
    if config is None or not found:
        return "", ""
    for one in found:
        text = listing_of(one, config)[0]
        if policy := policy_that_blocks(names.from_text(text), tenant_of(one, config), config):
            refuse_to_allow(case, text, policy, errors)
            return "", ""
    listed = dict.fromkeys(listing_of(one, config)[0] for one in found)
    if len(listed) > 1:
        errors.print(
            f"{case} is the reference of several names: {', '.join(listed)}. Allow one of them by its name.", style="red"
        )
        return "", ""
    return next(iter(listed)), case


def case_text(case: Case, *, is_listed: bool) -> str:
    """A case in words."""
    first, last = (time.strftime("%Y-%m-%d %H:%M", time.localtime(time_s)) for time_s in (case.first_s, case.last_s))
    text = (
        f"case {case.reference}: {names.to_text(case.listed)} blocked by {case.feed} in policy {case.policy}, "
        f"first {first}, last {last}"
    )
    if is_listed:
        return text
    return f"{text}; {case.feed} does not list this name now: it was removed, or the name leads to a listed address"


def as_json(case: Case) -> dict[str, object]:
    """A case for programs; times are seconds since the epoch."""
    return {**case._asdict(), "listed": names.to_text(case.listed)}


def tenant_of(case: Case, config: Config) -> str:
    """A tenant whose clients have the policy of the case; "": those of no tenant."""
    having = (one.name for one in config.tenant if (one.policy or DEFAULT_POLICY) == case.policy and one.networks)
    return "" if case.policy == DEFAULT_POLICY else next(having, "")


def policy_that_blocks(name: bytes, tenant: str, config: Config) -> str:
    """The policy whose own entry blocks `name`, in wire form, for clients of `tenant`; "" where a local entry can allow it."""
    try:
        client = client_of_tenant(config, tenant)
    except LookupError:
        return ""
    decision = decision_for(config, None, Overrides(), name, client, time.time())
    policy = decision.by.removeprefix("policy ")
    return policy if decision.outcome == "blocked" and policy not in (decision.by, DEFAULT_POLICY) else ""


def refuse_to_allow(what: str, name: str, policy: str, errors: Console) -> None:
    """Print that `policy` would overrule a local entry for `name`."""
    errors.print(
        f"{what}: {name} is blocked by policy {policy} in the configuration, which counts before local entries. "
        "Change the policy.",
        style="red",
    )


def _configured(case: Case, config: Config) -> NamedEntry | None:
    """The entry of the configuration that blocks the name in the policy of the case, if there is one."""
    if case.feed != LOCAL:
        return None
    policies = policies_at(config, time.time())
    settings = policies.settings.get(case.policy)
    entries = (*(settings.entries if settings is not None else ()), *policies.everyones)
    named = (one for one in entries if not one.allow)
    return next((one for one in named if names.from_text(one.name.removeprefix("*.")) == case.listed), None)


def listing_of(case: Case, config: Config) -> tuple[str, bool]:
    """The listed name as a feed writes it, with "*." where only what is below is listed; and whether it is listed now."""
    text = names.to_text(case.listed)
    try:
        if case.feed == LOCAL and (configured := _configured(case, config)) is not None:
            return configured.name, True
        if case.feed == LOCAL:
            entries = [
                one.name for one in overrides.read(Path(config.state.dir)).at(time.time()).indicators if one.action == "block"
            ]
            return (text, True) if text in entries else (f"*.{text}", True) if f"*.{text}" in entries else (text, False)
        blockset = live_blockset(config)
        below = case.listed if len(case.listed) > MAX_NAME_BYTES - 2 else b"\1*" + case.listed
        listings = (*blockset.lookup(below), *blockset.lookup(case.listed)) if blockset is not None else ()
    except (UnknownError, OSError, msgspec.DecodeError):
        return text, True
    rules = {one.rule for one in listings if one.name == case.listed and one.feed == case.feed and not one.allow}
    return (f"*.{text}" if rules == {Rule.BELOW} else text), bool(rules)
