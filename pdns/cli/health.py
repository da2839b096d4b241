"""`pdns health`: asks the running server over DNS and HTTP whether it works. For health checks of containers and of routers."""

from __future__ import annotations

import secrets
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated, Final

import typer

from pdns.config.addresses import Endpoint, parse_endpoint, reachable
from pdns.config.load import default_config_path, load
from pdns.config.schema import Config
from pdns.errors import ConfigErrors

EXIT_UNHEALTHY: Final = 1
_QUESTION: Final = b"\x09localhost\x00\x00\x01\x00\x01"  # answered without an upstream
_HEADER_REST: Final = b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"  # RD, one question
_TRIES: Final = 3


def command(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration [default: as for serve]")
    ] = None,
    *,
    ready: Annotated[bool, typer.Option("--ready", help="Also whether clients should be sent here, as /readyz")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="For all questions together")] = 6.0,
) -> None:
    """Ask the running server a query and its health page. Exit with 0 if it answers both; else print why not, and exit with 1."""
    try:
        loaded = load(default_config_path(config))
    except ConfigErrors as failure:
        # The server may run with the configuration before; but the addresses of that are not known here.
        typer.echo(str(failure), err=True)
        raise typer.Exit(EXIT_UNHEALTHY) from None
    faults = unhealthy(loaded, ready=ready, timeout_s=timeout_s)
    for fault in faults:
        typer.echo(fault, err=True)
    raise typer.Exit(EXIT_UNHEALTHY if faults else 0)


def unhealthy(config: Config, *, ready: bool = False, timeout_s: float = 6.0) -> list[str]:
    """What is wrong with the server that runs with this configuration, one line each; [] if it works.

    Takes at most `timeout_s`.
    """
    share_s = timeout_s / (_TRIES + 1)
    found = [_page(reachable(parse_endpoint(config.metrics.listen)), "/readyz" if ready else "/healthz", share_s)]
    listening = [reachable(parse_endpoint(text)) for text in config.server.listen]
    if not config.server.proxy_protocol_from:  # else a query without its header may be refused
        found.append(_any_answer(listening, share_s))
    return [fault for fault in found if fault]


def _page(where: Endpoint, path: str, timeout_s: float) -> str:
    connection = HTTPConnection(where.host, where.port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={"Host": str(where)})
        answer = connection.getresponse()
        text = answer.read(4096).decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        return f"http://{where}{path}: {str(error) or type(error).__name__}"
    finally:
        connection.close()
    return "" if answer.status == 200 else f"http://{where}{path}: {answer.status}: {text}"


def _any_answer(listening: list[Endpoint], timeout_s: float) -> str:
    """Whether an address answers a query over UDP; REFUSED is an answer too."""
    fault = "no address to ask"
    for attempt in range(_TRIES):
        where = listening[attempt % len(listening)]
        query = secrets.token_bytes(2) + _HEADER_REST + _QUESTION
        try:
            with socket.socket(socket.AF_INET6 if ":" in where.host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.settimeout(timeout_s)
                sock.connect(socket.getaddrinfo(where.host, where.port, sock.family, sock.type)[0][4])
                sock.send(query)
                answer = sock.recv(4096)
            if answer[:2] == query[:2] and answer[2] & 0x80:
                return ""
            fault = f"{where}: what answers is no DNS server"
        except OSError as error:
            fault = f"{where}: no answer to a query over UDP: {error}"
    return fault
