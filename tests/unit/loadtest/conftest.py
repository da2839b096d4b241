"""A UDP server in a thread, for what the programs must notice about servers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

from loadtest import build
from loadtest.loopback import Address, udp_socket

Answer = Callable[[bytes], bytes | None]


@contextlib.contextmanager
def udp_server(answer: Answer) -> Iterator[Address]:
    """Answers each datagram with what `answer` makes of it; None for silence."""
    with udp_socket() as sock:
        sock.settimeout(0.02)
        leaving = threading.Event()

        def serve() -> None:
            while not leaving.is_set():
                with contextlib.suppress(TimeoutError):
                    data, client = sock.recvfrom(65535)
                    if (reply := answer(data)) is not None:
                        sock.sendto(reply, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address(*sock.getsockname())
        finally:
            leaving.set()
            thread.join()


@pytest.fixture
def compiled() -> None:
    """Skips what needs the C programs where there is no compiler to build them."""
    if build.compiler() is None:
        pytest.skip("no C compiler")
