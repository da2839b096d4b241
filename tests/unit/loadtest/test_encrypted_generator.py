"""The generator of encrypted queries and the yardsticks, over real sockets, with a certificate made for it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from loadtest import build, encrypted_goals, packets, process
from loadtest.encrypted_generate import SERVER_NAME, EncryptedRun, command, generate, holding
from loadtest.encrypted_goals import EncryptedPath
from loadtest.encrypted_servers import EncryptedServer, bare
from loadtest.loopback import Address
from loadtest.programs import GeneratorError
from pdns.demo import certificates
from pdns.wire import names

pytestmark = pytest.mark.usefixtures("compiled")
PATHS_IN_C = [path for path in encrypted_goals.PATHS if path.transport != encrypted_goals.QUIC]
each_path = pytest.mark.parametrize("path", PATHS_IN_C, ids=lambda path: path.key)
each_transport = pytest.mark.parametrize("transport", ["tls", "https"])


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """Fifty different questions."""
    file = tmp_path / "packets"
    packets.write(file, (packets.query(names.from_text(f"name{number}.example.com")) for number in range(50)))
    return file


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> certificates.CertificateFiles:
    return certificates.self_signed(tmp_path_factory.mktemp("certificate"), SERVER_NAME)


@pytest.fixture(scope="module")
def yardsticks(files: certificates.CertificateFiles) -> Iterator[EncryptedServer]:
    if build.compiler() is None:
        pytest.skip("no C compiler")
    with bare(files, 0) as server:
        yield server


@each_path
def test_every_query_is_answered_by_its_yardstick(path: EncryptedPath, yardsticks: EncryptedServer, queries: Path) -> None:
    """On each path every query gets its own answer, on as many connections as the path says."""
    run = generate(command(yardsticks.addresses[path.transport], queries, path, seconds=30, count=120), None)
    assert (run.sent, run.received, run.lost, run.strange, run.question_differs) == (120, 120, 0, 0, 0)
    assert run.rcodes == {0: 120}
    assert (run.failed, run.http_errors) == (0, 0)
    if path.new:
        assert run.handshakes >= 120
        assert (run.resumed > 0) == path.resume
    else:
        assert 1 <= run.handshakes <= path.connections


@each_transport
def test_answers_are_padded_to_the_block(transport: str, files: certificates.CertificateFiles, queries: Path) -> None:
    """A yardstick with a block answers in messages of that size, that of ours with padding."""
    path = EncryptedPath(key="", title="", transport=transport)
    with bare(files, 468) as server:
        run = generate(command(server.addresses[transport], queries, path, seconds=30, count=20), None)
    assert (run.received, run.strange) == (20, 0)
    assert run.answer_bytes == 468


@each_transport
def test_idle_connections_are_held(transport: str, yardsticks: EncryptedServer, queries: Path) -> None:
    """While they are held, the server has that many descriptors more; after that they are gone."""
    pid = yardsticks.pids[transport][0]
    directory = Path(f"/proc/{pid}/fd")
    before = len(list(directory.iterdir()))
    with holding(yardsticks.addresses[transport], queries, transport, 20, None):
        assert len(list(directory.iterdir())) == before + 20
    assert process.cpu_s(pid) > 0


def test_connections_that_cannot_be_held_are_an_error(yardsticks: EncryptedServer, queries: Path) -> None:
    """A server of another protocol holds none, and that is said."""
    with pytest.raises(GeneratorError, match="20 connections"), holding(yardsticks.addresses["tls"], queries, "https", 20, None):
        pass


@pytest.fixture
def tls_server(files: certificates.CertificateFiles) -> Iterator[Callable[[Callable[[bytes], bytes]], Address]]:
    """Starts a DoT server that answers each frame with the bytes that a function makes of the query."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def start(answer: Callable[[bytes], bytes]) -> Address:
        def serve() -> None:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as tls, tls.makefile("rb") as reader:
                while len(head := reader.read(2)) == 2:
                    tls.sendall(answer(reader.read(int.from_bytes(head))))

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return Address(*listener.getsockname())

    yield start
    for thread in threads:
        thread.join()
    listener.close()


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2) + message


def asked(address: Address, queries: Path, count: int = 5) -> EncryptedRun:
    words = command(address, queries, encrypted_goals.DOT_ONE, seconds=30, count=count)
    return generate([*words, "--timeout-ms", "100"], None)


def test_a_wrong_id_is_strange_and_its_query_lost(
    tls_server: Callable[[Callable[[bytes], bytes]], Address], queries: Path
) -> None:
    """An answer with another id answers nothing: counted as strange, and the query as lost when its time is over."""
    run = asked(tls_server(lambda query: framed(bytes([query[0] ^ 0x80, query[1], query[2] | 0x80]) + query[3:])), queries)
    assert (run.received, run.lost, run.strange) == (0, 5, 5)


def test_another_question_and_an_error_are_noticed(
    tls_server: Callable[[Callable[[bytes], bytes]], Address], queries: Path
) -> None:
    """The question of each answer is compared with the query's, and rcodes are counted."""

    def answer(query: bytes) -> bytes:
        return framed(query[:2] + bytes([query[2] | 0x80, 3]) + query[4:].replace(b"example", b"exampla"))

    run = asked(tls_server(answer), queries)
    assert (run.received, run.question_differs) == (5, 5)
    assert run.rcodes == {3: 5}


def test_answers_in_pieces_are_put_together(
    tls_server: Callable[[Callable[[bytes], bytes]], Address], queries: Path, tmp_path: Path
) -> None:
    """Bytes of an answer that come with those of the next one are answers to both."""
    kept: list[bytes] = []

    def answer(query: bytes) -> bytes:
        frame = framed(query[:2] + bytes([query[2] | 0x80]) + query[3:])
        kept.append(frame[-7:])
        return (kept[-2] if len(kept) > 1 else b"") + frame[:-7] + (frame[-7:] if len(kept) == 6 else b"")

    path = msgspec.structs.replace(encrypted_goals.DOT_ONE, window=6)
    run = generate(command(tls_server(answer), queries, path, seconds=30, count=6), None)
    assert (run.received, run.strange, run.lost) == (6, 0, 0)


@pytest.mark.parametrize("target", ["192.0.2.1:853", "[2001:db8::1]:853"])
def test_only_loopback(target: str, queries: Path) -> None:
    """The generator refuses to send to an address of another machine."""
    words = [str(build.program("encrypted_generator")), "--to", target, "--packets", str(queries)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not a loopback address" in done.stderr


def test_a_yardstick_refuses_what_is_not_its_protocol(yardsticks: EncryptedServer, tmp_path: Path) -> None:
    """Asking the HTTP/2 yardstick over DoT is an error of the generator, not a measurement."""
    packets.write(tmp_path / "one", [packets.query(names.from_text("example.com"))])
    with pytest.raises(GeneratorError, match="ended with 2"):
        generate(command(yardsticks.addresses["https"], tmp_path / "one", encrypted_goals.DOT_ONE, seconds=30, count=5), None)
