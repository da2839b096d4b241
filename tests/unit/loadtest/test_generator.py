"""The load generator, against servers that answer well, badly, late and not at all."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from loadtest import build, packets, programs
from loadtest.loopback import Address
from loadtest.programs import generate, generator_command
from pdns.wire import names
from tests.unit.loadtest.conftest import udp_server

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """A hundred different questions."""
    file = tmp_path / "packets"
    packets.write(
        file, (packets.query(names.from_text(f"name{number}.example.com").replace(b"name", b"nAMe")) for number in range(100))
    )
    return file


def reply(query: bytes, rcode: int = 0) -> bytes:
    return query[:2] + bytes([query[2] | 0x80, query[3] & 0xF0 | rcode]) + query[4:]


def test_every_query_is_answered_by_the_echo(queries: Path) -> None:
    """Against the echo, every query is sent once, answered once, and nothing is strange about the answers."""
    with programs.serving("echo") as echo:
        run = generate(generator_command(echo.address, queries, count=5000))
    assert (run.sent, run.received, run.lost) == (5000, 5000, 0)
    assert (run.strange, run.question_differs, run.truncated, run.send_errors) == (0, 0, 0, 0)
    assert run.rcodes == {0: 5000}


def test_count_defaults_to_the_file(queries: Path) -> None:
    """Without a count, each query of the file goes out once."""
    with programs.serving("echo") as echo:
        assert generate(generator_command(echo.address, queries)).sent == 100


def test_percentiles_are_in_order(queries: Path) -> None:
    """A higher percentile is never a shorter time, and none is above the maximum."""
    with programs.serving("echo") as echo:
        latency = generate(generator_command(echo.address, queries, count=2000)).latency_us
    assert 0 < latency.p50 <= latency.p90 <= latency.p99 <= latency.p99_9 <= latency.max
    assert 0 < latency.mean <= latency.max


def test_latency_is_what_the_server_took(queries: Path) -> None:
    """One query at a time to a server that takes 50 ms: the median is 50 ms or more, and no thousand times of that."""

    def slow(query: bytes) -> bytes:
        time.sleep(0.05)
        return reply(query)

    with udp_server(slow) as address:
        run = generate(generator_command(address, queries, count=10, window=1))
    assert 50_000 <= run.latency_us.p50 < 50_000_000


def test_open_loop_keeps_the_rate(queries: Path) -> None:
    """200 queries at 1,000 a second take a fifth of a second, however quick the answers are."""
    with programs.serving("echo") as echo:
        run = generate(generator_command(echo.address, queries, count=200, rate=1000))
    assert run.received == 200
    assert 0.15 < run.elapsed_s < 30


def test_open_loop_counts_the_wait_that_a_stall_caused(queries: Path) -> None:
    """A server that stalls once for 0.2 s: queries that were due meanwhile show it, not just the one that met it."""
    stalls = iter([0.2])

    def stalling(query: bytes) -> bytes:
        time.sleep(next(stalls, 0))
        return reply(query)

    with udp_server(stalling) as address:
        run = generate(generator_command(address, queries, count=100, rate=1000, window=1))
    assert run.latency_us.p50 > 20_000


def test_silence_is_loss(queries: Path) -> None:
    """A server that says nothing: every query is sent, none received, all lost, and the run ends."""
    with udp_server(lambda _: None) as address:
        run = generate(generator_command(address, queries, count=50, window=10, timeout_ms=20))
    assert (run.sent, run.received, run.lost) == (50, 0, 50)


def test_time_bounds_a_run(queries: Path) -> None:
    """A run over a silent server ends after its seconds and one time-out, whatever the count."""
    began = time.monotonic()
    with udp_server(lambda _: None) as address:
        run = generate(generator_command(address, queries, count=1_000_000, seconds=0.2, window=10, timeout_ms=50))
    assert time.monotonic() - began < 60
    assert run.sent < 1_000_000


def test_rcodes_and_truncation_are_counted(queries: Path) -> None:
    """NXDOMAIN with TC set is seen as both."""
    with udp_server(lambda query: bytes([query[0], query[1], 0x83, 0x03]) + query[4:]) as address:
        run = generate(generator_command(address, queries))
    assert run.rcodes == {3: 100}
    assert run.truncated == 100


def test_another_question_is_noticed(queries: Path) -> None:
    """Answers that do not echo the question byte for byte are counted; folding its case is enough."""
    with udp_server(lambda query: reply(query)[:12] + query[12:].lower()) as address:
        run = generate(generator_command(address, queries))
    assert run.question_differs == 100


def test_answers_to_nobody_are_strange(queries: Path) -> None:
    """An answer with another id answers nothing: it is counted as strange, and the query is lost."""
    with udp_server(lambda query: bytes([query[0] ^ 0x80]) + reply(query)[1:]) as address:
        run = generate(generator_command(address, queries, count=20, window=4, timeout_ms=30))
    assert run.lost == 20
    assert run.strange == 20


def test_a_query_that_comes_back_is_no_answer(queries: Path) -> None:
    """A datagram without QR is strange, even when everything else is right."""
    with udp_server(lambda query: query) as address:
        run = generate(generator_command(address, queries, count=10, window=2, timeout_ms=20))
    assert (run.received, run.strange) == (0, 10)


def test_sigterm_ends_a_run_with_a_report(queries: Path) -> None:
    """SIGTERM stops the sending, and what was measured until then is reported."""
    with programs.serving("echo") as echo:
        process = programs.start(generator_command(echo.address, queries, count=1_000_000, rate=1000))
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        run = programs.finish(process)
    assert 0 < run.sent < 1_000_000
    assert run.received == run.sent


@pytest.mark.parametrize("target", ["192.0.2.1:53", "0.0.0.0:53", "[2001:db8::1]:53", "[::ffff:192.0.2.1]:53"])
def test_only_loopback(target: str, queries: Path) -> None:
    """The generator refuses to send to an address of another machine."""
    command = [str(build.program("generator")), "--to", target, "--packets", str(queries)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "not a loopback address" in result.stderr


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"\0\x20short", b"\0\x05short"], ids=["empty", "half a length", "cut", "no header"]
)
def test_bad_packet_file(content: bytes, tmp_path: Path) -> None:
    """A file that is not whole packets is refused before anything is sent."""
    file = tmp_path / "bad"
    file.write_bytes(content)
    command = [str(build.program("generator")), "--to", "127.0.0.1:9", "--packets", str(file)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2


def test_failure_is_an_error(tmp_path: Path) -> None:
    """A generator that cannot run is a `GeneratorError`, not a report of zeros."""
    with pytest.raises(programs.GeneratorError):
        generate(generator_command(Address("127.0.0.1", 9), tmp_path / "missing"))


def test_queries_that_the_generator_sent_late_count_from_when_they_were_due(queries: Path) -> None:
    """At 25,000 queries a second, kept from running for 0.2 of 0.5 s, it sends them all, and most of those late ones show it."""
    with programs.serving("echo") as echo:
        generator = programs.start(generator_command(echo.address, queries, count=12_500, rate=25_000))
        time.sleep(0.15)
        generator.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        generator.send_signal(signal.SIGCONT)
        run = programs.finish(generator)
    assert run.sent == 12_500
    assert run.latency_us.p90 > 100_000
