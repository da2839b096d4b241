"""What published attacks on forwarders try, tried from outside against the running program."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pdns.wire import protocol as p
from tests.fakes import upstream as fake
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed
from tests.wire import answers, ede, query_wire, read

TRUE, FORGED = "192.0.2.7", "203.0.113.66"
_GOOD = fake.answer(TRUE)
_FORGED = fake.answer(FORGED)


def _foreign(query: fake.SeenQuery) -> list[fake.Action]:
    """The true answer, and records of somebody else's beside it."""
    own = fake.rr(1, bytes((192, 0, 2, 7)))
    other = fake.rr(1, bytes((203, 0, 113, 66)), owner=b"\4bank\7example\0")
    claim = fake.rr(2, b"\4evil\4test\0", owner=b"\7example\0")
    return [fake.Send(fake.reply(query, [own, other], [claim]))]


def _chain(hops: int) -> fake.Handler:
    def label(n: int) -> bytes:
        text = f"h{n}".encode()
        return bytes([len(text)]) + text + b"\7example\0"

    cnames = [fake.rr(5, label(n + 1), owner=b"\xc0\x0c" if n == 0 else label(n)) for n in range(hops)]
    return fake.records(*cnames, fake.rr(1, bytes((192, 0, 2, 7)), owner=label(hops)))


