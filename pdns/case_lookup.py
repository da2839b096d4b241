"""From a case reference to the blocks that have it, and to the listed names, as the command line and the API need them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from pdns.answer_preview import client_of_tenant
from pdns.config.policies import DEFAULT_POLICY, NamedEntry, policies_at
from pdns.config.schema import Config
from pdns.core.listing import Rule
from pdns.core.local_rules import LOCAL
from pdns.errors import PdnsError
from pdns.explain import UnknownError, decision_for, live_blockset
from pdns.state import cases, overrides
from pdns.state.cases import Case
from pdns.state.overrides import Overrides
from pdns.wire import names
from pdns.wire.names import MAX_NAME_BYTES


class CaseUnknownError(PdnsError):
    """No block here has this reference, or blocks of several names have."""


class CaseStatement(msgspec.Struct, frozen=True, kw_only=True):
    """One block. Times are seconds since the epoch."""

    reference: str
    listed: str  # the name that is listed, or that leads to a listed address
    feed: str
    policy: str
    first_s: float
    last_s: float


def known_cases(reference: str, config: Config) -> list[Case]:
    """The blocks with this reference, in canonical spelling. Raises `CaseUnknownError`, and `OSError` for an unreadable file."""
    found = cases.find(Path(config.state.dir), reference)
    if not found:
        raise unknown(reference)
    return found


def unknown(reference: str) -> CaseUnknownError:
    """What to do where no block has the reference."""
    return CaseUnknownError(
        f"case {reference} is not known here. Ask for the name that was blocked, and run `pdns explain NAME`. "
        f"The latest {cases.MAX_CASES:,} cases are kept; if several servers answer, ask each of them."
    )


def the_listed_name(found: Iterable[Case], config: Config, tenant: str = "") -> str:
    """The name that lifts the block of all these cases, for a tenant if one is named. Raises `CaseUnknownError` where they have
    several, and where an entry for everyone would not lift it.
    """
    found = list(found)
    for one in found:
        name = names.from_text(listing_of(one, config)[0])
        if not tenant and (policy := policy_that_blocks(name, tenant_of(one, config), config)):
            raise CaseUnknownError(
                f"{one.reference}: {names.to_text(one.listed)} is blocked by policy {policy} in the configuration, whose entries "
                "count before those of everyone. Change the policy, or allow the name for one tenant: --tenant NAME."
            )
    listed = dict.fromkeys(listing_of(one, config)[0] for one in found)
    if len(listed) > 1:
        raise CaseUnknownError(
            f"{found[0].reference} is the reference of several names: {', '.join(listed)}. Allow one of them by its name."
        )
    return next(iter(listed))


def statement_of(case: Case) -> CaseStatement:
    """A case for programs."""
    return CaseStatement(**{**case._asdict(), "listed": names.to_text(case.listed)})


def reason_of_case(reference: str, reason: str) -> str:
    """Why the name of a case is allowed, for the audit log."""
    return f"case {reference}: {reason}" if reason else f"case {reference}"


def tenant_of(case: Case, config: Config) -> str:
    """A tenant whose clients have the policy of the case; "": those of no tenant."""
    having = (one.name for one in config.tenant if one.policy == case.policy and one.networks)
    return "" if case.policy == DEFAULT_POLICY else next(having, "")


def policy_that_blocks(name: bytes, tenant: str, config: Config) -> str:
    """The policy whose own entry blocks `name`, in wire form, for clients of `tenant`; "" where an entry for everyone can allow
    it.
    """
    try:
        client = client_of_tenant(config, tenant)
    except LookupError:
        return ""
    decision = decision_for(config, None, Overrides(), name, client, time.time())
    policy = decision.by.removeprefix("policy ")
    return policy if decision.outcome == "blocked" and policy not in (decision.by, DEFAULT_POLICY) else ""


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
