"""DNS64 behind a socket, with compiled kernels and with their reference: what is asked, and what is answered."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace

from pdns.config.schema import Dns64
from pdns.wire import protocol as p
from tests.blocksets import make_blockset
from tests.fakes import upstream as fake
from tests.fakes.udp_edge import FEEDS, SINKHOLE
from tests.protocol.conftest import Open, Run
from tests.wire import answers, ede, query_wire, read

ON: dict[str, Any] = {"dns64": {"prefix": "2001:db8:64::/96"}}
MADE = "2001:db8:64::c000:207"
OWN = ip_address("2001:db8::1").packed


def by_type(query: fake.SeenQuery) -> list[fake.Action]:
    """A for every name; AAAA for `six`, a mapped one for `mapped`; `fails` has no answer to AAAA."""
    records = []
    name = query.name
    if query.qtype == p.A:
        records = [fake.rr(p.A, bytes((198, 51, 100, 9) if name.startswith("bad") else (192, 0, 2, 7)))]
    elif query.qtype == p.AAAA and name.startswith("six"):
        records = [fake.rr(p.AAAA, OWN)]
    elif query.qtype == p.AAAA and name.startswith("mapped"):
        records = [fake.rr(p.AAAA, ip_address("::ffff:192.0.2.9").packed)]
    elif query.qtype == p.AAAA and name.startswith("fails"):
        return [fake.Send(fake.reply(query, rcode=p.SERVFAIL))]
    return [fake.Send(fake.reply(query, records, [] if records else [b"\7example\0" + fake.soa_record()[2:]]))]


def test_addresses_are_made(run: Run, edge: Open) -> None:
    """AAAA, then A, once; the answer is cached. Names with an IPv6 address, and other types, are asked for once."""

    async def body() -> None:
        async with edge(by_type, **ON) as (e, upstream):
            for _ in range(2):
                for name in ("four.example", "mapped.example", "fails.example"):
                    answer = await e.ask(name, "AAAA")
                    assert answers(answer) == [MADE]
                    assert ede(answer) == (29, "DNS64 2001:db8:64::/96")
                assert answers(await e.ask("six.example", "AAAA")) == ["2001:db8::1"]
                assert answers(await e.ask("four.example", "TXT")) == []
            types = [query.qtype for query in upstream.asked() if not query.name.startswith("fails")]
            assert sorted(types) == sorted([p.A] * 2 + [p.AAAA] * 3 + [p.TXT])
            assert e.service.in_flight() == 0

    run(body())


def test_all_who_wait_get_the_answer(run: Run, edge: Open) -> None:
    """Clients that ask while A is asked for wait for the same answer."""

    async def body() -> None:
        async with edge(fake.delayed(by_type, 0.1), **ON) as (e, upstream):
            waiting = [e.send(query_wire("four.example", "AAAA", query_id=number)) for number in range(5)]
            for number, sock in enumerate(waiting):
                wire = await e.reply(sock)
                assert answers(wire) == [MADE]
                assert read(wire).header.id == number
            assert [query.qtype for query in upstream.asked()] == [p.AAAA, p.A]

    run(body())


def test_listed_addresses_stay_blocked(run: Run, edge: Open) -> None:
    """A listed IPv4 network is found behind the prefix."""

    async def body() -> None:
        blockset = make_blockset({"alpha": "198.51.100.0/24"})
        async with edge(by_type, blockset=blockset, **FEEDS, **ON) as (e, _):
            for _ in range(2):
                assert answers(await e.ask("bad.example", "AAAA")) == ["2001:db8::1"]  # the sinkhole
                assert answers(await e.ask("four.example", "AAAA")) == [MADE]
            assert e.count("blocked_total", "alpha") == 2

    run(body())


def test_a_reload_holds_for_cached_answers(run: Run, edge: Open) -> None:
    """Turned on, a cached answer without addresses is asked again; turned off, a synthesised one is."""

    async def body() -> None:
        async with edge(by_type) as (e, _):
            assert answers(await e.ask("four.example", "AAAA")) == []
            off = e.service.rules.config
            for config, expected in ((replace(off, dns64=Dns64(**ON["dns64"])), [MADE]), (off, [])):
                e.service.adopt(e.service.rules.with_config(config))
                for _ in range(2):
                    assert answers(await e.ask("four.example", "AAAA")) == expected

    run(body())


def test_names_of_addresses(run: Run, edge: Open) -> None:
    """The name of a synthesised address is that of the IPv4 address; `ipv4only.arpa` is answered here."""

    async def body() -> None:
        host = fake.rr(p.PTR, b"\4host\7example\0")
        async with edge(fake.records(host), **ON) as (e, upstream):
            for _ in range(2):
                wire = await e.ask(ip_address("2001:db8:64::198.41.0.4").reverse_pointer, "PTR")
                assert answers(wire) == ["4.0.41.198.in-addr.arpa.", "host.example."]
                assert answers(await e.ask("ipv4only.arpa", "AAAA")) == ["2001:db8:64::c000:aa", "2001:db8:64::c000:ab"]
            assert [query.name for query in upstream.asked()] == ["4.0.41.198.in-addr.arpa"]

    run(body())


@pytest.mark.parametrize(("networks", "expected"), [(["127.0.0.0/8"], [MADE]), (["10.0.0.0/8", "fd00::/8"], [])])
def test_some_clients_are_served(run: Run, edge: Open, networks: list[str], expected: list[str]) -> None:
    """The address of a client decides; a listed name is blocked for all."""

    async def body() -> None:
        sections = {"dns64": {**ON["dns64"], "networks": networks}, **FEEDS}
        async with edge(by_type, blockset=make_blockset({"alpha": "bad.example"}), **sections) as (e, _):
            for _ in range(2):
                assert answers(await e.ask("four.example", "AAAA")) == expected
                assert answers(await e.ask("six.example", "AAAA")) == ["2001:db8::1"]
                assert answers(await e.ask("x.bad.example")) == [SINKHOLE]
            assert e.count("blocked_total", "alpha") == 2

    run(body())