HANDLER = fake.by_name(
    {
        "wrongid.example": fake.then(fake.wrong_id(_FORGED), fake.delayed(_GOOD, 0.05)),
        "wrongname.example": fake.then(fake.wrong_question(_FORGED), fake.delayed(_GOOD, 0.05)),
        "wrongport.example": fake.then(fake.other_port(_FORGED), fake.delayed(_GOOD, 0.05)),
        "garbage.example": fake.by_transport(fake.garbage, _GOOD),
        "onlygarbage.example": fake.garbage,
        "loop.example": fake.pointer_loop,
        "slow.example": fake.delayed(_GOOD, 0.3),
        "foreign.example": _foreign,
        "big.example": fake.over_tcp_only(fake.answer(*[f"192.0.2.{n}" for n in range(250)])),
        "chain10.example": _chain(10),
        "chain20.example": _chain(20),
        "chain40.example": _chain(40),
        "servfail.example": fake.rcode(p.SERVFAIL),
        "cloaked.example": fake.records(fake.rr(5, b"\7malware\4test\0"), fake.rr(1, bytes(4), owner=b"\7malware\4test\0")),
        "hole.example": fake.drop,
    },
    _GOOD,
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread(HANDLER) as thread:
        yield thread


@pytest.fixture(scope="module")
def pdns(upstream: UpstreamThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    directory = tmp_path_factory.mktemp("attacks")
    config = {"upstream": {"servers": [upstream.address], "timeout_s": 2.0}, "feed": [feed(directory, "listed", "malware.test")]}
    with RunningPdns(directory, config) as running:
        yield running


def udp(pdns: RunningPdns, wire: bytes, timeout_s: float = 30.0) -> bytes | None:
    """The reply to a datagram, None when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout_s)
        sock.connect(("127.0.0.1", pdns.dns_port))
        sock.send(wire)
        try:
            return sock.recv(65535)
        except TimeoutError:
            return None


def tcp(pdns: RunningPdns, wire: bytes, timeout_s: float = 30.0) -> bytes:
    with socket.create_connection(("127.0.0.1", pdns.dns_port), timeout_s) as sock, sock.makefile("rb") as stream:
        sock.sendall(len(wire).to_bytes(2) + wire)
        return stream.read(int.from_bytes(stream.read(2)))


@pytest.mark.parametrize(
    "name", ["wrongid.example", "wrongname.example", "wrongport.example", "garbage.example", "lower.example"]
)
def test_forgeries_do_not_end_the_wait(pdns: RunningPdns, name: str) -> None:
    """A wrong id, question or port is ignored, and the right answer still taken; garbage under the right id leads to TCP."""
    assert pdns.addresses(name) == [TRUE]


@pytest.mark.parametrize("name", ["onlygarbage.example", "loop.example"])
def test_unsound_answers_are_not_passed_on(pdns: RunningPdns, name: str) -> None:
    """Lying counts and pointer loops reach no client: what comes is SERVFAIL with a reason."""
    reply = udp(pdns, query_wire(name))
    assert reply is not None
    assert (read(reply).header.rcode, answers(reply)) == (p.SERVFAIL, [])
    assert ede(reply) is not None


def test_a_hundred_identical_questions_cause_one(pdns: RunningPdns, upstream: UpstreamThread) -> None:
    """One hundred clients asking the same at once cause one upstream query (RebirthDay, DNSpooq), client subnet or not."""
    ask = query_wire("same.slow.example", edns=None)
    subnet = ask[:11] + b"\1" + ask[12:] + b"\0\0\x29\x10\0\0\0\0\0\0\x0b\0\x08\0\x07\0\1\x18\0\xc0\0\2"
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(100)]
        for number, sock in enumerate(socks):
            sock.settimeout(30)
            sock.connect(("127.0.0.1", pdns.dns_port))
            sock.send(subnet if number % 2 else ask)
        assert all(answers(sock.recv(4096)) == [TRUE] for sock in socks)
    seen = [query for query in upstream.fake.queries if query.name == "same.slow.example"]
    assert len(seen) == 1
    assert seen[0].opt in (b"", b"\0\0\x29\x04\xd0\0\0\0\0\0\0")


def test_ports_ids_and_case_cannot_be_guessed(pdns: RunningPdns, upstream: UpstreamThread) -> None:
    """150 queries in a row come from many ports, with ids and letter case of their own; the client's case comes back."""
    for number in range(150):
        reply = udp(pdns, query_wire(f"Guess{number}.Example", query_id=1))
        assert reply is not None
        assert reply[:2] == b"\0\1"
        assert reply[12:].startswith(bytes([len(f"Guess{number}")]) + f"Guess{number}".encode())
    seen = [query for query in upstream.fake.queries if query.name.startswith("guess")]
    assert len({query.source[1] for query in seen}) > 60
    assert len({query.id for query in seen}) > 140
    assert len({query.qname[-9:] for query in seen}) > 30


def test_an_upstream_that_folds_case_still_works(tmp_path: Path) -> None:
    """An upstream that answers in lower case is not believed over UDP, and answers all the same."""
    with (
        UpstreamThread(fake.lower_casing(_GOOD)) as folding,
        RunningPdns(tmp_path, {"upstream": {"servers": [folding.address]}}) as pdns,
    ):
        assert pdns.addresses("Www.Example") == [TRUE]
        assert [query.transport for query in folding.fake.queries][:2] == ["udp", "tcp"]
        assert pdns.addresses("second.example") == [TRUE]


def test_only_what_was_asked_is_answered(pdns: RunningPdns, upstream: UpstreamThread) -> None:
    """Records of other names and zones in an answer are not passed on, and not remembered for those names."""
    reply = udp(pdns, query_wire("foreign.example"))
    assert reply is not None
    assert (answers(reply), read(reply).auth) == ([TRUE], [])
    assert pdns.addresses("bank.example") == [TRUE]
    assert "bank.example" in upstream.names


def test_upstream_queries_are_small_and_plain(pdns: RunningPdns, upstream: UpstreamThread) -> None:
    """We offer upstreams 1232 bytes and no option, whatever a client sends; truncated answers are fetched over TCP."""
    reply = tcp(pdns, query_wire("big.example", edns=4096))
    assert len(answers(reply)) == 250
    seen = [query for query in upstream.fake.queries if query.name == "big.example"]
    assert [query.transport for query in seen] == ["udp", "tcp"]
    assert {query.opt for query in seen} == {b"\0\0\x29\x04\xd0\0\0\0\0\0\0"}


@pytest.mark.parametrize(("edns", "bound"), [(None, 512), (512, 512), (800, 800), (1232, 1232), (4096, 1232), (65535, 1232)])
def test_answers_are_bounded(pdns: RunningPdns, edns: int | None, bound: int) -> None:
    """No UDP answer is larger than the client offered, nor than 1232 bytes: little to amplify, nothing to fragment."""
    reply = udp(pdns, query_wire("big.example", edns=edns))
    assert reply is not None
    assert len(reply) <= bound
    assert read(reply).header.tc == 1


def test_long_chains_and_failures_cost_little(pdns: RunningPdns, upstream: UpstreamThread) -> None:
    """Twenty hops are passed on, forty are refused, and a failure is not asked for again at once (CacheFlush, TsuNAME)."""
    assert pdns.addresses("chain10.example") == [TRUE]
    assert pdns.addresses("chain20.example", tcp=True) == [TRUE]
    assert pdns.rcode("chain40.example") == "SERVFAIL"
    for _ in range(20):
        assert pdns.rcode("servfail.example") == "SERVFAIL"
    assert upstream.names.count("servfail.example") <= 4


def test_any_is_minimal(pdns: RunningPdns, upstream: UpstreamThread) -> None:
    """ANY gets one small record and causes no upstream query (RFC 8482)."""
    wire = query_wire("any.example", "ANY")
    reply = udp(pdns, wire)
    assert reply is not None
    assert [record.rtype for record in read(reply).rr] == [p.HINFO]
    assert "any.example" not in upstream.names


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(query_wire("www.example")[:2] + b"\x81" + query_wire("www.example")[3:], id="a response"),
        pytest.param(b"\x12\x34\x80\x01" + bytes(8), id="an error reply"),
        pytest.param(b"\x12\x34", id="two bytes"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_no_query_gets_silence(pdns: RunningPdns, wire: bytes) -> None:
    """Responses and runts are never answered, so no two servers can be set on each other."""
    assert udp(pdns, wire, 0.3) is None
    assert pdns.addresses("www.example") == [TRUE]


def test_header_and_edns_oddities(pdns: RunningPdns) -> None:
    """Version 1 gets BADVERS, odd opcodes NOTIMP with clear flags; options are not echoed, DO is, Z is not, AA is never set."""
    plain = query_wire("www.example", edns=None)

    def edns(version: int = 0, flags: int = 0, options: bytes = b"") -> bytes:
        opt = b"\0\0\x29\x04\xd0\0" + bytes([version]) + flags.to_bytes(2) + len(options).to_bytes(2) + options
        return plain[:11] + b"\1" + plain[12:] + opt

    bad = udp(pdns, edns(version=1))
    assert bad is not None
    assert ((read(bad).ar[0].ttl >> 24) << 4 | read(bad).header.rcode, answers(bad)) == (p.BADVERS, [])
    reply = udp(pdns, plain[:2] + b"\x29\x70" + plain[4:])
    assert reply is not None
    assert reply[2:4] == b"\xa8\x04"
    odd = udp(pdns, edns(flags=0xC001, options=b"\xfd\xe9\0\1x\0\x0a\0\x08abcdefgh"))
    assert odd is not None
    at = odd.rindex(b"\0\0\x29\x04\xd0\0\0\x80\0")
    assert odd[at + 9 : -16] == b"\0\x1c\0\x0a\0\x18abcdefgh"  # our cookie behind the client's, and nothing else
    z = udp(pdns, plain[:2] + b"\x03\x40" + plain[4:])
    assert z is not None
    assert (answers(z), z[2] & 4, z[2] & 2, z[3] & 0x40) == ([TRUE], 0, 0, 0)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(query_wire("MaLwArE.TeSt"), id="case"),
        pytest.param(query_wire(r"\109alware.test"), id="escape"),
        pytest.param(query_wire("deep.below.malware.test"), id="below"),
        pytest.param(query_wire("malware.test", "AAAA"), id="AAAA"),
        pytest.param(query_wire("malware.test", "HTTPS"), id="HTTPS"),
        pytest.param(query_wire("malware.test", "ANY"), id="ANY"),
        pytest.param(query_wire("malware.test", "TXT", do=True, cd=1), id="DO and CD"),
        pytest.param(query_wire("malware.test", edns=None), id="no EDNS"),
        pytest.param(query_wire("malware.test", qclass="CH"), id="class CH"),
        pytest.param(query_wire("malware.test", qclass="ANY"), id="class ANY"),
        pytest.param(query_wire("malware.test", rd=0), id="no RD"),
        pytest.param(query_wire("cloaked.example"), id="CNAME cloaking"),
    ],
)
def test_the_policy_has_no_way_around(pdns: RunningPdns, upstream: UpstreamThread, wire: bytes) -> None:
    """However a listed name is asked for, over UDP or TCP, the answer is the sinkhole or nothing, and no upstream is asked."""
    for reply in (udp(pdns, wire), tcp(pdns, wire)):
        assert reply is not None
        assert set(answers(reply)) <= {SINKHOLE, "2001:db8::1"}
    assert not any("malware" in name for name in upstream.names)


def test_half_open_connections_stop_nobody(pdns: RunningPdns) -> None:
    """With 300 connections that say nothing or half a length, from the same address, TCP and UDP answer as before."""
    with ExitStack() as stack:
        for number in range(300):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", pdns.dns_port), 5))
            if number % 3 == 1:
                sock.send(b"\0")
            elif number % 3 == 2:
                sock.send(b"\0\x40half")
        for _ in range(5):
            assert answers(tcp(pdns, query_wire("www.example"))) == [TRUE]
            assert pdns.addresses("www.example") == [TRUE]


def test_waiting_questions_of_one_client_are_bounded_and_said(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A client that fills its share with questions that no server answers is told so at once; others are served (DNSBomb)."""
    sections: dict[str, Any] = {"upstream": {"servers": [upstream.address], "timeout_s": 3.0, "max_in_flight_per_client": 50}}
    with RunningPdns(tmp_path, sections) as pdns, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", pdns.dns_port))
        sock.settimeout(30)
        for number in range(60):
            sock.send(query_wire(f"n{number}.hole.example", query_id=number))
        told = [sock.recv(4096) for _ in range(10)]
        assert {ede(reply) for reply in told} == {(0, "too many queries in flight for this client")}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.0.0.2", 0))
            other.settimeout(30)
            other.connect(("127.0.0.1", pdns.dns_port))
            other.send(query_wire("www.example"))
            assert answers(other.recv(4096)) == [TRUE]


@pytest.mark.long
def test_two_that_forward_to_each_other_do_not_storm(tmp_path: Path) -> None:
    """A forwarding loop ends in SERVFAIL after a bounded number of queries."""
    first_dir, second_dir = tmp_path / "first", tmp_path / "second"
    first_dir.mkdir()
    second_dir.mkdir()
    with RunningPdns(first_dir, {}) as first:
        sections = {"upstream": {"servers": [f"udp://127.0.0.1:{first.dns_port}"], "timeout_s": 1.0}}
        with RunningPdns(second_dir, sections) as second:
            first.write_config({"upstream": {"servers": [f"udp://127.0.0.1:{second.dns_port}"], "timeout_s": 1.0}})
            first.wait_for(lambda: str(second.dns_port) in str(first.scrape()), "the new upstream")
            assert first.rcode("round.example") == "SERVFAIL"
            time.sleep(1.5)
            assert first.value("queries_total", qtype="A") < 30
