"""The authority that misbehaves when told to, in its own process, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import pytest

from loadtest import unruly
from loadtest.client import ask_tcp
from loadtest.loopback import Address, free_port
from loadtest.packets import query
from loadtest.server import ask
from pdns.wire import names
from pdns.wire import protocol as p

NAME = names.from_text("www.example.com")
WIRE = query(NAME, query_id=9)


@pytest.fixture(scope="module")
def authority() -> Iterator[unruly.UnrulyServer]:
    with unruly.started(Address("127.0.0.2", free_port())) as running:
        yield running


def over_udp(authority: unruly.UnrulyServer, wire: bytes = WIRE, timeout_s: float = 2.0) -> dns.message.Message | None:
    answer = ask(authority.at, wire, timeout_s)
    return None if answer is None else dns.message.from_wire(answer)


def over_tcp(authority: unruly.UnrulyServer, timeout_s: float = 2.0) -> dns.message.Message | None:
    answer = asyncio.run(ask_tcp(authority.at, WIRE, timeout_s))
    return None if answer is None else dns.message.from_wire(answer)


@pytest.mark.parametrize("qtype", [p.A, p.AAAA])
def test_well_it_gives_each_name_its_address(authority: unruly.UnrulyServer, qtype: int) -> None:
    """The record holds what `address_of` says, in any case of the name; two names differ."""
    authority.become("well")
    message = over_udp(authority, query(NAME.upper(), qtype))
    assert message is not None
    assert message.answer[0][0].to_wire() == unruly.address_of(NAME, qtype)
    assert unruly.address_of(NAME, qtype) != unruly.address_of(names.from_text("mail.example.com"), qtype)


def test_well_it_has_nothing_of_other_types(authority: unruly.UnrulyServer) -> None:
    """NODATA with a SOA, which a resolver may keep."""
    authority.become("well")
    message = over_udp(authority, query(NAME, p.HTTPS))
    assert message is not None
    assert (message.rcode(), message.answer, len(message.authority)) == (dns.rcode.NOERROR, [], 1)


def test_each_mode_misbehaves_in_its_own_way(authority: unruly.UnrulyServer) -> None:
    """Silence, SERVFAIL, truncation that TCP makes good, slowness; and well again after each."""
    authority.become("silent")
    assert over_udp(authority, timeout_s=0.2) is None
    authority.become("servfail")
    failed = over_udp(authority)
    assert failed is not None
    assert failed.rcode() == dns.rcode.SERVFAIL
    authority.become("truncating")
    cut, whole = over_udp(authority), over_tcp(authority)
    assert cut is not None
    assert whole is not None
    assert cut.flags & dns.flags.TC
    assert (len(cut.answer), len(whole.answer)) == (0, 1)
    authority.become("slow")
    before_s = time.monotonic()
    assert over_udp(authority) is not None
    assert time.monotonic() - before_s >= unruly.SLOW_S
    authority.become("well")
    assert over_udp(authority) is not None


def test_gone_its_port_is_closed_until_it_is_back(authority: unruly.UnrulyServer) -> None:
    """UDP and TCP are refused, then answered again on the same port."""
    authority.become("gone")
    assert over_udp(authority, timeout_s=0.3) is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(authority.at, timeout=1).close()
    authority.become("well")
    assert over_udp(authority) is not None
    assert over_tcp(authority) is not None


@pytest.mark.parametrize("wire", [b"", WIRE[:20], WIRE[:2] + b"\x80" + WIRE[3:]], ids=["empty", "short", "response"])
def test_what_is_no_query_gets_nothing(wire: bytes) -> None:
    """Rubbish and responses are not answered."""
    assert unruly.answer_to(wire) is None
