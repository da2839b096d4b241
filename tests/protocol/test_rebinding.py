"""Private addresses in answers to forwarded datagrams: refused by the kernels as by their reference."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from pdns.config.schema import Rebinding
from pdns.wire import protocol as p
from tests.fakes import upstream as fake
from tests.fakes.udp_edge import TRUE
from tests.protocol.conftest import Open, Run
from tests.wire import answers, ede

ON: dict[str, Any] = {
    "rebinding": {"block_private_answers": True, "allow": ["fine.example"]},
    "block": {"nat64_prefixes": ["2001:db8:64::/96"]},
}
INSIDE = fake.rr(p.AAAA, bytes.fromhex("20010db8006400000000000000000000")[:12] + b"\x0a\0\0\1")
HINT = fake.rr(p.HTTPS, b"\0\1\0\0\4\0\4\x0a\0\0\1")
HANDLERS = {
    "a.example": fake.answer("192.168.1.1"),
    "fine.example": fake.answer("192.168.1.2"),
    "aaaa.example": fake.records(INSIDE),
    "https.example": fake.records(HINT),
    "public.example": fake.records(fake.rr(p.HTTPS, b"\0\1\0\0\4\0\4\xc0\0\2\7")),
}
QUESTIONS = {"a.example": "A", "aaaa.example": "AAAA", "https.example": "HTTPS"}


def test_private_addresses_are_refused(run: Run, edge: Open) -> None:
    """Each is asked for once, refused twice, and counted once; public and allowed ones pass."""

    async def body() -> None:
        async with edge(fake.by_name(HANDLERS, fake.answer(TRUE)), **ON) as (e, upstream):
            for _ in range(2):
                for name, qtype in QUESTIONS.items():
                    answer = await e.ask(name, qtype)
                    assert answers(answer) == []
                    assert (ede(answer) or (0,))[0] == 15
                assert answers(await e.ask("fine.example")) == ["192.168.1.2"]
                assert answers(await e.ask("clean.example")) == [TRUE]
                assert len(answers(await e.ask("public.example", "HTTPS"))) == 1
            assert len(upstream.asked()) == 6
            assert e.count("private_answers_blocked_total") == 3

    run(body())


@pytest.mark.parametrize(("name", "qtype"), QUESTIONS.items())
def test_a_reload_holds_for_cached_answers(run: Run, edge: Open, name: str, qtype: str) -> None:
    """What is in the cache when the protection is turned on is refused at the next query, and asked again when it is off."""

    async def body() -> None:
        sections = {"block": ON["block"]}
        async with edge(fake.by_name(HANDLERS, fake.answer(TRUE)), **sections) as (e, upstream):
            given = answers(await e.ask(name, qtype))
            assert len(given) == 1
            off = e.service.rules.config
            e.service.adopt(e.service.rules.with_config(replace(off, rebinding=Rebinding(block_private_answers=True))))
            assert answers(await e.ask(name, qtype)) == []
            assert len(upstream.asked()) == 1
            e.service.adopt(e.service.rules.with_config(off))
            assert answers(await e.ask(name, qtype)) == given
            assert len(upstream.asked()) == 2

    run(body())
