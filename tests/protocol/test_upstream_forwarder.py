"""Forwarders: the ports that they send from, and what is in flight when they change, drain or close."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter

import msgspec
import pytest

from pdns.config.groups import server_groups
from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.upstream.forwarder import Forwarder
from pdns.worker.kernels import COMPILED
from tests.descriptors import open_fds
from tests.fakes import upstream as fake
from tests.fakes.forwarding import Recorder
from tests.fakes.udp_edge import TRUE
from tests.fakes.upstream import FakeUpstream
from tests.protocol.conftest import Open, Run
from tests.wire import answers, ede, query_wire


def test_close_answers_questions_in_flight(run: Run, edge: Open) -> None:
    """close() answers every client that waits, with the reason."""

    async def body() -> None:
        async with edge(fake.drop) as (e, _):
            sock = e.send(*[query_wire(f"n{number}.example", query_id=number) for number in range(50)])
            await e.out(50)
            e.forwarder.close()
            wires = [await e.reply(sock) for _ in range(50)]
            assert {ede(wire) for wire in wires} == {(23, "shutting down")}
            assert (e.service.in_flight(), e.forwarder.in_flight) == (0, 0)

    run(body())


def test_draining_waits_for_questions_in_flight(run: Run, edge: Open) -> None:
    """drain() returns when the last answer is in, and not before."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer(TRUE), 0.2)) as (e, _):
            sock = e.send(query_wire("www.example"))
            await e.out(1)
            await e.forwarder.drain(2.0)
            assert e.forwarder.in_flight == 0
            assert answers(await e.reply(sock)) == [TRUE]

    run(body())


def test_new_upstreams_lose_no_question_in_flight(run: Run, edge: Open) -> None:
    """A question in flight when the configuration changes is answered by its old upstream; the next one goes to the new one."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer(TRUE), 0.2)) as (e, _), FakeUpstream(fake.answer("192.0.2.8")) as other:
            sock = e.send(query_wire("www.example"))
            await e.out(1)
            before = e.forwarder
            servers = (f"udp://127.0.0.1:{other.port}",)
            config = msgspec.structs.replace(e.config, upstream=msgspec.structs.replace(e.config.upstream, servers=servers))
            e.forwarder = Forwarder(server_groups(config), e.loop, e.stats, e.kernels.upstream)
            e.service.adopt(e.service.rules.with_config(config), e.forwarder)
            assert answers(await e.ask("next.example")) == ["192.0.2.8"]
            assert answers(await e.reply(sock)) == [TRUE]
            assert before.in_flight == 0
            before.close()

    run(body())


def test_a_burst_comes_from_many_ports(run: Run, edge: Open) -> None:
    """150 questions at once come from over 100 ports; in steady use no port carries more than 64, nor many in a row."""

    async def body() -> None:
        async with edge(fake.answer(TRUE)) as (e, upstream):
            sock = e.send(*[query_wire(f"n{number}.example", query_id=number) for number in range(150)])
            for _ in range(150):
                await e.reply(sock)
            ports = Counter(query.source[1] for query in upstream.asked())
            assert len(ports) > 100
            assert sum(uses == 1 for uses in ports.values()) > 100
            assert len({query.id for query in upstream.asked()}) > 145
            for start in range(1000, 11000, 100):
                for number in range(start, start + 100):
                    sock.send(query_wire(f"n{number}.example", query_id=number))
                for _ in range(100):
                    await e.reply(sock)
            ports = Counter(query.source[1] for query in upstream.asked())
            assert len(ports) > 150
            assert max(ports.values()) <= 2 * 64  # a port may come up a second time
            sources = [query.source[1] for query in upstream.asked()]
            assert max(len(set(sources[at : at + 50])) for at in range(0, len(sources), 50)) > 5

    run(body())


def test_too_few_descriptors_for_all_upstreams(run: Run) -> None:
    """A configuration that the system has no descriptors for is refused, and nothing stays open."""

    async def body() -> None:
        loop = asyncio.get_running_loop()
        config = msgspec.convert({"upstream": {"servers": [f"udp://192.0.2.{number}" for number in range(1, 100)]}}, Config)
        before = len(open_fds())
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, hard))
        try:
            with pytest.raises(PdnsError, match="cannot ask 99 upstreams: Too many open files"):
                Forwarder(server_groups(config), loop, Recorder(), COMPILED.upstream)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(open_fds()) == before

    run(body())
