"""One upstream speaks of the names of another, in every way of `tests.fakes.poison`; with kernels and with their reference."""

from __future__ import annotations

import itertools

import pytest

from pdns.wire import protocol as p
from tests.fakes.poison import ABOVE, BESIDE, DENYING, FORGED, LEADING, attack, poisoner, victim_of
from tests.fakes.zone_data import servers, zone
from tests.protocol.conftest import Open, Run
from tests.wire import answers, read

ADDRESSES = {"outer.example": "192.0.2.1", "one.example": "192.0.2.2", "two.example": "192.0.2.3", "in.one.example": "192.0.2.4"}


@pytest.mark.parametrize("way", [*LEADING, *BESIDE, *DENYING])
def test_an_upstream_is_believed_about_its_own_names_only(run: Run, edge: Open, way: str) -> None:
    """From the default to a zone, from a zone to the default and to other zones: each name has its own upstream's address."""

    async def body() -> None:
        outer, *inner = (poisoner(own) for own in ADDRESSES.values())
        async with servers(*inner) as (one, two, within):
            zones = [zone("one.example", one), zone("two.example", two), zone("in.one.example", within)]
            async with edge(outer, zone=zones) as (e, _upstream):
                for attacker, victim_zone in itertools.permutations(ADDRESSES, 2):
                    victim = f"www-{attacker.replace('.', '-')}.{victim_zone}"
                    name, right = attack(way, victim, attacker), ADDRESSES[victim_zone]
                    for _ in range(2):
                        wire = await e.ask(name)
                        assert FORGED not in str(read(wire)), (attacker, victim_zone)
                        if way in DENYING:
                            assert (read(wire).header.rcode, answers(wire)) == (p.NXDOMAIN, [])
                        else:
                            assert answers(wire)[-1] == (right if way in LEADING else ADDRESSES[attacker])
                        for later in (victim, victim_of(way, victim), f"below.{victim}", victim_zone):
                            assert answers(await e.ask(later)) == [right], (attacker, later)
                            assert answers(await e.ask(later, "NS")) == []

    run(body())


@pytest.mark.parametrize("way", ABOVE)
def test_a_dname_of_all_zones_is_left_out(run: Run, edge: Open, way: str) -> None:
    """A zone's server redirects all names above its zone: neither this answer has the DNAME, nor does a later one follow it."""

    async def body() -> None:
        async with (
            servers(poisoner(ADDRESSES["one.example"])) as (one,),
            edge(poisoner(ADDRESSES["outer.example"]), zone=[zone("one.example", one)]) as (e, _upstream),
        ):
            for _ in range(2):
                wire = await e.ask(attack(way, "www.outer.example", "one.example"))
                assert p.DNAME not in [record.rtype for record in read(wire).rr]
                assert answers(wire)[-1] == ADDRESSES["outer.example" if way == "of-top" else "one.example"]
                assert answers(await e.ask("www.outer.example")) == [ADDRESSES["outer.example"]]
                assert answers(await e.ask("example", "DNAME")) == []

    run(body())
