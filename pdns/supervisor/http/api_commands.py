"""What the routes that carry out commands have in common: bodies, tenants, case references, outcomes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from aiohttp import web

from pdns import case_lookup
from pdns.case_lookup import CaseUnknownError, reason_of_case, the_listed_name
from pdns.core.case import CaseError, parse
from pdns.explain import Explanation
from pdns.http.server import Problem
from pdns.state import commands
from pdns.state.cases import Case
from pdns.state.commands import Command, CommandName, Outcome
from pdns.supervisor.http.api_parts import ApiSource, DoneOrNot, as_json
from pdns.supervisor.http.api_routes import ApiCall

T = TypeVar("T")


class TenantsCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a command about one tenant, which the path names. `for` is written as on the command line; the audit log names
    `user` after the API.
    """

    action: Literal["", "block", "allow"] = ""
    name: str = ""
    case: str = ""  # the case reference of a block, instead of the name that is allowed
    reason: str = ""
    for_: str = msgspec.field(name="for", default="")
    user: str = ""
    force: bool = False


class Wanted(TenantsCommand, frozen=True, forbid_unknown_fields=True):
    """The body of a command."""

    all: bool = False
    category: str = ""
    kind: str = ""
    tenant: str = ""


class CommandRoutes:
    """Carries out commands for routes."""

    def __init__(self, facts: ApiSource) -> None:
        self.facts = facts

    @property
    def state_dir(self) -> Path:
        return Path(self.facts.config.state.dir)

    def tenant_of(self, call: ApiCall, name: str = "") -> str:
        """The tenant that the path or `name` names. Raises `Problem` when it is not configured."""
        wanted = name or call.at["tenant"]
        if wanted not in [tenant.name for tenant in self.facts.config.tenant]:
            raise Problem(404, "there is no tenant of this name")
        return wanted

    async def cases_of(self, call: ApiCall, text: str) -> list[Case]:
        """The blocks with the reference that `text` spells. To the token of a tenant, only those of its policy are known.

        Raises `Problem` for what is no reference, and for one that is not known.
        """
        try:
            reference = parse(text)
            found = await asyncio.to_thread(case_lookup.known_cases, reference, self.facts.config)
            if call.caller.role == "tenant":
                ours = self._policies_of(call)
                found = [case for case in found if case.policy in ours]
            if not found:
                raise case_lookup.unknown(reference)
        except CaseError as error:
            raise Problem(400, str(error)) from None
        except CaseUnknownError as error:
            raise Problem(404, str(error)) from None
        return found

    async def with_name(self, call: ApiCall, wanted: Wanted) -> Wanted:
        """`wanted` with the listed name instead of the case reference, if it has one. Raises `Problem`."""
        if not wanted.case:
            return wanted
        if wanted.name or wanted.action != "allow":
            raise Problem(400, "case: expected no name beside it, and the action allow")
        found = await self.cases_of(call, wanted.case)
        try:
            name = await asyncio.to_thread(the_listed_name, found, self.facts.config, wanted.tenant)
        except CaseUnknownError as error:
            raise Problem(409, str(error)) from None
        return msgspec.structs.replace(wanted, name=name, case="", reason=reason_of_case(found[0].reference, wanted.reason))

    def shown(self, call: ApiCall, found: Explanation) -> Explanation:
        """What of an explanation the caller may see: to the token of a tenant, not what others allow."""
        if call.caller.role != "tenant":
            return found
        ours = {"block.allow", *(f"tenant {tenant}" for tenant in call.caller.tenants)}
        ours |= {f"policy {policy}" for policy in self._policies_of(call)}
        return msgspec.structs.replace(found, allowed=[entry for entry in found.allowed if entry.by in ours])

    def _policies_of(self, call: ApiCall) -> set[str]:
        return {tenant.policy for tenant in self.facts.config.tenant if tenant.name in call.caller.tenants}

    async def execute(self, call: ApiCall, command: str, wanted: Wanted, feed: str = "") -> web.Response:
        """Carry out a command, and answer with its outcome."""
        full = self.command_of(call, command, wanted, feed)
        return answer_of(await self.carried_out(full))

    def command_of(self, call: ApiCall, command: str, wanted: Wanted, feed: str = "") -> Command:
        """The command that the caller wants. Raises `Problem` for an unknown tenant, `ValueError` for a malformed time."""
        if wanted.tenant:
            self.tenant_of(call, wanted.tenant)
        return Command(
            command=msgspec.convert(command, CommandName),
            user=user_of(call, wanted.user),
            feed=feed,
            name=wanted.name,
            reason=wanted.reason,
            all=wanted.all,
            category=wanted.category,
            kind=wanted.kind,
            force=wanted.force,
            tenant=wanted.tenant,
            for_s=commands.parse_duration(wanted.for_) if wanted.for_ else 0.0,
        )

    async def carried_out(self, wanted: Command) -> commands.Outcome:
        """As `commands.execute`, but no thread waits, so a slow command delays no other one."""
        pending = await asyncio.to_thread(commands.PendingCommand, self.state_dir, wanted)
        while (outcome := await asyncio.to_thread(pending.outcome)) is None:  # noqa: ASYNC110 (files send no event)
            await asyncio.sleep(commands.POLL_S)
        return outcome


def user_of(call: ApiCall, said: str) -> str:
    """Who wants a command, for the audit log; `said` is what the caller says about itself."""
    return f"{call.caller.name}: {said}" if said else call.caller.name


def answer_of(outcome: Outcome) -> web.Response:
    """The response to a command that was carried out or refused."""
    how = '; use "force": true to do it anyway' if outcome.needs_force else ""
    return as_json(DoneOrNot(outcome.done, f"{outcome.text}{how}"), status=200 if outcome.done else 409)


async def wanted_of(call: ApiCall, kind: type[T]) -> T:
    """The body of a command; without one, a command without anything. Raises `msgspec.DecodeError`."""
    body = await call.request.read()
    return msgspec.json.decode(body, type=kind) if body else kind()


def for_tenant(wanted: TenantsCommand, tenant: str) -> Wanted:
    """The same for one tenant."""
    return Wanted(**{**msgspec.structs.asdict(wanted), "tenant": tenant})
