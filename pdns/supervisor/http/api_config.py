"""The routes about the configuration: tenants and policies, checks, reloads, what is live, who changed what."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from pdns.blockset.generations import blocksets_directory
from pdns.config.conf_d import API_SECTIONS
from pdns.config.load import from_tables
from pdns.config.policies import policies_at
from pdns.config.schema import Config
from pdns.errors import ConfigError, ConfigErrors, PdnsError
from pdns.files.safe_files import read_state
from pdns.http.server import Problem
from pdns.state import audit_log
from pdns.supervisor.config_changes import ChangedMeanwhileError, SetElsewhereError, row, rows
from pdns.supervisor.http.api_parts import ApiSource, DoneOrNot, as_json, condition_of, json_body, reason_of, refusal_of
from pdns.supervisor.http.api_routes import ApiCall, ApiQuery, ApiRoute
from pdns.telemetry.stats import OVERRIDES_REVISION
from pdns.version import COMMIT, VERSION

_MANIFEST_BYTES: Final = 16 * 1024 * 1024
_PLURALS: Final = {"tenant": "tenants", "policy": "policies"}
_REASON: Final = ApiQuery("reason", "why; kept in the audit log", required=True)

_log = logging.getLogger(__name__)


class ConfigItem(msgspec.Struct, frozen=True):
    """A tenant or a policy. `table` is as it is written in `file`."""

    name: str
    etag: str
    file: str
    table: dict[str, Any]


class WorkerVersion(msgspec.Struct, frozen=True):
    """What one worker uses."""

    name: str
    pid: int | None
    answers: bool
    blockset_generation: int
    overrides_revision: int


class LiveVersion(msgspec.Struct, frozen=True):
    """What is live. Hashes are SHA-256; that of the configuration has 12 digits, as in the log."""

    version: str
    commit: str
    config_file: str
    config_sha256: str
    config_files: dict[str, str]
    last_reload_successful: bool
    last_reload_success_s: float
    blockset_generation: int
    blockset_manifest_sha256: str
    workers: list[WorkerVersion]


class CheckedConfig(msgspec.Struct, frozen=True):
    """A configuration without errors."""

    valid: bool


class ConfigRoutes:
    """Tenants, policies, and the configuration as a whole."""

    def __init__(self, facts: ApiSource) -> None:
        self._facts = facts

    def routes(self) -> list[ApiRoute]:
        """The table of these routes."""
        sections = [section for section in API_SECTIONS if section in Config.__struct_fields__]
        return [
            *(route for section in sections for route in self._of_section(section)),
            ApiRoute(
                "GET", "/api/policies/{policy}/settings", self._settings, "What a policy comes to now, with all that it inherits",
                dict[str, Any], "read", commands=("policy show",), statuses=(404,),
            ),
            ApiRoute(
                "POST", "/api/check", self._check, "Check a configuration, which is the body; changes nothing", CheckedConfig,
                body=str, body_type="text/plain", body_required=True, commands=("check",), statuses=(422,),
            ),
            ApiRoute(
                "POST", "/api/reload", self._reload, "Load the configuration files now", DoneOrNot, commands=("reload",),
                query=(ApiQuery("reason", "why; kept in the audit log"),), statuses=(422,),
            ),
            ApiRoute("GET", "/api/version", self._version, "Versions and hashes of what is live", LiveVersion, "read"),
            ApiRoute(
                "GET", "/api/audit", self._audit, "The last changes, the newest first", list[dict[str, Any]], "read",
                commands=("audit",),
            ),
        ]  # fmt: skip

    def _of_section(self, section: str) -> list[ApiRoute]:
        path, one = f"/api/{_PLURALS[section]}", f"/api/{_PLURALS[section]}/{{{section}}}"
        own = "tenant" if section == "tenant" else ""

        async def show_all(_call: ApiCall) -> web.Response:
            found = rows(self._facts.live.parts, section)
            return as_json([ConfigItem(each.name, each.etag, each.file, dict(each.table)) for each in found])

        async def show(call: ApiCall) -> web.Response:
            found = row(self._facts.live.parts, section, call.at[section])
            if found is None:
                raise Problem(404, f"there is no {section} of this name")
            return as_json(found.table, headers={"ETag": found.etag})

        async def put(call: ApiCall) -> web.Response:
            return await self._set(call, section)

        async def remove(call: ApiCall) -> web.Response:
            return await self._remove(call, section)

        changes: dict[str, Any] = {"query": (_REASON,), "conditional": True}
        return [
            ApiRoute("GET", path, show_all, f"Every {section}, with its file", list[ConfigItem], "read"),
            ApiRoute(
                "GET", one, show, f"One {section}, as it is written", dict[str, Any], "read", tenant=own, statuses=(404,)
            ),
            ApiRoute(
                "PUT", one, put, f"Create or replace a {section}", dict[str, Any], body=dict[str, Any], body_required=True,
                statuses=(201, 409, 412, 422, 428), **changes,
            ),
            ApiRoute(
                "DELETE", one, remove, f"Remove a {section}", DoneOrNot, statuses=(404, 409, 412, 422, 428), **changes
            ),
        ]  # fmt: skip

    async def _set(self, call: ApiCall, section: str) -> web.Response:
        name, reason, condition = call.at[section], reason_of(call.request), condition_of(call.request)
        table = await json_body(call.request, dict[str, Any])
        if table.get("name", name) != name:
            raise Problem(400, f"name: expected the one in the path, {name!r}")
        if (key := _null_in(table)) is not None:
            raise Problem(400, f"{key}: null; leave the key out instead")
        new = row(self._facts.live.parts, section, name) is None
        done = await self._change(call, f"set {section}", name, reason, self._facts.changes.set(section, name, table, condition))
        return as_json(done.table, 201 if new else 200, {"ETag": done.etag})

    async def _remove(self, call: ApiCall, section: str) -> web.Response:
        name, reason, condition = call.at[section], reason_of(call.request), condition_of(call.request)
        if row(self._facts.live.parts, section, name) is None:
            raise Problem(404, f"there is no {section} of this name")
        await self._change(call, f"remove {section}", name, reason, self._facts.changes.remove(section, name, condition))
        return as_json(DoneOrNot(done=True, text=f"{section} {name} is removed, in every worker"))

    async def _change(self, call: ApiCall, command: str, name: str, reason: str, change: Any) -> Any:
        """Carry out `change`, which gives a row or nothing, and write it to the audit log."""
        try:
            done = await change
        except (PdnsError, OSError) as error:
            await self.audit(call, command, name, reason, done=False, outcome=str(error))
            match error:
                case ChangedMeanwhileError():
                    raise Problem(412, str(error)) from None
                case SetElsewhereError():
                    raise Problem(409, str(error)) from None
                case ConfigErrors():
                    raise refusal_of(error) from None
                case ConfigError():
                    raise refusal_of(ConfigErrors([error])) from None
                case PdnsError():
                    raise Problem(422, str(error)) from None
            raise
        await self.audit(call, command, name, reason, done=True, outcome="in force in every worker")
        return done

    async def audit(
        self, call: ApiCall, command: str, name: str, reason: str, *, done: bool, outcome: str, below: bool = False
    ) -> None:
        """Add a line to the audit log. A failure is logged: what was done is done."""
        state_dir = Path(self._facts.config.state.dir)
        details: dict[str, Any] = {"name": name, "reason": reason, "done": done, "outcome": outcome, "below": below}
        what = ascii(f"{command} {name}".strip())[1:-1]
        _log.info("%s, for %s: %s", what, ascii(call.caller.name)[1:-1], outcome)
        try:
            await asyncio.to_thread(audit_log.write, state_dir, call.caller.name, command, **details)
        except OSError as error:
            _log.error("the audit line could not be written: %s", error)

    async def _settings(self, call: ApiCall) -> web.Response:
        settings = policies_at(self._facts.config, time.time()).settings.get(call.at["policy"])
        if settings is None:
            raise Problem(404, "there is no policy of this name")
        return as_json(settings)

    async def _check(self, call: ApiCall) -> web.Response:
        try:
            text = (await call.request.read()).decode("utf-8-sig")
            if not text.strip():
                raise Problem(400, "expected a configuration in the body")
            tables = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise refusal_of(ConfigErrors([ConfigError("body", "", str(error) or "nested too deeply")])) from None
        directory = self._facts.config_path.absolute().parent
        try:
            await asyncio.to_thread(from_tables, tables, "body", directory)
        except ConfigErrors as error:
            raise refusal_of(error) from None
        return as_json(CheckedConfig(valid=True))

    async def _reload(self, call: ApiCall) -> web.Response:
        reason = reason_of(call.request, required=False)
        await self._change(call, "reload", "", reason, self._facts.reload())
        text = f"{self._facts.config_path} is live in every worker (sha256 {self._facts.live.sha256})"
        return as_json(DoneOrNot(done=True, text=text))

    async def _version(self, _call: ApiCall) -> web.Response:
        facts = self._facts
        generation = facts.workers.in_force().generation
        workers = [
            WorkerVersion(
                worker.name,
                worker.child.pid,
                worker.answers,
                worker.memory.counters.value("blockset_generation") or 0,
                worker.memory.counters.value(OVERRIDES_REVISION) or 0,
            )
            for worker in facts.workers.current
        ]
        manifest = blocksets_directory(Path(facts.config.state.dir)) / str(generation) / "manifest.json"
        live = facts.live
        return as_json(
            LiveVersion(
                version=VERSION, commit=COMMIT, config_file=str(facts.config_path), config_sha256=live.sha256,
                config_files=dict(live.parts.files), last_reload_successful=facts.reload_successful,
                last_reload_success_s=facts.reload_success_s, blockset_generation=generation,
                blockset_manifest_sha256=await asyncio.to_thread(_sha256, manifest), workers=workers,
            )
        )  # fmt: skip

    async def _audit(self, _call: ApiCall) -> web.Response:
        return as_json(await asyncio.to_thread(audit_log.read, Path(self._facts.config.state.dir)))


def _sha256(path: Path) -> str:
    """The hash of the file; "" where there is none."""
    try:
        return hashlib.sha256(read_state(path, _MANIFEST_BYTES)).hexdigest()
    except OSError:
        return ""


def _null_in(value: object, key: str = "") -> str | None:
    """The key of the first null in a JSON value; None without one."""
    match value:
        case None:
            return key or "body"
        case Mapping():
            found = (_null_in(child, f"{key}.{name}".lstrip(".")) for name, child in value.items())
        case list():
            found = (_null_in(child, f"{key}[{index}]") for index, child in enumerate(value))
        case _:
            return None
    return next((where for where in found if where is not None), None)
