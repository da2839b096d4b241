"""Groups of upstreams: who is asked first, who beside, and who when a group has no answer."""

from __future__ import annotations

import asyncio

import pytest

from pdns.clock import boottime_s
from pdns.wire import protocol as p
from tests.fakes import upstream as fake
from tests.fakes.edges import until
from tests.fakes.loops import run_on
from tests.fakes.udp_edge import TRUE
from tests.fakes.zone_data import servers, zone
from tests.protocol.conftest import Open, Run
from tests.wire import answers, ede, query_wire, read

BACKUP, OTHER = "192.0.2.20", "192.0.2.30"


@pytest.fixture
def run() -> Run:
    """One event loop: who is asked does not depend on it."""
    return lambda main: run_on("uvloop", main)


def test_the_fallback_is_asked_when_the_group_fails(run: Run, edge: Open) -> None:
    """A question that the group refuses, or leaves without an answer, goes to the fallback; good answers never do."""

    async def body() -> None:
        first = fake.by_name({"bad.example": fake.rcode(fake.SERVFAIL), "none.example": fake.negative()}, fake.answer(TRUE))
        async with servers(fake.answer(BACKUP)) as (backup,):
            group = [{"name": "backup", "servers": [f"udp://127.0.0.1:{backup.port}"]}]
            async with edge(first, group=group, upstream={"fallback": "backup"}) as (e, upstream):
                assert answers(await e.ask("good.example")) == [TRUE]
                assert read(await e.ask("none.example")).header.rcode == p.NXDOMAIN
                assert backup.names() == []
                assert answers(await e.ask("bad.example")) == [BACKUP]
                assert upstream.names()[-1] == "bad.example"
                assert backup.names() == ["bad.example"]
                assert e.count("group_fallbacks_total", "default") == 1

    run(body())


def test_a_group_that_is_silent_and_comes_back(run: Run, edge: Open) -> None:
    """The first questions wait two seconds for it; once it is down the fallback is asked at once, until it answers again."""

    async def body() -> None:
        async with servers(fake.answer(BACKUP)) as (backup,):
            group = [{"name": "backup", "servers": [f"udp://127.0.0.1:{backup.port}"]}]
            async with edge(fake.drop, group=group, upstream={"fallback": "backup", "timeout_s": 10.0}, repeats=True) as (
                e,
                upstream,
            ):
                sock = e.send(*[query_wire(f"www.n{number}.example", query_id=number) for number in range(6)])
                assert [answers(await e.reply(sock)) for _ in range(6)] == [[BACKUP]] * 6
                await until(lambda: e.count("upstream_up", f"udp://127.0.0.1:{upstream.port}") == 0)
                assert not dict(e.forwarder.groups_up())["default"]
                asked = len(upstream.names())
                assert answers(await e.ask("www.more.example")) == [BACKUP]
                assert "www.more.example" not in upstream.names()[asked:]
                upstream.handler = fake.answer(TRUE)
                await until(lambda: dict(e.forwarder.groups_up())["default"], 30.0)
                assert answers(await e.ask("www.again.example")) == [TRUE]

    run(body())


def test_the_fallback_has_time_of_its_own(run: Run, edge: Open) -> None:
    """When the fallback goes down soon after it was asked, its answer is still waited for."""

    async def body() -> None:
        async with servers(fake.delayed(fake.answer(BACKUP), 0.7)) as (backup,):
            group = [{"name": "backup", "servers": [f"udp://127.0.0.1:{backup.port}"]}]
            async with edge(fake.drop, group=group, upstream={"fallback": "backup", "timeout_s": 10.0}, repeats=True) as (
                e,
                _upstream,
            ):
                sock = e.send(query_wire("www.example"))
                await until(lambda: backup.names() == ["www.example"])
                (server,) = e.forwarder._groups["backup"].servers
                server.health.up = False
                e.forwarder._went_down(boottime_s())
                assert answers(await e.reply(sock)) == [BACKUP]

    run(body())


