"""What listens on the metrics port may be another program."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pdns.cli.live_server import upstream_states
from pdns.config.admin_schema import Metrics
from pdns.config.schema import Config

OK = b"HTTP/1.1 200 OK\r\n"
PAGE = b'pdns_upstream_up{upstream="a"} 1\npdns_upstream_up{upstream="b"} 0\npdns_upstream_useful{upstream="a"} 0\n'


@contextlib.contextmanager
def listening(said: bytes, *, drip: bytes = b"") -> Iterator[Config]:
    """Something that says `said` to each connection and ends it, after `drip` a few times a second if there is one."""
    stop = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with contextlib.suppress(OSError), peer:
                    peer.recv(4096)
                    peer.sendall(said)
                    while drip and not stop.wait(0.2):
                        peer.sendall(drip)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield Config(metrics=Metrics(listen=f"127.0.0.1:{listener.getsockname()[1]}"))
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            server.join()


def test_the_server() -> None:
    """Its gauges say how each upstream does."""
    with listening(OK + b"\r\n" + PAGE) as config:
        assert upstream_states(config) == {"a": "useless", "b": "down"}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"X: " + 70_000 * b"x" + b"\r\n\r\n",
        OK + 200 * b"X: x\r\n" + b"\r\n",
        OK + b"\r\n\xff\xfe",
        OK + b"\r\n<html>",
        OK + b'\r\npdns_upstream_up{upstream="a} 1\n',
        OK + b"\r\npdns_upstream_up{} 1\n",
        OK + b"\r\npdns_upstream_up{\n",
        OK + b"\r\n{\n}\n#\n# TYPE\n# HELP\n",
        b"HTTP/1.1 404 Not Found\r\n\r\n",
    ],
)
def test_another_program(said: bytes) -> None:
    """Whatever it says, nothing is known of upstreams, and nothing is raised."""
    with listening(said) as config:
        assert upstream_states(config) == {}


def test_no_redirect_is_followed() -> None:
    """What listens there does not choose who is asked."""
    with listening(OK + b"\r\n" + PAGE) as other:
        location = f"Location: http://{other.metrics.listen}/metrics\r\n\r\n"
        said = b"HTTP/1.1 302 Found\r\n" + location.encode()
        with listening(said) as config:
            assert upstream_states(config) == {}


@pytest.mark.parametrize("said", [OK, OK + b"\r\n"], ids=["header", "page"])
def test_an_answer_without_an_end_is_given_up(said: bytes) -> None:
    """Also when each byte comes soon enough."""
    with listening(said, drip=b"#\n") as config:
        before_s = time.monotonic()
        assert upstream_states(config) == {}
        assert time.monotonic() - before_s < 60
