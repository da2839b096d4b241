"""Blocked queries: how they are counted, what the log says, and what happens before the feeds are loaded."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pdns.wire import protocol as p
from tests.blocksets import make_blockset
from tests.fakes import upstream as fake
from tests.fakes.service_bench import bench
from tests.protocol.conftest import Run
from tests.wire import answers, ede, query_wire


def test_blocking_is_counted_by_feed_and_tenant(run: Run) -> None:
    """A blocked query counts for its tenant, feed, category and action, from the cache as well; drop is silent and counted."""

    async def body() -> None:
        sections: dict[str, Any] = {
            "feed": [{"name": "alpha", "url": "file:a"}, {"name": "watch", "url": "file:w", "mode": "monitor"}],
            "tenant": [{"name": "coventry", "networks": ["10.7.0.0/16"]}],
        }
        blockset = make_blockset({"alpha": "bad.example", "watch": "monitored.example"})
        async with bench(**sections) as b:
            b.service.adopt(b.service.rules.with_blockset(blockset))
            for _ in range(3):
                assert answers(b.send(query_wire("x.bad.example"), client="10.7.1.1")[0]) == ["192.0.2.1"]
            assert b.count("blocked_total", "coventry", "alpha", "malware", "sinkhole") == 3
            for number in range(2):
                b.send(query_wire(f"{number}.bad.example"), transport="tcp")
            assert b.count("query_duration_seconds:bucket", "blocked") == 5
            await b.ask("monitored.example")
            await b.ask("monitored.example")
            assert b.count("would_block_total", "default", "watch") == 2
            assert b.upstream.names() == ["monitored.example"]
        async with bench(block={"action": "drop"}, **sections) as b:
            b.service.adopt(b.service.rules.with_blockset(blockset))
            assert b.send(query_wire("bad.example")) == []
            assert b.count("blocked_total", "drop") == 1

    run(body())


def test_only_what_a_monitored_feed_would_block_is_logged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """The log has a line for a name that a feed in monitor mode lists, and none for a name that is blocked, not even when it is
    blocked because of where its answer leads.
    """

    async def body() -> None:
        feeds = [{"name": "alpha", "url": "file:a"}, {"name": "watch", "url": "file:w", "mode": "monitor"}]
        leads_to_bad = fake.records(fake.rr(p.CNAME, b"\3bad\7example\0"))
        async with bench(fake.by_name({"leads.example": leads_to_bad}, fake.answer()), feed=feeds) as b:
            b.service.adopt(b.service.rules.with_blockset(make_blockset({"alpha": "bad.example", "watch": "monitored.example"})))
            assert answers(await b.ask("bad.example")) == ["192.0.2.1"]
            assert answers(await b.ask("leads.example")) == ["192.0.2.1"]
            assert b.count("blocked_total", "alpha") == 2
            for transport in ("udp", "udp", "tcp"):
                await b.ask("monitored.example", transport=transport)
            assert b.upstream.names().count("monitored.example") == 1

    with caplog.at_level("INFO", "pdns.worker.monitor_log"):
        run(body())
    lines = [record.getMessage() for record in caplog.records if record.name == "pdns.worker.monitor_log"]
    assert lines == ["would block monitored.example for tenant default: listed by watch (malware)"] * 3, "from the cache as well"


def test_not_ready_until_the_required_feeds_are_there(run: Run) -> None:
    """SERVFAIL with EDE 14 until the blockset holds every required feed; once ready, a feed added later does not undo it."""

    async def body() -> None:
        feeds = [{"name": "alpha", "url": "file:a", "required": True}]
        async with bench(fake.answer("192.0.2.9"), feed=feeds) as b:
            assert ede(b.send(query_wire("www.example"))[0]) == (14, "required feeds are not loaded yet: alpha")
            b.service.adopt(b.service.rules.with_blockset(make_blockset({"other": "bad.example"})))
            assert (b.service.rules.ready, b.service.rules.missing) == (False, ("alpha",))
            b.service.adopt(b.service.rules.with_blockset(make_blockset({"alpha": "bad.example"}, configured=b.config.feed)))
            assert answers(await b.ask("www.example")) == ["192.0.2.9"]
            more = msgspec.structs.replace(
                b.config, feed=(*b.config.feed, msgspec.structs.replace(b.config.feed[0], name="beta"))
            )
            b.service.adopt(b.service.rules.with_config(more), b.forwarder)
            assert (b.service.rules.ready, b.service.rules.missing) == (True, ("beta",))
            assert answers(b.send(query_wire("www.example"))[0]) == ["192.0.2.9"]

    run(body())
