"""Webhooks: one signed request for each record, which a server that takes it gets once."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from pdns.config.sink_schema import SinkSection
from pdns.errors import SinkError
from pdns.event_store.event import Event, Finding, Record
from pdns.events.sink import Sink
from pdns.events.sinks import make_sink
from pdns.events.sinks.webhook import WebhookSink
from tests.unit.events.records import EVENT, FINDING, event, hostile

Request = tuple[dict[str, str], bytes]


def with_server(
    answers: Callable[[Request], int], work: Callable[[Sink, list[Request]], Awaitable[None]], **keys: Any
) -> list[Request]:
    """Do `work` with a webhook to a server that answers each request with the status of `answers`. Returns the requests."""
    requests: list[Request] = []

    async def whole() -> None:
        async def handle(request: web.Request) -> web.Response:
            requests.append((dict(request.headers), await request.read()))
            return web.Response(status=answers(requests[-1]), headers={"Location": "/elsewhere"})

        app = web.Application()
        app.router.add_post("/hook", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        sink = make_sink(SinkSection(name="hook", kind="webhook", url=f"http://127.0.0.1:{port}/hook?token=secret", **keys))
        try:
            await work(sink, requests)
        finally:
            await sink.close()
            await runner.cleanup()

    asyncio.run(whole())
    return requests


def sending(*batches: Sequence[Record]) -> Callable[[Sink, list[Request]], Awaitable[None]]:
    async def work(sink: Sink, _: list[Request]) -> None:
        for batch in batches:
            await sink.write(batch)

    return work


def keys_of(requests: list[Request]) -> list[str]:
    return [headers["Idempotency-Key"] for headers, _ in requests]


def test_requests(tmp_path: Path) -> None:
    """Each record is a POST with its id as key, and a signature that the receiver can check with the shared secret."""
    (tmp_path / "secret").write_text("hunter2hunter2\n")
    sent = [FINDING, EVENT, *hostile()]
    requests = with_server(lambda _: 204, sending(sent), secret_file=str(tmp_path / "secret"))
    assert keys_of(requests) == [str(record.id) for record in sent]
    for record, (headers, body) in zip(sent, requests, strict=True):
        message = headers["X-Pdns-Timestamp"].encode() + b"." + body
        assert headers["X-Pdns-Signature"] == f"sha256={hmac.new(b'hunter2hunter2', message, hashlib.sha256).hexdigest()}"
        assert headers["Content-Type"] == "application/json"
        document = json.loads(body)
        assert document["metadata"]["uid"] == str(record.id)
        if isinstance(record, Event):
            assert document["query"]["hostname"] == record.qname
        elif isinstance(record, Finding) and record.subject:
            assert document["evidences"][0]["query"]["hostname"] == record.subject


def test_what_was_taken_is_not_sent_again() -> None:
    """A failure in the middle repeats nothing before it. The error does not show the query of the URL."""
    statuses = iter([200, 503, 200, 302, 200])

    async def work(sink: Sink, _: list[Request]) -> None:
        records = [event(1), event(2), event(3)]
        with pytest.raises(SinkError, match=r"/hook\?\*\*\*: HTTP status 503") as caught:
            await sink.write(records)
        assert "token" not in str(caught.value)
        with pytest.raises(SinkError, match="HTTP status 302"):  # redirects are not followed
            await sink.write(records)
        await sink.write(records)

    requests = with_server(lambda _: next(statuses), work)
    assert keys_of(requests) == ["1", "2", "2", "3", "3"]


def test_records_that_are_refused() -> None:
    """A record that the server will never take is counted and does not hold up those after it."""

    async def work(sink: Sink, _: list[Request]) -> None:
        assert isinstance(sink, WebhookSink)
        await sink.write([event(1), event(2), event(3)])
        assert sink.take_refused() == [event(2)]
        assert sink.take_refused() == []

    requests = with_server(lambda request: 422 if request[0]["Idempotency-Key"] == "2" else 200, work)
    assert keys_of(requests) == ["1", "2", "3"]
    assert "X-Pdns-Signature" not in requests[0][0]


def test_no_server() -> None:
    """Where there is no server, the error says so."""
    sink = make_sink(SinkSection(name="hook", kind="webhook", url="http://127.0.0.1:1/hook"))

    async def work() -> None:
        with pytest.raises(SinkError, match=r"http://127\.0\.0\.1:1/hook: "):
            await sink.write([EVENT])
        await sink.close()

    asyncio.run(work())


def test_a_secret_that_cannot_be_read(tmp_path: Path) -> None:
    """Nothing is sent without the signature that is configured."""
    (tmp_path / "empty").write_text("\n")
    for name, says in (("missing", "cannot be read"), ("empty", "got an empty file")):
        sink = make_sink(SinkSection(name="h", kind="webhook", url="http://127.0.0.1:1/", secret_file=str(tmp_path / name)))
        with pytest.raises(SinkError, match=says):
            asyncio.run(sink.write([EVENT]))
