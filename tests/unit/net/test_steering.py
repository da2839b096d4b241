"""Steering by name: what the program says, and what the kernel makes of it."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Iterator

import dns.message
import pytest

from pdns.addresses import Endpoint
from pdns.net import steering
from pdns.net.sockets import bind_udp
from pdns.net.steering import Instruction, program, steer

_MASK = 2**32 - 1
_TYPES = ("A", "AAAA", "HTTPS", "TXT", "MX")


def run(steps: list[Instruction], packet: bytes) -> int:
    """What the kernel would compute."""
    a = x = at = 0
    while True:
        code, skip, _, k = steps[at]
        at += 1
        if code == steering.LOAD_OCTET:
            if k >= len(packet):
                return 0
            a = packet[k]
        elif code == steering.LOAD_NUMBER:
            a = k
        elif code == steering.JUMP_IF_EQUAL:
            at += skip if a == k else 0
        elif code == steering.OR_NUMBER:
            a |= k
        elif code == steering.XOR_X:
            a ^= x
        elif code == steering.MULTIPLY:
            a = a * k & _MASK
        elif code == steering.SHIFT_RIGHT:
            a >>= k
        elif code == steering.MODULO:
            a %= k
        elif code == steering.A_TO_X:
            x = a
        elif code == steering.X_TO_A:
            a = x
        else:
            assert code == steering.RETURN_A
            return a


def query(chance: random.Random, name: str) -> bytes:
    """A query for `name` in random case, of a random type, with or without EDNS."""
    cased = "".join(chance.choice((letter.lower(), letter.upper())) for letter in name)
    return dns.message.make_query(
        cased, chance.choice(_TYPES), use_edns=chance.choice((0, False)), id=chance.randrange(65536)
    ).to_wire()


def names(count: int) -> list[str]:
    hosts = ("www", "mail", "api", "cdn", "selector1._domainkey", "a-rather-long-host-name", "x")
    return [f"{hosts[n % len(hosts)]}.example{n}.{('com', 'co.uk', 'net')[n % 3]}" for n in range(count)]


@pytest.fixture(params=["127.0.0.1", "::1", "0.0.0.0"])
def group(request: pytest.FixtureRequest) -> Iterator[list[socket.socket]]:
    sockets = [bind_udp(Endpoint(request.param, 0))]
    endpoint = Endpoint(request.param, sockets[0].getsockname()[1])
    sockets += [bind_udp(endpoint, join=True) for _ in range(3)]
    yield sockets
    for sock in sockets:
        sock.close()


def received(group: list[socket.socket], packet: bytes) -> int:
    """The index of the socket that `packet` arrives at, from a new client."""
    host, port = group[0].getsockname()[:2]
    with socket.socket(group[0].family, socket.SOCK_DGRAM) as client:
        client.sendto(packet, ("127.0.0.1" if host == "0.0.0.0" else host, port))
    for index, sock in enumerate(group):
        try:
            sock.recv(4096)
        except BlockingIOError:
            continue
        return index
    pytest.fail("it arrived nowhere")


def test_the_kernel_brings_a_name_to_one_socket(group: list[socket.socket]) -> None:
    """2,000 names, each three times in other case, type and EDNS, from other ports: no name on two sockets, all four busy."""
    steer(group[0], len(group))
    chance = random.Random(5)
    counts: Counter[int] = Counter()
    for name in names(2000):
        indices = {received(group, query(chance, name)) for _ in range(3)}
        assert len(indices) == 1, name
        counts.update(indices)
    assert min(counts[index] for index in range(4)) > 400


def test_without_the_program_names_do_meet_several_sockets(group: list[socket.socket]) -> None:
    """The kernel's own choice goes by the client's address and port: what the program is there to change."""
    chance = random.Random(5)
    assert len({received(group, query(chance, "www.example.com")) for _ in range(50)}) > 1


def test_the_kernel_and_the_interpreter_agree(group: list[socket.socket]) -> None:
    """The order of binding is the number that the program computes, also for packets that are too short."""
    steer(group[0], len(group))
    chance = random.Random(7)
    packets = [query(chance, name) for name in names(200)]
    packets += [packets[0][:length] for length in (1, 11, 12, 13, 20)] + [b"\0" * 12 + b"\0\0\1\0\1"]
    for packet in packets:
        assert received(group, packet) == run(program(len(group)), packet), packet


@pytest.mark.parametrize("sockets", [1, 2, 3, 7, 64])
def test_names_are_spread_evenly(sockets: int) -> None:
    """No socket has more than 1.4 times, or less than 0.6 times, its share of 20,000 names."""
    steps = program(sockets)
    chance = random.Random(1)
    counts = Counter(run(steps, query(chance, name)) for name in names(20_000))
    assert set(counts) == set(range(sockets))
    for count in counts.values():
        assert 0.6 < count * sockets / 20_000 < 1.4


@pytest.mark.parametrize("packet", [b"", b"\0" * 11, b"\0" * 12, b"\1" * 20])
def test_what_has_no_whole_name_goes_to_the_first(packet: bytes) -> None:
    """Too short to hold a name, or cut within it: socket 0."""
    assert run(program(4), packet) == 0


def test_the_root_and_the_longest_name_have_a_place() -> None:
    """A name of no octets, and one longer than what is looked at, whose first octets decide."""
    long = b"\0" * 12 + b"\x3f" + b"a" * 63
    assert run(program(4), b"\0" * 12 + b"\0\0\2\0\1") in range(4)
    assert run(program(64), long + b"\1b\0\0\1\0\1") == run(program(64), long + b"\1c\0\0\1\0\1")


def test_a_program_is_within_what_the_kernel_takes() -> None:
    """Every jump fits its octet, and leads to the end of the loop."""
    steps = program(4)
    after_loop = 2 + 6 * steering.OCTETS
    for at, step in enumerate(steps):
        if step.code == steering.JUMP_IF_EQUAL:
            assert at + 1 + step.jump_true == after_loop
            assert step.jump_true < 256
