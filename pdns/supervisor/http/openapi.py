"""The OpenAPI description of the API, made of the table of its routes and the structs of its bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from pdns import __version__
from pdns.supervisor.http.api_parts import Refusal
from pdns.supervisor.http.api_routes import ApiQuery, ApiRoute

_REF: Final = "#/components/schemas/{name}"
_ALWAYS: Final = (400, 401, 403, 413, 415, 421, 431, 500, 503)
_TEXT: Final = {"type": "string"}
_ETAG: Final = {"ETag": {"description": "strong entity tag, for If-Match", "schema": _TEXT}}


def description(routes: Iterable[ApiRoute]) -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    routes = list(routes)
    bodies = (kind for route in routes for kind in (route.answer, route.body) if kind is not None)
    kinds = list({repr(kind): kind for kind in (Refusal, *bodies)}.values())
    schemas, components = _schemas(kinds)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "pdns", "version": __version__, "description": "Commands and status of a protective DNS resolver"},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _schemas(kinds: list[Any]) -> tuple[dict[Any, Any], dict[str, Any]]:
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    return dict(zip(map(repr, kinds), schemas, strict=True)), components


def _operation(route: ApiRoute, schemas: Mapping[str, Any]) -> dict[str, Any]:
    answer = schemas[repr(route.answer)]
    contents = {"application/json": {"schema": answer}, **{kind: {"schema": _TEXT} for kind in route.other}}
    refusal = {"application/json": {"schema": schemas[repr(Refusal)]}}
    whole: dict[str, Any] = {"content": contents}
    if route.conditional and route.method == "PUT":
        whole["headers"] = _ETAG
    first = 202 if 202 in route.statuses else 200
    responses = {str(first): {"description": "Done" if first == 200 else "Started", **whole}}
    for status in sorted({*_ALWAYS, *route.statuses} - {first}):
        body = whole if status < 400 else {"content": refusal}
        if status == 409:
            both = [schemas[repr(Refusal)], answer]
            body = {"content": {"application/json": {"schema": {"anyOf": both}}}}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, **body}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}_{re.sub('[^a-z]+', '_', route.path).strip('_')}",
        "parameters": [*(_path_parameter(name, route) for name in route.parameters), *map(_query_parameter, route.query)],
        "responses": responses,
        "x-roles": _roles(route),
    }
    if route.conditional:
        operation["parameters"] += [_header("If-Match", "the ETag that was seen"), _header("If-None-Match", "*: create only")]
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.body_required,
            "content": {route.body_type: {"schema": schemas[repr(route.body)]}},
        }
    return operation


def _roles(route: ApiRoute) -> list[str]:
    """The roles of tokens that may use it; "tenant" for its own tenant only."""
    if route.access == "anyone":
        return ["read", "tenant", "admin"]
    return [*(["read"] if route.access == "read" else []), *(["tenant"] if route.tenant else []), "admin"]


def _path_parameter(name: str, route: ApiRoute) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}
    if name in route.choices:
        schema = {"type": "string", "enum": list(route.choices[name])}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameter(query: ApiQuery) -> dict[str, Any]:
    schema = {**_TEXT, "minLength": 1} if query.required else _TEXT
    return {"name": query.name, "in": "query", "required": query.required, "description": query.meaning, "schema": schema}


def _header(name: str, meaning: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": meaning, "schema": _TEXT}
