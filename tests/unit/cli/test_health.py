"""`pdns health` asks what is really there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from msgspec.structs import replace
from typer.testing import CliRunner

from loadtest.loopback import free_port
from pdns.__main__ import build
from pdns.cli.health import unhealthy
from pdns.config.schema import Config, Metrics, Server


@contextmanager
def page(status: int) -> Iterator[int]:
    """Answers every path with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(f"said of {self.path}\n".encode())

        def log_message(self, *_args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def dns(reply: Callable[[bytes], bytes]) -> Iterator[int]:
    """Answers one query."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(30)

        def serve() -> None:
            query, client = sock.recvfrom(512)
            sock.sendto(reply(query), client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield sock.getsockname()[1]
        thread.join()


def refused(query: bytes) -> bytes:
    return query[:2] + b"\x81\x05" + query[4:]


def config(dns_port: int, http_port: int) -> Config:
    server, metrics = Server(listen=(f"127.0.0.1:{dns_port}",)), Metrics(listen=f"0.0.0.0:{http_port}")
    return replace(Config(), server=server, metrics=metrics)


def test_any_answer_is_an_answer() -> None:
    """REFUSED too: the health check may ask from where no client may."""
    with page(200) as http_port, dns(refused) as dns_port:
        assert unhealthy(config(dns_port, http_port)) == []


def test_a_page_that_says_no() -> None:
    """It is shown; `--ready` asks the other page."""
    with page(503) as http_port:
        for ready, path in ((False, "/healthz"), (True, "/readyz")):
            with dns(refused) as dns_port:
                (fault,) = unhealthy(config(dns_port, http_port), ready=ready)
            assert f"{path}: 503: said of {path}" in fault


def test_nothing_there(tmp_path: Path) -> None:
    """Both are named, and the exit code is 1; so it is for a configuration with errors."""
    dns_port, http_port = free_port(), free_port()
    path = tmp_path / "pdns.toml"
    path.write_text(
        f'upstream.servers = ["192.0.2.53"]\nserver.listen = ["127.0.0.1:{dns_port}"]\nmetrics.listen = "127.0.0.1:{http_port}"\n'
    )
    done = CliRunner().invoke(build(("health", "check")), ["health", "-c", str(path), "--timeout", "1"])
    assert done.exit_code == 1
    assert "/healthz" in done.output
    assert f"127.0.0.1:{dns_port}: no answer to a query over UDP" in done.output
    path.write_text("nonsense = 1\n")
    done = CliRunner().invoke(build(("health", "check")), ["health", "-c", str(path)])
    assert (done.exit_code, "nonsense" in done.output) == (1, True)


def test_an_answer_of_another_kind() -> None:
    """What is sent back as it came is no answer."""
    with page(200) as http_port, dns(lambda query: query) as dns_port:
        faults = unhealthy(config(dns_port, http_port), timeout_s=1.0)
    assert len(faults) == 1
