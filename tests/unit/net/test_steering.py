"""Steering by name: what the program says, and what the kernel makes of it."""

from __future__ import annotations

import random
import socket
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import dns.message
import pytest

from loadtest import steered
from pdns.config.addresses import Endpoint
from pdns.net import steering
from pdns.net.sockets import bind_udp
from pdns.net.steering import Instruction, Steering, program
from tests.proxied import header, tlv
from tests.proxied import raw as raw_header

_MASK = 2**32 - 1
_TYPES = ("A", "AAAA", "HTTPS", "TXT", "MX")


ANYWHERE = -1
KEYS = [bytes([number]) * steering.KEY_BYTES for number in range(3)]


def run(steps: list[Instruction], packet: bytes) -> int:
    """What the kernel would compute; ANYWHERE when it would draw a socket at random."""
    a = x = at = 0
    memory: dict[int, int] = {}
    while True:
        code, skip_true, skip_false, k = steps[at]
        at += 1
        match code:
            case steering.LOAD_WORD if k == steering.RANDOM:
                return ANYWHERE
            case steering.LOAD_WORD | steering.LOAD_WORD_AT_X:
                start = k + x if code == steering.LOAD_WORD_AT_X else k
                if start + 4 > len(packet):
                    return 0
                a = int.from_bytes(packet[start : start + 4])
            case steering.LOAD_HALF:
                if k + 2 > len(packet):
                    return 0
                a = int.from_bytes(packet[k : k + 2])
            case steering.LOAD_BYTE_AT_X:
                if x + k >= len(packet):
                    return 0
                a = packet[x + k]
            case steering.LOAD_SIZE:
                a = len(packet)
            case steering.LOAD_NUMBER:
                a = k
            case steering.LOAD_MEMORY:
                a = memory[k]
            case steering.X_NUMBER:
                x = k
            case steering.X_MEMORY:
                x = memory[k]
            case steering.STORE:
                memory[k] = a
            case steering.ADD_NUMBER:
                a = a + k & _MASK
            case steering.ADD_X:
                a = a + x & _MASK
            case steering.SUBTRACT:
                a = a - k & _MASK
            case steering.SUBTRACT_X:
                a = a - x & _MASK
            case steering.MULTIPLY:
                a = a * k & _MASK
            case steering.OR_X:
                a |= x
            case steering.AND_NUMBER:
                a &= k
            case steering.XOR_NUMBER:
                a ^= k
            case steering.XOR_X:
                a ^= x
            case steering.SHIFT_RIGHT:
                a >>= k
            case steering.MODULO:
                a %= k
            case steering.A_TO_X:
                x = a
            case steering.X_TO_A:
                a = x
            case steering.JUMP:
                at += k
            case steering.JUMP_IF_EQUAL:
                at += skip_true if a == k else skip_false
            case steering.JUMP_IF_ABOVE_X:
                at += skip_true if a > x else skip_false
            case steering.JUMP_IF_AT_LEAST:
                at += skip_true if a >= k else skip_false
            case _:
                assert code == steering.RETURN_A
                return a


def query(chance: random.Random, name: str) -> bytes:
    """A query for `name` in random case, of a random type, with or without EDNS."""
    cased = "".join(chance.choice((letter.lower(), letter.upper())) for letter in name)
    return dns.message.make_query(
        cased, chance.choice(_TYPES), use_edns=chance.choice((0, False)), id=chance.randrange(65536)
    ).to_wire()


def raw(name: bytes) -> bytes:
    """A query for a name in wire form, whatever is in it."""
    return b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1"


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
    Steering(len(group), KEYS[0]).apply(group[0])
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
    """The order of binding is the number that the program computes, for names of every length that it reads."""
    Steering(len(group), KEYS[1]).apply(group[0])
    steps = program(len(group), KEYS[1])
    chance = random.Random(7)
    packets = [query(chance, name) for name in names(200)]
    packets += [raw(name) for attack in attacks().values() for name in islice(attack, 30)]
    packets += [raw(b"\x01a" * pairs + b"\0") for pairs in range(steering.LABELS + 1)]
    packets += [raw(bytes([63]) + b"b" * 63 + bytes([length]) + b"c" * length + b"\0") for length in range(1, 34)]
    for packet in packets:
        assert received(group, packet) == run(steps, packet), packet


@pytest.mark.parametrize("sockets", [1, 2, 7, 64])
def test_names_are_spread_evenly(sockets: int) -> None:
    """No socket has more than 1.8 times, or less than 0.3 times, its share of 2,500 names."""
    steps = program(sockets, KEYS[2])
    chance = random.Random(1)
    counts = Counter(run(steps, query(chance, name)) for name in names(2500))
    assert set(counts) == set(range(sockets))
    for count in counts.values():
        assert 0.3 < count * sockets / 2500 < 1.8


def attacks() -> dict[str, Iterator[bytes]]:
    """Names, in wire form, that are meant to meet in one worker."""
    return {
        "known hash": steered.of_known_hash(4),
        "one start": steered.of_one_start(),
        "zero inside": steered.with_zero(),
        "one fold": steered.of_one_fold(),
    }


