"""The attacks of `loadtest abuse`, what they are judged by, and the upstream that hangs and is slow."""

from __future__ import annotations

import socket
import time
from itertools import islice

import pytest

from loadtest import abuse, attack, programs, steered
from loadtest.abuse import ATTACKS, Service
from loadtest.packets import query
from loadtest.server import ask
from pdns.wire import names

BEFORE = Service(asked=800, answered=800, p99_ms=2.0)
USUAL, FLOOD = abuse.chosen(["hang-1"])[0], abuse.chosen(["forged"])[0]


def during(answered: int, p99_ms: float) -> Service:
    return Service(asked=800, answered=answered, p99_ms=p99_ms)


def test_rows_are_chosen_by_key() -> None:
    """None are all; in the order of the table; an unknown one is an error that names those that there are."""
    assert abuse.chosen([]) == ATTACKS
    assert [row.key for row in abuse.chosen(["hot", "hang-1"])] == ["hang-1", "hot"]
    with pytest.raises(ValueError, match=r"hott: not one of hang-1, "):
        abuse.chosen(["hott"])


@pytest.mark.parametrize(
    ("answered", "p99_ms", "met"), [(800, 2.0, True), (792, 4.0, True), (791, 2.0, False), (800, 4.1, False)]
)
def test_the_goal(answered: int, p99_ms: float, met: bool) -> None:
    """At least 99 % answered, and p99 at most twice what it was."""
    assert abuse.verdict(USUAL, BEFORE, during(answered, p99_ms), remaining=0.1).met is met


def test_what_a_bystander_suffers_is_not_of_the_attack() -> None:
    """A server beside it that became 3 times as slow: 6 times are allowed, and no more. A faster one changes nothing."""
    assert abuse.verdict(USUAL, BEFORE, during(800, 12.0), remaining=0.1, bystander=3.0).met
    assert not abuse.verdict(USUAL, BEFORE, during(800, 12.1), remaining=0.1, bystander=3.0).met
    assert abuse.verdict(USUAL, BEFORE, during(800, 4.0), remaining=0.1, bystander=0.5).met
    assert not abuse.verdict(USUAL, BEFORE, during(791, 2.0), remaining=0.1, bystander=3.0).met


def test_the_goal_of_a_flood_is_what_the_machine_has_left() -> None:
    """A flood of twice the capacity: half must be answered. One within the capacity is judged as any attack."""
    assert abuse.verdict(FLOOD, BEFORE, during(400, 500.0), remaining=0.5).met
    assert not abuse.verdict(FLOOD, BEFORE, during(399, 2.0), remaining=0.5).met
    assert not abuse.verdict(FLOOD, BEFORE, during(400, 2.0), remaining=1.5).met


def test_attackers_have_addresses_of_their_own() -> None:
    """1,000 attackers are 1,000 addresses of 127.0.0.0/8, none of them the honest client's."""
    addresses = {attack.client_address(number) for number in range(1000)}
    assert len(addresses) == 1000
    assert attack.HONEST not in addresses
    for address in addresses:
        assert socket.inet_aton(address)[0] == 127


def test_steered_names_are_names() -> None:
    """Every one is valid, in wire form, and another one; those of the known hash meet in one of its workers."""
    made = list(islice(attack.steered_names(), 400))
    assert len(set(made)) > 390
    for name in made:
        assert names.from_labels(names.labels_of(name)) == name
    assert {steered.known_hash(name, 4) for name in islice(steered.of_known_hash(4), 50)} == {3}


def test_an_attack_sends_what_it_is_told() -> None:
    """3 clients with 200 queries a second for half a second: about 300 queries from three addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        sent = attack.main("hang", server.getsockname()[1], 3, 200.0, 0.5)
        received = [server.recvfrom(512) for _ in range(sent)]
    assert 10 < sent <= 300
    assert len({address for _, (address, _) in received}) == 3
    assert all(b"\4hang\3zzz\0" in wire for wire, _ in received)


@pytest.mark.usefixtures("compiled")
def test_the_upstream_hangs_and_is_slow_where_it_should() -> None:
    """No answer below hang.zzz, a late one below slow.zzz, others at once, whatever the letter case and the order."""
    with programs.serving("authority") as authority:
        assert ask(authority.address, query(names.from_text("a.HANG.zzz"), query_id=1), timeout_s=0.2) is None
        began_s = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.connect(authority.address)
            sock.send(query(names.from_text("a.b.Slow.zzz"), query_id=2))
            sock.send(query(names.from_text("x.notslow.zzz"), query_id=3))
            assert sock.recv(512)[:2] == b"\0\3"
            assert sock.recv(512)[:2] == b"\0\2"
        assert time.monotonic() - began_s >= 1.5
