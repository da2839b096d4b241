"""A web page on loopback that says hello."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

HELLO: Final = "<title>hello</title>"


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(HELLO.encode())

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def hello_page() -> Iterator[int]:
    """Its port on 127.0.0.1."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hello) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        try:
            yield web.server_address[1]
        finally:
            web.shutdown()
            thread.join()
