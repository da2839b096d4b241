"""TLS records as clients may cut and send them: none of their messages is left lying, and no handshake holds up the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.certificates import issue, revocations
from tests.fakes import upstream as fake
from tests.fakes.edges import until
from tests.fakes.encrypted import ROOMY, EncryptedEdge, authority, client_context, encrypted_edge, secrets, served
from tests.fakes.records import RecordClient
from tests.protocol.conftest import Run
from tests.wire import answers, query_wire, read

TRUE = "192.0.2.7"


@asynccontextmanager
async def record_client(edge: EncryptedEdge) -> AsyncIterator[RecordClient]:
    """One whose handshake is over."""
    peer = await edge.open_plain()
    client = RecordClient(peer)
    try:
        peer.writer.write(client.hello())
        await client.finish()
        yield client
    finally:
        client.close()


def test_records_beyond_what_may_be_outstanding(run: Run) -> None:
    """They come in one segment, so that OpenSSL has them when the socket no longer has: they are taken up once there is room."""

    async def body() -> None:
        async with (
            encrypted_edge(fake.answer(TRUE), limits=ROOMY._replace(max_outstanding=2)) as edge,
            record_client(edge) as client,
        ):
            edge.peers[-1].writer.write(
                client.records(*(query_wire(f"w{number}.example", query_id=number) for number in range(9)))
            )
            ids = [read(await client.receive()).header.id for _ in range(9)]
            assert sorted(ids) == list(range(9))

    run(body())


def switches() -> int:
    """How often the thread for handshakes, which has a low priority, has gone to sleep."""
    count = 0
    for task in Path("/proc/self/task").iterdir():
        if task.joinpath("stat").read_text().rpartition(")")[2].split()[16] == "10":
            status = task.joinpath("status").read_text()
            count += int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return count


def test_a_client_hello_in_parts_is_the_threads(run: Run) -> None:
    """As those of browsers come, with keys against quantum computers. It costs as much as one that comes whole."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE)) as edge:
            peer = await edge.open_plain()
            client = RecordClient(peer)
            hello = client.hello()
            peer.writer.write(hello[:100])
            await until(lambda: len(edge.connections._shaking) == 1)
            await asyncio.sleep(0.1)
            before = switches()
            assert before > 0
            peer.writer.write(hello[100:])
            await client.finish()
            peer.writer.write(client.records(query_wire("www.example")))
            assert answers(await client.receive()) == [TRUE]
            await until(lambda: switches() > before)  # counted when it waits again
            client.close()

    run(body())


def test_certificates_that_are_gone_when_their_connection_ends(run: Run) -> None:
    """The second of a listener's certificates lives until the last connection that shows it ends (for `make sanitize`)."""

    async def body() -> None:
        first, second = served("first.example"), served("second.example")
        async with encrypted_edge(fake.answer(TRUE), given=secrets(first, second)) as edge:
            peer = await edge.open(client_context(), "second.example")
            edge.connections.take_secrets(secrets(first), (edge.section,))
            assert answers(await peer.ask(query_wire("www.example"))) == [TRUE]
            peer.writer.close()
            await until(lambda: len(edge.connections) == 0)

    run(body())


def test_a_revoked_client_certificate_ends_its_connection(run: Run) -> None:
    """A new list of revoked ones ends open connections: clients show theirs again. Our renewed certificate does not."""

    async def body() -> None:
        client = issue(("laptop",), issuer=authority())
        given = secrets(client_ca_pem=authority().cert_pem)
        async with encrypted_edge(fake.answer(TRUE), given=given, listener={"client_certificate": "required"}) as edge:
            peer = await edge.open(client_context(shown=client))
            await peer.ask(query_wire("www.example"))
            silent = await edge.open_plain()
            edge.connections.take_secrets(secrets(served("other.example"), client_ca_pem=authority().cert_pem), (edge.section,))
            await peer.ask(query_wire("www.example"))
            revoked = secrets(client_ca_pem=authority().cert_pem, client_crl_pem=revocations(authority(), client))
            edge.connections.take_secrets(revoked, (edge.section,))
            assert await peer.rest() == b""
            assert await silent.rest() == b""
            await until(lambda: len(edge.connections) == 0)

    run(body())
