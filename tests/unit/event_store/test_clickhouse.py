"""The ClickHouse sink: its tables on the real engine, and what it makes of a server that fails.

The engine is in this process and has no HTTP interface, so failures of that path are those of a small server.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from msgspec.structs import replace

from pdns.errors import SinkError, StoreError
from pdns.event_store.clickhouse import ClickHouseSink
from pdns.event_store.clickhouse_queries import ClickHouseQueries
from pdns.event_store.clickhouse_schema import ClickHouse, statements
from pdns.event_store.event import Record
from tests.unit.event_store.engines import SETTINGS, ClickHouseEngine
from tests.unit.event_store.records import crowd

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def engine() -> Iterator[ClickHouseEngine]:
    engine = ClickHouseEngine()
    yield engine
    engine.client.close()


def test_a_replay_changes_no_answer(engine: ClickHouseEngine) -> None:
    """Neither with FINAL nor in the view; and merged parts have each record once."""
    records: list[Record] = [*crowd(200)]
    engine.clear()
    engine.write(records)
    counted = "tenant, uniqExactMerge(domains), uniqExactIfMerge(clients), min(first_time)"
    view = f"SELECT {counted} FROM pdns.pdns_days GROUP BY tenant ORDER BY tenant"
    before = engine.rows(view)
    assert len(before) == 4
    engine.write(records)
    engine.write(records[50:])
    assert engine.rows(view) == before
    assert engine.rows("SELECT count() FROM pdns.pdns_events FINAL")[0][0] == 200
    engine.client.command("OPTIMIZE TABLE pdns.pdns_events FINAL")
    assert engine.rows("SELECT count() FROM pdns.pdns_events")[0][0] == 200


def test_the_view_agrees_with_the_events(engine: ClickHouseEngine) -> None:
    """Of the blocked queries of each day and tenant; without a client there is none."""
    engine.clear()
    engine.write(crowd(300))
    view = (
        "SELECT day, tenant, uniqExactMerge(domains), uniqExactIfMerge(clients), min(first_time), max(last_time) "
        "FROM pdns.pdns_days GROUP BY ALL ORDER BY ALL"
    )
    events = (
        "SELECT toDate(time), tenant, uniqExact(listed), uniqExactIf(client, client != ''), min(time), max(last_time) "
        "FROM pdns.pdns_events FINAL WHERE kind = 'blocked' GROUP BY ALL ORDER BY ALL"
    )
    assert engine.rows(view) == engine.rows(events)


def test_tables(engine: ClickHouseEngine) -> None:
    """Months are partitions, rows leave after the configured days, and making the tables again changes nothing."""
    made = engine.rows("SHOW CREATE TABLE pdns.pdns_events")[0][0]
    assert "ENGINE = ReplacingMergeTree" in made
    assert "PARTITION BY toYYYYMM(time)" in made
    assert "ORDER BY (tenant, listed, time, id)" in made
    assert "toIntervalDay(400)" in made
    for name in ("findings", "hours", "days"):
        assert "toIntervalDay(400)" in engine.rows(f"SHOW CREATE TABLE pdns.pdns_{name}")[0][0]
    for statement in statements(replace(SETTINGS, database="other", ttl_days=0)):
        engine.client.command(statement)
    assert "TTL" not in engine.rows("SHOW CREATE TABLE other.pdns_events")[0][0]
    engine.client.command("DROP DATABASE other")
    engine.clear()
    old = crowd(3)
    engine.write([replace(event, time_s=event.time_s - 500 * 86_400) for event in old] + crowd(5)[3:])
    engine.client.command("OPTIMIZE TABLE pdns.pdns_events FINAL")
    assert engine.rows("SELECT count() FROM pdns.pdns_events")[0][0] in (0, 2)  # by the clock of this machine


def test_times_of_any_kind_are_stored(engine: ClickHouseEngine) -> None:
    """No clock makes a batch fail for ever."""
    engine.clear()
    (event,) = crowd(1)
    engine.write([replace(event, id=at, time_s=time_s, last_s=0.0) for at, time_s in enumerate((0.0, -5.0, 1e30, float("nan")))])


class _Failing(BaseHTTPRequestHandler):
    """Answers the first queries of a connection as ClickHouse does, then as `mode` says."""

    mode = "500"
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.mode == "slow":
            self.server.hold.wait(30)  # type: ignore[attr-defined]
            self.close_connection = True
            return
        if self.mode == "closes":
            self.close_connection = True
            return
        if self.mode == "refuses":
            self._answer(401, b"Code: 516. DB::Exception: default: Authentication failed. (AUTHENTICATION_FAILED)")
        elif b"version()" in body:
            self._answer(200, b"26.1.1.1\tUTC\n")
        else:
            self._answer(500, b"Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)")

    do_GET = do_POST  # noqa: N815 (the names of the library)

    def log_message(self, *_args: object) -> None:
        pass

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def failing(mode: str) -> Iterator[str]:
    """The URL of a server that fails in this way."""
    handler = type("Failing", (_Failing,), {"mode": mode})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.hold = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.hold.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("mode", ["500", "slow", "closes", "refuses", "nothing listens"])
def test_a_server_that_fails_is_a_sink_error(mode: str) -> None:
    """Each attempt says where and why, on one line; and a reader says the same."""
    if mode == "nothing listens":
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            check_failure(f"http://127.0.0.1:{sock.getsockname()[1]}")
        return
    with failing(mode) as url:
        check_failure(url)


def check_failure(url: str) -> None:
    settings = ClickHouse(url=url, timeout_s=1.0)

    async def write() -> None:
        sink = ClickHouseSink(settings)
        try:
            for _ in range(2):
                with pytest.raises(SinkError, match=f"ClickHouse at {url}: .") as failure:
                    await sink.write(crowd(2))
                assert "\n" not in str(failure.value)
        finally:
            await sink.close()

    asyncio.run(write())
    with pytest.raises(StoreError, match=f"ClickHouse at {url}: ."):
        ClickHouseQueries(settings)


def test_the_password_is_read_at_each_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the end of its line; a file that is not there is a `SinkError`."""
    seen: list[object] = []

    def client(**keys: object) -> None:
        seen.append(keys)
        raise OSError("as far as needed")

    monkeypatch.setattr("clickhouse_connect.get_client", client)
    file = tmp_path / "password"
    settings = ClickHouse(url="https://click.example/", user="pdns", password_file=str(file))
    with pytest.raises(SinkError, match="password"):
        asyncio.run(ClickHouseSink(settings).write([]))
    file.write_text("p'ss wörd\n")
    with pytest.raises(SinkError, match="as far as needed"):
        asyncio.run(ClickHouseSink(settings).write([]))
    (keys,) = seen
    assert isinstance(keys, dict)
    assert (keys["host"], keys["port"], keys["secure"], keys["password"]) == ("click.example", 8443, True, "p'ss wörd")


def test_the_library_is_optional() -> None:
    """Nothing imports it before it is needed, and without it the error names what to install."""
    code = (
        "import sys; import pdns.event_store.open, pdns.event_store.clickhouse, pdns.event_store.clickhouse_queries; "
        "assert 'clickhouse_connect' not in sys.modules; sys.modules['clickhouse_connect'] = None; import asyncio; "
        "from pdns.event_store.clickhouse import ClickHouse, ClickHouseSink; "
        "asyncio.run(ClickHouseSink(ClickHouse(url='http://localhost')).write([]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert "SinkError" in ran.stderr
    assert "pip install 'protective-dns[clickhouse]'" in ran.stderr
