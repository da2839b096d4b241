"""The routes about credentials of devices: what `pdns tenant` does."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from pdns.enrolment.access import EnrolmentError, ResolverAccess, access_of
from pdns.enrolment.apple_profile import DnsProtocol, apple_profile
from pdns.enrolment.listing import CredentialStatus, credentials_of, refuse_configured
from pdns.enrolment.tokens import new_token, sha256_of
from pdns.http.server import Problem
from pdns.state import commands, enrolments
from pdns.state.commands import Command
from pdns.state.enrolments import credential_id
from pdns.supervisor.http.api_commands import CommandRoutes, answer_of, user_of, wanted_of
from pdns.supervisor.http.api_parts import DoneOrNot, as_json
from pdns.supervisor.http.api_routes import ApiCall, ApiRoute

_Sha256 = Annotated[str, Meta(pattern="^([0-9a-fA-F]{64})?$")]


class EnrolmentWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an enrolment, as the options of `pdns tenant enroll`. `profile`: the answer has one for Apple devices."""

    device: str = ""
    expires: str = ""
    host: str = ""
    addresses: tuple[str, ...] = ()
    profile: bool = False
    protocol: DnsProtocol = DnsProtocol.DOH
    locked: bool = False
    except_wifi: tuple[str, ...] = ()
    sha256: _Sha256 = ""
    certificate_sha256: _Sha256 = ""
    user: str = ""


class RevocationWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a revocation: an ID, a device, or all."""

    id: str = ""
    device: str = ""
    all: bool = False
    user: str = ""


class EnrolledDevice(msgspec.Struct, frozen=True, kw_only=True):
    """An enrolment. The token is in no other answer; `profile` is the text of a `.mobileconfig`."""

    done: bool
    text: str
    token: str
    access: ResolverAccess
    profile: str = ""


class CredentialRoutes(CommandRoutes):
    """Credentials of devices. The token of a tenant may list, enroll and revoke those of its own tenants."""

    def routes(self) -> list[ApiRoute]:
        """The table of these routes."""
        return [
            ApiRoute(
                "GET", "/api/credentials", self._list, "Credentials of devices, of all tenants", list[CredentialStatus], "read",
                commands=("tenant list",),
            ),
            ApiRoute(
                "GET", "/api/tenants/{tenant}/credentials", self._list_of_tenant, "Credentials of devices of a tenant",
                list[CredentialStatus], "read", tenant="tenant", statuses=(404,),
            ),
            ApiRoute(
                "POST", "/api/tenants/{tenant}/credentials", self._enroll, "Make a token for a device of a tenant",
                EnrolledDevice, tenant="tenant", body=EnrolmentWanted, commands=("tenant enroll",), statuses=(404, 409, 504),
            ),
            ApiRoute(
                "POST", "/api/tenants/{tenant}/credentials/revoke", self._revoke, "End credentials of devices of a tenant",
                DoneOrNot, tenant="tenant", body=RevocationWanted, commands=("tenant revoke",), statuses=(404, 409, 504),
            ),
        ]  # fmt: skip

    async def _list(self, _call: ApiCall) -> web.Response:
        return as_json(await self._found(""))

    async def _list_of_tenant(self, call: ApiCall) -> web.Response:
        return as_json(await self._found(self.tenant_of(call)))

    async def _found(self, tenant: str) -> list[CredentialStatus]:
        found = await asyncio.to_thread(enrolments.read, self.state_dir)
        return credentials_of(self.facts.config, found, tenant, time.time())

    async def _enroll(self, call: ApiCall) -> web.Response:
        name, wanted = self.tenant_of(call), await wanted_of(call, EnrolmentWanted)
        if wanted.sha256 and wanted.certificate_sha256:
            raise Problem(400, "expected sha256 or certificate_sha256, not both")
        config = self.facts.config
        tenant = next(one for one in config.tenant if one.name == name)
        known = (wanted.sha256 or wanted.certificate_sha256).lower()
        token = "" if known else new_token()
        digest = known or sha256_of(token)
        for_s = commands.parse_duration(wanted.expires) if wanted.expires else 0.0
        profile = b""
        try:
            refuse_configured(config, digest)
            access = await asyncio.to_thread(access_of, config, tenant, host=wanted.host, addresses=wanted.addresses)
            expires_s = time.time() + for_s if for_s else 0.0
            access = access.with_credential(credential_id(digest), token, wanted.device, expires_s)
            if wanted.profile:
                profile = apple_profile(access, wanted.protocol, locked=wanted.locked, except_wifi=wanted.except_wifi)
        except EnrolmentError as error:
            raise Problem(409, str(error)) from None
        kind = "certificate" if wanted.certificate_sha256 else "token"
        outcome = await self.carried_out(
            Command(
                command="enroll", user=user_of(call, wanted.user), tenant=name, device=wanted.device, for_s=for_s,
                credential=f"{kind}:{digest}",
            )
        )  # fmt: skip
        if not outcome.done:
            return answer_of(outcome)
        return as_json(EnrolledDevice(done=True, text=outcome.text, token=token, access=access, profile=profile.decode()))

    async def _revoke(self, call: ApiCall) -> web.Response:
        name, wanted = call.at["tenant"], await wanted_of(call, RevocationWanted)  # its devices outlive its [[tenant]]
        revocation = Command(
            command="revoke", user=user_of(call, wanted.user), tenant=name, device=wanted.device, credential=wanted.id,
            all=wanted.all,
        )  # fmt: skip
        return answer_of(await self.carried_out(revocation))