@pytest.mark.parametrize("attack", attacks())
@pytest.mark.parametrize("key", KEYS[:2])
def test_names_cannot_be_aimed_at_a_socket(attack: str, key: bytes) -> None:
    """Whoever does not know the key gets no socket of four more than a third of his names."""
    steps = program(4, key)
    counts = Counter(run(steps, raw(name)) for name in islice(attacks()[attack], 600))
    assert max(counts.values()) < 200, counts


def test_names_that_meet_under_one_key_part_under_another() -> None:
    """500 names of one socket of four: another key gives each socket about 125 of them."""
    chance = random.Random(3)
    first, second = program(4, KEYS[0]), program(4, KEYS[1])
    packets = (query(chance, f"n{number}.example.com") for number in range(10**6))
    met = list(islice((packet for packet in packets if run(first, packet) == 2), 500))
    counts = Counter(run(second, packet) for packet in met)
    assert 80 < min(counts[index] for index in range(4)) <= max(counts.values()) < 170


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes(11),
        bytes(12),
        b"\1" * 20,
        raw(b"\x01a" * (steering.LABELS + 1) + b"\0"),
        raw((b"\x3f" + b"a" * 63) * 3 + b"\0"),
    ],
)
def test_what_cannot_be_steered_goes_anywhere(packet: bytes) -> None:
    """Too short to hold a name, cut within it, or a name that is longer than what is read: no socket is the one that gets it."""
    assert run(program(4, KEYS[0]), packet[:12]) == ANYWHERE
    assert run(program(4, KEYS[0]), packet) == ANYWHERE


def test_the_kernel_spreads_what_cannot_be_steered(group: list[socket.socket]) -> None:
    """200 packets without a name: each of four sockets gets some."""
    Steering(len(group), KEYS[0]).apply(group[0])
    assert Counter(received(group, b"\1" * 20) for _ in range(200)).keys() == {0, 1, 2, 3}


def test_only_letters_have_case() -> None:
    """Two names are one if they differ in the case of ASCII letters, and in no other way."""
    steps = program(2**16, KEYS[0])

    def place(label: bytes) -> int:
        return run(steps, raw(bytes([len(label)]) + label + b"\4test\0"))

    for byte in range(1, 256):
        label = bytes([byte]) * 9
        assert (place(label) == place(label.lower())) is True
        assert (place(label) == place(bytes(each ^ 0x20 for each in label))) is (chr(byte).isalpha() and byte < 128)


HEADERS = [
    header(),
    header("198.51.100.7"),
    header("2001:db8::7"),
    header("203.0.113.250", tlvs=tlv(1, b"dns") + tlv(4, bytes(17)), checksum=True),
    raw_header(0x21, 0x31, bytes(216)),
    raw_header(0, 0),
]


def test_a_name_behind_a_header_goes_where_it_goes_without(group: list[socket.socket]) -> None:
    """In the kernel and in the interpreter, whatever the header: each worker keeps its own names, also those without a header."""
    bare = program(len(group), KEYS[1])
    steps = program(len(group), KEYS[1], proxied=True)
    Steering(len(group), KEYS[1], proxied=True).apply(group[0])
    chance = random.Random(11)
    packets = [query(chance, name) for name in names(60)]
    packets += [raw(bytes([63]) + b"b" * 63 + bytes([length]) + b"c" * length + b"\0") for length in range(1, 34, 4)]
    packets += [raw(b"\x01a" * pairs + b"\0") for pairs in range(0, steering.LABELS + 1, 5)]
    for packet in packets:
        wanted = run(bare, packet)
        assert wanted != ANYWHERE
        assert received(group, packet) == run(steps, packet) == wanted
        for head in HEADERS:
            assert received(group, head + packet) == run(steps, head + packet) == wanted


@pytest.mark.parametrize(
    "packet", [raw_header(0x21, 0x12, size=65535), header("198.51.100.7"), header() + bytes(12), header()[:15]]
)
def test_a_header_without_a_name_goes_anywhere(packet: bytes) -> None:
    """One that claims more than there is, one with nothing behind it, and half of one."""
    assert run(program(4, KEYS[0], proxied=True), packet) == ANYWHERE


@pytest.mark.parametrize("start", [b"\r\n\r\n", b"\r\n\r\n\0\r\nQUIT"])
def test_a_message_that_begins_like_a_header_is_a_message(start: bytes) -> None:
    """All twelve bytes make a header."""
    packet = start + raw(b"\3www\7example\0")[len(start) :]
    assert run(program(2**16, KEYS[0], proxied=True), packet) == run(program(2**16, KEYS[0]), packet) != ANYWHERE


@pytest.mark.parametrize("proxied", [False, True])
def test_a_program_is_within_what_the_kernel_takes(*, proxied: bool) -> None:
    """At most 4,096 instructions (BPF_MAXINSNS), every jump forwards and within it, no name but it runs to a return."""
    steps = program(64, KEYS[0], proxied=proxied)
    assert len(steps) <= 4096
    for at, step in enumerate(steps):
        if step.code == steering.JUMP:
            assert 0 < at + 1 + step.k < len(steps)
        assert step.jump_true in (0, 1)
        assert step.jump_false in (0, 1)