def test_in_parallel_with_one_that_cannot_be_sent_to(
    run: Run, edge: Open, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another one says to the query beside is acted upon: here it wants it without EDNS."""

    async def body() -> None:
        old = fake.without_edns(fake.answer(TRUE))
        async with edge(fake.drop, old, upstream={"strategy": "parallel"}) as (e, (first, _second)):
            for server, pools in e.forwarder._pools.items():
                if server.name == f"udp://127.0.0.1:{first.port}":
                    assert pools.udp is not None
                    monkeypatch.setattr(pools.udp, "send", lambda _attempt, _now: False)
            assert answers(await e.ask("www.example")) == [TRUE]
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []

    run(body())


def test_all_groups_fail(run: Run, edge: Open) -> None:
    """The client learns what each upstream of every group said."""

    async def body() -> None:
        async with servers(fake.rcode(fake.REFUSED)) as (backup,):
            group = [{"name": "backup", "servers": [f"udp://127.0.0.1:{backup.port}"]}]
            async with edge(fake.rcode(fake.SERVFAIL), group=group, upstream={"fallback": "backup"}) as (e, upstream):
                wire = await e.ask("www.example")
                assert read(wire).header.rcode == p.SERVFAIL
                told = f"udp://127.0.0.1:{upstream.port} answered SERVFAIL; udp://127.0.0.1:{backup.port} answered REFUSED"
                assert ede(wire) == (22, told)

    run(body())


def test_a_zone_falls_back_to_a_group(run: Run, edge: Open) -> None:
    """A zone's servers can have a fallback too, which is not that of the other names."""

    async def body() -> None:
        async with servers(fake.rcode(fake.REFUSED), fake.answer(BACKUP)) as (corp, backup):
            group = [{"name": "branch", "servers": [f"udp://127.0.0.1:{backup.port}"]}]
            zones = [zone("corp.example", corp, fallback="branch")]
            async with edge(fake.answer(TRUE), group=group, zone=zones) as (e, upstream):
                assert answers(await e.ask("www.corp.example")) == [BACKUP]
                assert upstream.names() == []
                assert e.count("group_fallbacks_total", "zone:corp.example") == 1

    run(body())


def test_in_order(run: Run, edge: Open) -> None:
    """The first is asked as long as it answers, however slow; then the second; and the first again when it is back."""

    async def body() -> None:
        slow = fake.delayed(fake.answer(TRUE), 0.05)
        async with edge(slow, fake.answer(OTHER), upstream={"strategy": "ordered"}) as (e, (first, second)):
            for number in range(60):
                assert answers(await e.ask(f"www.n{number}.example")) == [TRUE]
            assert second.names() == []
            await first.stop()
            for number in range(10):
                assert answers(await e.ask(f"www.m{number}.example")) == [OTHER]
            await first.start()
            async with asyncio.timeout(60.0):
                turn = in_a_row = 0
                while in_a_row < 20:  # a few good answers make it useful again
                    turn += 1
                    in_a_row = in_a_row + 1 if answers(await e.ask(f"www.o{turn}.example")) == [TRUE] else 0
                    await asyncio.sleep(0.02)

    run(body())


def test_in_parallel(run: Run, edge: Open) -> None:
    """All are asked at once, and the first good answer counts: one that is silent, or says no, delays nothing."""

    async def body() -> None:
        handlers = fake.drop, fake.rcode(fake.SERVFAIL), fake.delayed(fake.answer(OTHER), 0.05)
        async with edge(*handlers, upstream={"strategy": "parallel"}) as (e, upstreams):
            for number in range(5):
                assert answers(await e.ask(f"www.n{number}.example")) == [OTHER]
                assert [one.names().count(f"www.n{number}.example") for one in upstreams] == [1, 1, 1]

    run(body())


def test_parallel_upstreams_that_are_silent_go_down(run: Run, edge: Open) -> None:
    """Who never answers is found out although others do."""

    async def body() -> None:
        async with edge(fake.drop, fake.drop, upstream={"strategy": "parallel", "timeout_s": 4.0}, repeats=True) as (
            e,
            upstreams,
        ):
            for batch in range(10):  # on a busy machine, each is asked less often within timeout_s
                names = [f"www.n{number}.b{batch}.example" for number in range(6)]
                sock = e.send(*[query_wire(name, query_id=number) for number, name in enumerate(names)])
                assert {read(await e.reply(sock)).header.rcode for _ in range(6)} == {p.SERVFAIL}
                if e.count("upstream_up") == 0:
                    break
            assert e.count("upstream_up") == 0
            assert all(one.names() for one in upstreams)

    run(body())


def test_a_silent_one_goes_down_although_others_answer(run: Run, edge: Open) -> None:
    """Questions that others have answered show as well who is silent; who is slow and answers later stays up."""

    async def body() -> None:
        slow = fake.delayed(fake.answer(OTHER), 0.3)
        async with edge(fake.drop, fake.answer(TRUE), slow, upstream={"strategy": "parallel"}) as (e, upstreams):
            silent, _quick, late = (f"udp://127.0.0.1:{one.port}" for one in upstreams)
            async with asyncio.timeout(60.0):
                turn = 0
                while e.count("upstream_up", silent):
                    turn += 1
                    assert answers(await e.ask(f"www.n{turn}.example")) == [TRUE]
                    await asyncio.sleep(0.1)
            assert e.count("upstream_up", late) == 1

    run(body())


@pytest.mark.parametrize("strategy", ["fastest", "ordered", "parallel"])
def test_zones_share_the_health_of_a_server(run: Run, edge: Open, strategy: str) -> None:
    """A server that two zones name has one state and one set of sockets."""

    async def body() -> None:
        async with servers(fake.answer(TRUE)) as (corp,):
            zones = [zone("a.example", corp, strategy=strategy), zone("b.example", corp, strategy=strategy)]
            async with edge(fake.drop, zone=zones, repeats=True) as (e, _upstream):
                await e.ask("www.a.example")
                await e.ask("www.b.example")
                assert len(e.forwarder._pools) == 2
                await corp.stop()
                sock = e.send(*[query_wire(f"www.n{number}.a.example", query_id=number) for number in range(5)])
                for _ in range(5):
                    await e.reply(sock)
                up = dict(e.forwarder.groups_up())
                assert up == {"default": True, "zone:a.example": False, "zone:b.example": False}
        await asyncio.sleep(0)

    run(body())
