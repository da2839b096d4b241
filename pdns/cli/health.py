"""`pdns health`: for programs that send clients elsewhere while the resolver does not answer: keepalived, BIRD, ExaBGP."""

from __future__ import annotations

import select
import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from pdns.cli.health_probe import DEGRADED, DOWN, UP, Address, Probe, ProbeResult, Steady, follow

EXIT_CODES: Final = {UP: 0, DOWN: 1, DEGRADED: 3}  # 2: wrong options
_DNS_PORT: Final = 53
_METRICS_PORT: Final = 9153
_SERVER: Final[Address] = "127.0.0.1", _DNS_PORT
_METRICS: Final[Address] = "127.0.0.1", _METRICS_PORT


def command(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Take the two addresses from this configuration")
    ] = None,
    server: Annotated[
        str, typer.Option("--server", "-s", metavar="ADDRESS", help="Where clients ask [default: 127.0.0.1:53]")
    ] = "",
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics", "-m", metavar="ADDRESS", help='As metrics.listen; "off": do not ask /readyz [default: 127.0.0.1:9153]'
        ),
    ] = "",
    forwarded: Annotated[
        str, typer.Option("--forwarded", metavar="NAME", help="Ask upstreams for new names below NAME as well")
    ] = "",
    maintenance: Annotated[Path, typer.Option("--maintenance", metavar="FILE", help="Report degraded while FILE exists")] = Path(
        "/run/protective-dns/maintenance"
    ),
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.05, max=30.0, help="For each question")] = 1.0,
    *,
    follows: Annotated[bool, typer.Option("--follow", help="Ask until stopped, and print each change")] = False,
    interval: Annotated[
        float, typer.Option("--interval", metavar="SECONDS", min=0.05, max=3600.0, help="With --follow: between two probes")
    ] = 1.0,
    rise: Annotated[int, typer.Option("--rise", min=1, max=1000, help="With --follow: good probes before it is up")] = 3,
    fall: Annotated[int, typer.Option("--fall", min=1, max=1000, help="With --follow: bad probes before it is down")] = 2,
    repeat: Annotated[
        float, typer.Option("--repeat", metavar="SECONDS", min=0.0, max=3600.0, help="With --follow: print the state this often")
    ] = 0.0,
) -> None:
    """Ask /readyz and the resolver, and exit with 0 (up), 1 (down), or 3 (degraded: other servers are better)."""
    configured = _configured(config) if config is not None else (_SERVER, _METRICS)
    asked = Probe(
        _address("--server", server, _DNS_PORT) if server else configured[0],
        None if metrics == "off" else _address("--metrics", metrics, _METRICS_PORT) if metrics else configured[1],
        timeout,
        _name(forwarded),
        maintenance,
        as_client=config is None,
    )
    if follows:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            follow(asked.run, Steady(rise, fall), interval, _report, _sleep, repeat_s=repeat)
        except (BrokenPipeError, KeyboardInterrupt):
            sys.stderr.close()  # the reader is gone: nothing to report to
            raise typer.Exit(1) from None
    verdict = asked.run()
    _report(verdict)
    raise typer.Exit(EXIT_CODES[verdict.state])


def _sleep(seconds: float) -> None:
    """Raises `BrokenPipeError` as soon as the reader of what is printed is gone."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if output.poll(1000 * seconds):
        raise BrokenPipeError


def _report(verdict: ProbeResult) -> None:
    print(verdict.state, flush=True)
    if verdict.reason:
        print(f"pdns health: {verdict.reason}", file=sys.stderr, flush=True)


def _configured(file: Path) -> tuple[Address | None, Address]:
    """The first address of `server.listen`, and that of the metrics. None if only load balancers may send queries."""
    from pdns.config.addresses import parse_endpoint, reachable  # noqa: PLC0415 (with the option only: it imports much)
    from pdns.config.load import load  # noqa: PLC0415
    from pdns.errors import ConfigErrors  # noqa: PLC0415

    try:
        loaded = load(file)
    except ConfigErrors as error:  # a server may run with the configuration before; but its addresses are not known here
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CODES[DOWN]) from None
    asked, metrics = (reachable(parse_endpoint(text)) for text in (loaded.server.listen[0], loaded.metrics.listen))
    return None if loaded.server.proxy_protocol_from else (asked.host, asked.port), (metrics.host, metrics.port)


def _address(option: str, text: str, default_port: int) -> Address:
    from pdns.config.addresses import parse_endpoint  # noqa: PLC0415 (with the options only: it imports much)
    from pdns.errors import InvalidAddress  # noqa: PLC0415

    try:
        endpoint = parse_endpoint(text, default_port)
    except InvalidAddress as error:
        raise typer.BadParameter(f"{error.reason}, got {text!r}", param_hint=option) from None
    return endpoint.host, endpoint.port


def _name(text: str) -> str:
    name = text.rstrip(".")
    try:
        labels = name.encode("idna").split(b".") if name else []
    except UnicodeError:
        labels = [b""]
    if len(name) > 200 or not all(0 < len(label) < 64 for label in labels):
        raise typer.BadParameter(f"expected a domain name, got {text!r}", param_hint="--forwarded")
    return b".".join(labels).decode("ascii")
