"""The status that `pdns top` shows, read from the running server once a second in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from typing import Final, NamedTuple

import msgspec

from pdns.config.addresses import Endpoint, parse_endpoint, reachable
from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.telemetry.live_status import LiveStatus

EVERY_S: Final = 1.0
PATIENCE_S: Final = 5.0
PATH: Final = "/status.json"
_MOST_BYTES: Final = 16 * 1024 * 1024


class NoStatusError(PdnsError):
    """The server does not say how it does."""


class Latest(NamedTuple):
    """The last status, and since when there is no newer one (seconds since the epoch; 0.0: it is fresh) and why."""

    status: LiveStatus | None = None
    raw: bytes = b""
    lost_s: float = 0.0
    problem: str = ""


def endpoint_of(config: Config) -> Endpoint:
    """Where the server with this configuration has its status page."""
    return reachable(parse_endpoint(config.metrics.listen))


def read_once(where: Endpoint, within_s: float = PATIENCE_S) -> Latest:
    """The status now. Raises `NoStatusError`, after `within_s` at the latest."""
    found: list[Latest | NoStatusError] = []
    # a thread: what listens there may send a byte now and then, without an end
    reader = threading.Thread(target=lambda: found.append(_read_or_error(where, within_s)), daemon=True)
    reader.start()
    reader.join(within_s)
    if not found:
        raise NoStatusError(f"{_url(where)}: no answer within {within_s:.0f} s")
    if isinstance(found[0], NoStatusError):
        raise found[0]
    return found[0]


class StatusReaderThread:
    """Keeps the latest status."""

    def __init__(self, where: Endpoint, first: Latest, on_news: Callable[[], None]) -> None:
        """`on_news` is called in the thread when there is something new."""
        self.latest = first
        self._where, self._on_news = where, on_news
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Does not wait: the thread ends with the process."""
        self._stop.set()

    def _run(self) -> None:
        next_s = time.monotonic()
        while True:
            next_s = max(next_s + EVERY_S, time.monotonic())
            if self._stop.wait(next_s - time.monotonic()):
                return
            try:
                self.latest = read_once(self._where)
            except NoStatusError as error:
                before = self.latest
                self.latest = before._replace(lost_s=before.lost_s or time.time(), problem=str(error))
            self._on_news()


def _read_or_error(where: Endpoint, within_s: float) -> Latest | NoStatusError:
    connection = HTTPConnection(where.host, where.port, timeout=within_s)
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        raw = response.read(_MOST_BYTES)
        if response.status == 404:
            return NoStatusError(_off(where, raw))
        if response.status != 200:
            return NoStatusError(f"{_url(where)}: status {response.status}: {raw[:200].decode(errors='replace').strip()}")
        return Latest(msgspec.json.decode(raw, type=LiveStatus), raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NoStatusError(f"{_url(where)}: what listens there is not this version of pdns")
    except (OSError, HTTPException, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
        return NoStatusError(f"{_url(where)}: {reason}: is the server running?")
    finally:
        connection.close()


def _off(where: Endpoint, said: bytes) -> str:
    if b"metrics.status_page" in said:
        return 'the server shows no status: metrics.status_page is "off"'
    return f"{_url(where)}: there is no status page: is the server of an earlier version?"


def _url(where: Endpoint) -> str:
    return f"http://{where}{PATH}"
