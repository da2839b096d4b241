"""DNS over QUIC and HTTP/3 by the real program: clients of others, blocked names, and processes that die or are replaced."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from pdns.quic.doq import DoqErrorCode
from tests.fakes.quic import StreamClient
from tests.integration.encryptedserving import BLOCKED, NAME, Encrypted, encrypted
from tests.integration.running_pdns import SINKHOLE

# dnspython leaves sockets of its own open
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    with encrypted(tmp_path_factory.mktemp("quic"), ("quic", "h3"), server={"workers": 2}) as running:
        running.pdns.wait_for(lambda: running.pdns.children("pdns.quic"), "the quic process")
        yield running


def over_quic(serving: Encrypted, name: str) -> dns.message.Message:
    query = dns.message.make_query(name, "A")
    return dns.query.quic(
        query, "127.0.0.1", timeout=30, port=serving.ports["quic"], verify=str(serving.ca_file), server_hostname=NAME
    )


def over_h3(serving: Encrypted, name: str, *, post: bool) -> dns.message.Message:
    url = f"https://127.0.0.1:{serving.ports['h3']}/dns-query"
    version = dns.query.HTTPVersion.H3
    query = dns.message.make_query(name, "A")
    return dns.query.https(query, url, timeout=30, verify=str(serving.ca_file), http_version=version, post=post)


def test_dnspython_is_answered_and_blocked(serving: Encrypted) -> None:
    """Over QUIC, and over HTTP/3 with GET and POST; queries are counted by transport."""
    before = serving.asked("quic"), serving.asked("h3")
    assert over_quic(serving, "www.example.net").answer
    assert SINKHOLE in str(over_quic(serving, BLOCKED).answer[0])
    for post in (True, False):
        assert over_h3(serving, "www.example.net", post=post).answer
        assert SINKHOLE in str(over_h3(serving, BLOCKED, post=post).answer[0])
    assert (serving.asked("quic") - before[0], serving.asked("h3") - before[1]) == (2, 4)


@pytest.mark.skipif(shutil.which("kdig") is None, reason="knot-dnsutils is not installed")
def test_kdig_is_answered_with_padding(serving: Encrypted) -> None:
    """The option +quic, with a certificate that it verifies; the answer has a length of RFC 8467."""
    command = ["kdig", f"+tls-ca={serving.ca_file}", f"+tls-host={NAME}", "+quic", "+padding", "-p", str(serving.ports["quic"])]
    done = subprocess.run(
        [*command, "@127.0.0.1", "www.example.net", "A"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "status: NOERROR" in done.stdout, done.stdout + done.stderr
    assert "Received 468 B" in done.stdout


def test_a_name_is_cached_once_for_all_transports(serving: Encrypted) -> None:
    """A query over QUIC goes to the worker that has the answer for UDP."""
    names = [f"once{number}.example.net" for number in range(12)]
    for name in names:
        serving.pdns.ask(name)
    before = serving.pdns.value("responses_total", source="upstream")
    for name in names:
        assert over_quic(serving, name).answer
    assert serving.pdns.value("responses_total", source="upstream") == before


def long_lived(serving: Encrypted, disturb: Callable[[], None], queries: int) -> tuple[int, int | None]:
    """Queries on one connection, `disturb` after the first ones; how many were answered, and with what the connection ended."""

    async def main() -> tuple[int, int | None]:
        from aioquic.asyncio import connect  # noqa: PLC0415 (as pdns does it)
        from aioquic.quic.configuration import QuicConfiguration  # noqa: PLC0415

        settings = QuicConfiguration(alpn_protocols=["doq"], is_client=True, server_name=NAME)
        settings.load_verify_locations(str(serving.ca_file))
        query, answered = dns.message.make_query("www.example.net", "A", id=0).to_wire(), 0
        async with connect("127.0.0.1", serving.ports["quic"], configuration=settings, create_protocol=StreamClient) as client:
            assert isinstance(client, StreamClient)
            for number in range(queries):
                if number == 5:
                    await asyncio.to_thread(disturb)
                answer = await client.ask(query)
                if client.closed is not None:
                    break
                answered += bool(answer) and dns.message.from_wire(answer).rcode() == dns.rcode.NOERROR
                await asyncio.sleep(0.02)
            return answered, client.closed

    return asyncio.run(main())


def test_a_worker_that_dies_costs_no_query(serving: Encrypted) -> None:
    """What it had in flight is asked elsewhere, and later queries find a worker."""

    def kill() -> None:
        os.kill(serving.pdns.worker_pids[0], signal.SIGKILL)

    assert long_lived(serving, kill, 60) == (60, None)
    serving.pdns.wait_for(lambda: len(serving.pdns.worker_pids) == 2, "the worker")


def test_an_upgrade_costs_no_query(serving: Encrypted) -> None:
    """The process before goes on with its connection through the new one, until it is idle; new clients get the new one."""

    def roll() -> None:
        serving.pdns.send_signal(signal.SIGUSR2)
        serving.pdns.wait_for_log("quic is a new process")

    answered, code = long_lived(serving, roll, 60)
    assert (answered, code) == (60, None)
    assert over_quic(serving, "www.example.net").answer


def test_a_quic_process_that_dies_is_replaced(serving: Encrypted) -> None:
    """Plain DNS does not notice; a new connection is served within moments."""
    for pid in serving.pdns.children("pdns.quic"):
        os.kill(pid, signal.SIGKILL)
    assert serving.pdns.ask("www.example.net").answer
    serving.pdns.wait_for(lambda: serving.pdns.value("quic_restarts_total") >= 1, "the restart")
    assert over_quic(serving, "www.example.net").answer
    assert serving.pdns.value("quic_handshakes_total", transport="quic", result="completed") >= 1


def test_a_protocol_error_ends_the_connection(serving: Encrypted) -> None:
    """A message ID that is not 0, to the real program."""

    async def main() -> int | None:
        from aioquic.asyncio import connect  # noqa: PLC0415
        from aioquic.quic.configuration import QuicConfiguration  # noqa: PLC0415

        settings = QuicConfiguration(alpn_protocols=["doq"], is_client=True, server_name=NAME)
        settings.load_verify_locations(str(serving.ca_file))
        async with connect("127.0.0.1", serving.ports["quic"], configuration=settings, create_protocol=StreamClient) as client:
            assert isinstance(client, StreamClient)
            await client.ask(dns.message.make_query("www.example.net", "A", id=7).to_wire())
            return client.closed

    assert asyncio.run(main()) == DoqErrorCode.PROTOCOL_ERROR


def test_the_program_stops_with_open_connections(serving: Encrypted) -> None:
    """SIGTERM: the client is told that the connection ends in order."""

    def stop() -> None:
        serving.pdns.send_signal(signal.SIGTERM)

    answered, code = long_lived(serving, stop, 200)
    assert answered >= 5
    assert code == DoqErrorCode.NO_ERROR
    assert serving.pdns.wait() == 0
