"""The witness: a wrong answer is noticed, whatever is wrong with it."""

from __future__ import annotations

import asyncio

import pytest

from loadtest.unruly import address_of, answer_to
from loadtest.witness import SINKHOLE, Expected, Witness, is_wrong, verdict
from pdns.wire import names
from pdns.wire import protocol as p
from tests.unit.loadtest.conftest import Answer, udp_server

NAME = names.from_text("login.example.com")


def sinkhole(wire: bytes) -> bytes:
    """What a resolver says for a listed name."""
    answer = answer_to(wire)
    assert answer is not None
    qtype = p.AAAA if address_of(NAME, p.AAAA) in answer else p.A
    return answer.replace(address_of(NAME, qtype), SINKHOLE[qtype])


async def asked(server: Answer, expected: Expected, qtype: int = p.A) -> Witness:
    with udp_server(server) as address:
        async with Witness(address, 0.3, seed=1) as witness:
            await witness.ask(NAME, qtype, expected)
    return witness


@pytest.mark.parametrize("qtype", [p.A, p.AAAA])
def test_right_answers_are_right(qtype: int) -> None:
    """The sinkhole for a listed name, its own address for another."""
    blocked, clean = asyncio.run(asked(sinkhole, "blocked", qtype)), asyncio.run(asked(answer_to, "clean", qtype))
    assert (blocked.wrong, blocked.blocked, blocked.received) == ([], 1, 1)
    assert (clean.wrong, clean.blocked) == ([], 0)


def test_an_upstream_that_answers_for_a_listed_name_is_noticed() -> None:
    """With protection off, the address of a listed name comes through; SERVFAIL in its place is wrong as well."""
    assert "got clean" in asyncio.run(asked(answer_to, "blocked")).wrong[0]
    assert "got servfail" in asyncio.run(asked(lambda wire: answer_to(wire, "servfail"), "blocked")).wrong[0]


def test_an_innocent_name_that_is_blocked_is_noticed() -> None:
    """The sinkhole for a name that nothing lists; and an address that is another name's."""
    assert "got blocked" in asyncio.run(asked(sinkhole, "clean")).wrong[0]

    def mistaken(wire: bytes) -> bytes:
        return sinkhole(wire).replace(SINKHOLE[p.A], b"\xc6\x12\0\1")

    assert "the address c6120001" in asyncio.run(asked(mistaken, "clean")).wrong[0]


def test_silence_is_lost_and_not_wrong() -> None:
    """No answer is counted as lost, with the moment it was asked."""
    witness = asyncio.run(asked(lambda _: None, "blocked"))
    assert (witness.wrong, len(witness.lost), witness.sent, witness.received) == ([], 1, 1, 0)


def test_failure_and_change_are_allowed_where_they_must_be() -> None:
    """A name that comes and goes may be either; an upstream may fail for a clean one; another question is always wrong."""
    assert [is_wrong("either", said) for said in ("blocked", "clean", "servfail", "another question")] == [False] * 3 + [True]
    assert not is_wrong("clean", "servfail")
    answer = answer_to(b"\0\0\1\0\0\1\0\0\0\0\0\0" + NAME + b"\0\1\0\1")
    assert answer is not None
    assert verdict(NAME, p.A, answer) == "clean"
    assert verdict(NAME.upper(), p.A, answer) == "another question"
    assert verdict(NAME, p.A, answer[:3] + b"\x83" + answer[4:]) == "rcode 3 with 1 records"
