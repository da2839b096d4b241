"""The two C servers: the echo and the authority."""

from __future__ import annotations

import socket
import subprocess

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from loadtest import build, programs
from loadtest.packets import query
from loadtest.server import ask
from pdns.wire import names
from pdns.wire import protocol as p

pytestmark = pytest.mark.usefixtures("compiled")
NAME = names.from_text("www.example.com")


def answer(wire: bytes) -> dns.message.Message:
    with programs.serving("authority") as authority:
        got = ask(authority.address, wire)
    assert got is not None
    return dns.message.from_wire(got)


def test_echo_sets_qr_and_nothing_else() -> None:
    """The echo gives back the same bytes with QR set."""
    wire = query(NAME, query_id=7)
    with programs.serving("echo") as echo:
        assert ask(echo.address, wire) == wire[:2] + bytes([wire[2] | 0x80]) + wire[3:]


@pytest.mark.parametrize(("qtype", "records"), [(p.A, 1), (p.AAAA, 1), (p.HTTPS, 0), (p.TXT, 0)])
def test_addresses_have_one_record(qtype: int, records: int) -> None:
    """A and AAAA queries get one record with a TTL of 300 s; others NODATA with a SOA of an ancestor."""
    message = answer(query(NAME, qtype, query_id=1))
    assert message.rcode() == dns.rcode.NOERROR
    assert len(message.answer) == records
    if records:
        assert (message.answer[0].rdtype, message.answer[0].ttl) == (qtype, 300)
        assert message.answer[0].name == message.question[0].name
    else:
        assert message.authority[0].rdtype == dns.rdatatype.SOA
        assert message.authority[0].name.to_text() == "com."


def test_the_authority_counts() -> None:
    """Whoever has an answer sees it counted; what gets silence is not."""
    with programs.serving("authority") as authority:
        assert authority.answered() == 0
        for number in range(1, 4):
            assert ask(authority.address, query(NAME, query_id=number)) is not None
            assert authority.answered() == number
        assert ask(authority.address, b"short", timeout_s=0.05) is None
        assert authority.answered() == 3


def test_case_is_echoed_and_does_not_change_the_answer() -> None:
    """0x20: the question comes back as it was asked, and the address is the same."""
    mixed = NAME.replace(b"example", b"eXaMPle")
    with programs.serving("authority") as authority:
        got, plain = ask(authority.address, query(mixed)), ask(authority.address, query(NAME))
    assert got is not None
    assert plain is not None
    assert got[12 : 12 + len(mixed)] == mixed
    assert dns.message.from_wire(got).answer[0][0] == dns.message.from_wire(plain).answer[0][0]


def test_edns_only_when_asked() -> None:
    """A query with an OPT record gets one, a query without gets none."""
    assert answer(query(NAME)).edns == 0
    plain = dns.message.make_query("www.example.com", "A")
    assert answer(plain.to_wire()).edns == -1


@pytest.mark.parametrize(
    "wire", [b"", b"\0" * 11, query(NAME)[:20], b"\0\0\x80\0" + query(NAME)[4:]], ids=["empty", "short", "cut", "response"]
)
def test_authority_is_silent_to_what_is_no_query(wire: bytes) -> None:
    """Rubbish and responses get no answer, and the next query does."""
    with programs.serving("authority") as authority, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(authority.address)
        sock.send(wire)
        sock.send(query(NAME, query_id=42))
        sock.settimeout(1)
        assert sock.recv(4096)[:2] == b"\0\x2a"


@pytest.mark.parametrize(("name", "arguments"), [("echo", 1), ("authority", 2)])
def test_servers_refuse_a_socket_that_is_not_on_loopback(name: str, arguments: int) -> None:
    """A socket bound to every address is refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("0.0.0.0", 0))
        fd = sock.fileno()
        result = subprocess.run(
            [build.program(name), *[str(fd)] * arguments], pass_fds=[fd], capture_output=True, text=True, check=False, timeout=5
        )
    assert result.returncode == 2
    assert "not bound to a loopback address" in result.stderr
