"""Zones that change: no answer of servers that are no longer responsible is given or kept."""

from __future__ import annotations

import asyncio

import pytest

from pdns.clock import boottime_s
from tests.fakes import upstream as fake
from tests.fakes.edges import until
from tests.fakes.loops import run_on
from tests.fakes.udp_edge import FORGED, TRUE
from tests.fakes.zone_data import change, data, knows, servers, zone
from tests.protocol.conftest import Open, Run
from tests.wire import answers, query_wire

INSIDE, FURTHER = "10.1.1.80", "10.2.2.80"


@pytest.fixture
def run() -> Run:
    """One event loop: who is asked does not depend on it."""
    return lambda main: run_on("uvloop", main)


def test_answers_leave_with_their_route(run: Run, edge: Open) -> None:
    """After a change of zones, answers that other servers gave are asked anew, also those that lead there; others stay."""

    async def body() -> None:
        public = {
            "www.public.example": f"www.public.example 300 IN CNAME app.corp.example\napp.corp.example 300 IN A {TRUE}",
            "app.corp.example": f"app.corp.example 300 IN A {TRUE}",
            "other.example": f"other.example 300 IN A {TRUE}",
        }
        async with (
            servers(fake.answer(INSIDE), fake.answer(FURTHER)) as (one, other),
            edge(knows(public), zone=[zone("corp.example", one)]) as (e, upstream),
        ):
            for zones, address in (
                ([zone("corp.example", one)], INSIDE),
                ([zone("corp.example", other)], FURTHER),
                ([zone("corp.example", other), zone("more.example", one)], FURTHER),
                ([], TRUE),
                ([zone("app.corp.example", one)], INSIDE),
            ):
                change(e, zone=zones).close()
                assert answers(await e.ask("app.corp.example"))[-1] == address
                assert answers(await e.ask("www.public.example"))[-1] == address
                assert answers(await e.ask("other.example")) == [TRUE]
            assert upstream.names().count("other.example") == 1
            assert len(one.names()) == 4
            assert len(other.names()) == 2

    run(body())


@pytest.mark.parametrize("zone_before", [False, True])
def test_a_zone_that_changes_while_a_question_is_out(run: Run, edge: Open, *, zone_before: bool) -> None:
    """The answer of who is no longer responsible is neither given nor kept: the question goes to the servers of now."""

    async def body() -> None:
        late = fake.delayed(fake.answer(FORGED), 0.3)
        async with servers(fake.answer(INSIDE), late) as (corp, old):
            zones = [zone("corp.example", old)] if zone_before else []
            async with edge(late, zone=zones) as (e, _upstream):
                sock = e.send(query_wire("app.corp.example"))
                await until(lambda: e.service.in_flight() == 1)
                before = change(e, zone=[zone("corp.example", corp)])
                assert answers(await e.reply(sock)) == [INSIDE]
                assert answers(await e.ask("app.corp.example")) == [INSIDE]
                before.close()
                await asyncio.sleep(0)

    run(body())


def test_zones_that_go_while_a_chain_is_followed(run: Run, edge: Open) -> None:
    """What the first servers said is not joined with the rest when they are no longer responsible: all is asked anew."""

    async def body() -> None:
        inside = {"a.corp.example": f"a.corp.example 300 IN CNAME www.public.example\nwww.public.example 300 IN A {FORGED}"}
        async with servers(knows(inside)) as (corp,):
            late = fake.delayed(fake.answer(TRUE), 0.3)
            async with edge(late, zone=[zone("corp.example", corp)]) as (e, upstream):
                sock = e.send(query_wire("a.corp.example"))
                await until(lambda: upstream.names() == ["www.public.example"])
                before = change(e, zone=[])
                assert data(await e.reply(sock)) == [f"a.corp.example. {TRUE}"]
                assert data(await e.ask("a.corp.example")) == [f"a.corp.example. {TRUE}"]
                before.close()
                await asyncio.sleep(0)

    run(body())


def test_what_is_known_of_upstreams_stays(run: Run, edge: Open) -> None:
    """A server that is down stays down when zones change: no question waits for it again; it is probed, and comes back."""

    async def body() -> None:
        async with (
            servers(fake.answer(INSIDE)) as (corp,),
            edge(fake.drop, fake.answer(TRUE), repeats=True) as (e, (dead, _alive)),
        ):
            down = f"udp://127.0.0.1:{dead.port}"
            turn = 0
            while e.count("upstream_up", down):
                turn += 1
                await e.ask(f"www.n{turn}.example")
            asked = len([name for name in dead.names() if name != "."])
            change(e, zone=[zone("corp.example", corp)]).close()
            assert e.count("upstream_up", down) == 0
            for number in range(20):
                assert answers(await e.ask(f"www.m{number}.example")) == [TRUE]
            assert len([name for name in dead.names() if name != "."]) == asked
            dead.handler = fake.answer(TRUE)
            await until(lambda: e.count("upstream_up", down) == 1, 60.0)

    run(body())


def test_who_is_replaced_no_longer_speaks_of_upstreams(run: Run, edge: Open) -> None:
    """A server that goes down only for questions from before the change is up for all others, and announced as such."""

    async def body() -> None:
        async with edge(fake.answer(TRUE)) as (e, upstream):
            assert answers(await e.ask("www.example")) == [TRUE]
            before = change(e, zone=[])
            (server,) = before._default.servers
            now = boottime_s() + 1.0
            for turn in range(3):
                before._watch.failed(server, now + turn, now + turn)
            assert not server.health.up
            assert answers(await e.ask("www.again.example")) == [TRUE]
            assert e.count("upstream_up", f"udp://127.0.0.1:{upstream.port}") == 1
            before.close()
            await asyncio.sleep(0)

    run(body())
