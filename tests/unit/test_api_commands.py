"""Everything that the command line can do has its route in the API, or a reason why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import typer

from pdns.__main__ import build
from pdns.supervisor.http.api import api_routes
from pdns.supervisor.http.api_routes import ApiCall, ApiRoute
from pdns.supervisor.http.openapi import description
from pdns.supervisor.http.status import StatusReader

WITHOUT_A_ROUTE = {
    "serve": "starts the server",
    "demo": "runs beside any server",
    "feeds check": "fetches sources from where it is run, before there is a server",
    "feeds quality": "reads lists and a history on the machine of the administrator, and takes minutes",
    "policy diff": "compares two files of the machine where it is run",
    "feeds popular": "downloads a list to where it is run",
    "health": "asks from outside whether there is an answer",
    "backup": "writes a file on the machine of the administrator, with secrets in it",
    "restore": "replaces the state of a server that does not run",
    "fleet status": "Prometheus has the same as metrics of all servers",
    "fleet check": "asks the store from where it is run",
    **dict.fromkeys(
        ("fleet promote", "fleet rollback", "fleet pin", "fleet unpin", "fleet take-over"),
        "decides for every server: on the publisher's machine only",
    ),
    **dict.fromkeys(
        ("fleet keys init", "fleet keys rotate", "fleet keys revoke", "fleet keys renew", "fleet keys sign", "fleet keys show"),
        "keys do not leave the machine where they are",
    ),
}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command that does something by itself, with its parents."""
    for name, below in command.commands.items():
        if hasattr(below, "commands"):
            yield from commands(below, (*path, name))
        else:
            yield " ".join((*path, name))


def table() -> list[ApiRoute]:
    async def openapi(_call: ApiCall) -> Any:
        raise NotImplementedError

    facts: Any = SimpleNamespace()
    return api_routes(facts, StatusReader(Path("/nonexistent")), openapi, live=lambda: facts)


def test_every_command_has_its_route() -> None:
    """Each is named by a route, or below with a reason; and what is named is a command."""
    known = set(commands(typer.main.get_command(build())))
    named = {command for route in table() for command in route.commands}
    assert known - named == set(WITHOUT_A_ROUTE)
    assert named - known == set()


def test_the_description_is_of_the_table() -> None:
    """Each route is in the OpenAPI description once, with its parameters, and every reference leads to a schema."""
    routes = table()
    said = description(routes)
    there = {(method.upper(), path) for path, methods in said["paths"].items() for method in methods}
    assert there == {(route.method, route.path) for route in routes}
    assert len(there) == len(routes)
    operations = [operation for methods in said["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(routes)
    text = msgspec.json.encode(said).decode()
    schemas = said["components"]["schemas"]
    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= schemas.keys()
    assert r"\\Z" not in text  # no regular expression of Python alone


def test_a_route_that_changes_something_is_not_open_to_readers() -> None:
    """Only GET has the access read or anyone; what is conditional are PUT and DELETE."""
    for route in table():
        assert route.access == "admin" or route.method == "GET", route
        if route.method == "PUT":
            assert route.conditional, route
