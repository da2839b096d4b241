"""`pdns health` asks what is really there."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from typer.testing import CliRunner

from loadtest.loopback import free_port
from pdns.__main__ import build
from tests.fakes.http_server import serving


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

    with serving(Handler) as port:
        yield port


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


def config(directory: Path, dns_port: int, http_port: int, more: str = "") -> str:
    path = directory / "pdns.toml"
    listen = f'server.listen = ["127.0.0.1:{dns_port}"]\nmetrics.listen = "0.0.0.0:{http_port}"\n'
    path.write_text(f'upstream.servers = ["192.0.2.53"]\n{listen}{more}')
    return str(path)


def health(*options: str) -> tuple[int, str]:
    done = CliRunner().invoke(build(("health", "check")), ["health", *options])
    return done.exit_code, done.output


def test_any_answer_is_an_answer(tmp_path: Path) -> None:
    """REFUSED too, if the addresses are those of a configuration: then it may be asked from where no client may."""
    with page(200) as http_port:
        with dns(refused) as dns_port:
            assert health("-c", config(tmp_path, dns_port, http_port)) == (0, "up\n")
        with dns(refused) as dns_port:
            code, text = health("-s", f"127.0.0.1:{dns_port}", "-m", f"127.0.0.1:{http_port}")
    assert code == 1
    assert "access.networks" in text


def test_behind_load_balancers_only_the_page_is_asked(tmp_path: Path) -> None:
    """A query without a PROXY header would not be answered."""
    with page(200) as http_port:
        more = 'server.proxy_protocol_from = ["192.0.2.0/24"]\n'
        assert health("-c", config(tmp_path, free_port(), http_port, more))[0] == 0


def test_a_page_that_says_no(tmp_path: Path) -> None:
    """It is shown."""
    with page(503) as http_port:
        code, text = health("-c", config(tmp_path, free_port(), http_port))
    assert (code, "/readyz: said of /readyz" in text) == (1, True)


def test_nothing_there(tmp_path: Path) -> None:
    """The exit code is 1; so it is for a configuration with errors."""
    with page(200) as http_port:
        code, text = health("-c", config(tmp_path, free_port(), http_port))
    assert (code, "connection refused" in text) == (1, True)
    (tmp_path / "pdns.toml").write_text("nonsense = 1\n")
    code, text = health("-c", str(tmp_path / "pdns.toml"))
    assert (code, "nonsense" in text) == (1, True)


def test_an_answer_of_another_kind(tmp_path: Path) -> None:
    """What is sent back as it came is no answer."""
    with page(200) as http_port, dns(lambda query: query) as dns_port:
        code, text = health("-c", config(tmp_path, dns_port, http_port), "--timeout", "0.5")
    assert (code, "no answer within 0.5 s" in text) == (1, True)


def test_it_ends_with_its_reader() -> None:
    """Not only at the next change of the state: what follows it may be gone for good."""
    command = [sys.executable, "-m", "pdns", "health", "--follow", "--server", f"127.0.0.1:{free_port()}", "--metrics", "off"]
    with subprocess.Popen(
        [*command, "--interval", "3600"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "down\n"
        process.stdout.close()
        try:
            assert process.wait(60) == 1
        finally:
            process.kill()
