"""What the routes of the API have in common: the supervisor as they see it, bodies, answers, entity tags."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec
from aiohttp import web

from pdns.config.schema import Config
from pdns.config.watch import Loaded
from pdns.errors import ConfigErrors
from pdns.free_text import accepted
from pdns.http.server import Problem
from pdns.state.commands import MAX_REASON_CHARACTERS
from pdns.supervisor.cache_commands import CacheCommands
from pdns.supervisor.config_changes import Condition, ConfigChanges, ConfigRow
from pdns.supervisor.worker_pool import WorkerPool
from pdns.telemetry.counters import Counters

T = TypeVar("T")
_ETAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


class ApiSource(Protocol):
    """What the API needs from the supervisor."""

    @property
    def config(self) -> Config: ...
    @property
    def live(self) -> Loaded: ...
    @property
    def counters(self) -> Sequence[Counters]: ...
    @property
    def processes(self) -> Mapping[str, int]: ...
    @property
    def workers(self) -> WorkerPool: ...
    @property
    def reload_successful(self) -> bool: ...
    @property
    def reload_success_s(self) -> float: ...
    @property
    def config_path(self) -> Path: ...
    @property
    def changes(self) -> ConfigChanges: ...
    @property
    def cached(self) -> CacheCommands: ...

    async def reload(self) -> None: ...


class ConfigProblem(msgspec.Struct, frozen=True):
    """One error in the configuration."""

    file: str
    key: str
    reason: str


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every refused request. `errors`: what is wrong with a configuration."""

    error: str
    errors: list[ConfigProblem] = []


class DoneOrNot(msgspec.Struct, frozen=True):
    """What came of a command."""

    done: bool
    text: str


def as_json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response with `value` as JSON."""
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", status=status, headers=headers)


def refusal_of(error: ConfigErrors, status: int = 422) -> Problem:
    """The response to a configuration that is not valid."""
    problem = Problem(status, str(error))
    problem.body = Refusal(str(error), [ConfigProblem(one.file, one.key, one.reason) for one in error.errors])
    return problem


async def json_body(request: web.BaseRequest, kind: type[T]) -> T:
    """The body as `kind`. Raises `Problem` for another content type, and `msgspec.DecodeError`."""
    if request.content_type != "application/json":
        raise Problem(415, "expected Content-Type: application/json")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except RecursionError:
        raise Problem(400, "nested too deeply") from None


def reason_of(request: web.BaseRequest, *, required: bool = True) -> str:
    """Why a change is made. Raises `Problem` without one, and `ValueError` for a text that is not accepted."""
    reason = accepted("reason", request.query.get("reason", ""), MAX_REASON_CHARACTERS)
    if not reason and required:
        raise Problem(400, "reason: say why, as in ?reason=ticket+4711: others will want to know")
    return reason


def condition_of(request: web.BaseRequest) -> Condition:
    """What If-Match or If-None-Match demand (RFC 9110, 13.1). Raises `Problem` without either (RFC 6585, 3)."""
    match, none = request.headers.getall("If-Match", []), request.headers.getall("If-None-Match", [])
    if bool(match) == bool(none):
        raise Problem(428, "expected If-Match with the ETag that you have seen, or If-None-Match: * to create")
    if none:
        if [text.strip() for text in none] != ["*"]:
            raise Problem(400, "If-None-Match: expected *")
        return lambda row: row is None
    text = ",".join(match).strip()
    if text == "*":
        return lambda row: row is not None
    tags = [tag.strip() for tag in text.split(",")]
    if not all(_ETAG.fullmatch(tag) for tag in tags):
        raise Problem(400, "If-Match: expected entity tags in quotes, or *")

    def as_seen(row: ConfigRow | None) -> bool:
        return row is not None and row.etag in tags

    return as_seen
