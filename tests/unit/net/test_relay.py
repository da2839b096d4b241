"""The worker's end of the way from the quic process: each query gets its own answer, or is said to have none."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from pdns.core.credentials import NO_CREDENTIAL, Credential
from pdns.ipc.relay_frames import H3, NO_ANSWER, QUIC, RelayAnswer, RelayClient, answers_in, pack_client, pack_query
from pdns.net import relay
from pdns.net.edge import Reply
from pdns.net.relay import RelayServers
from pdns.wire.transport import Transport
from tests.fakes.edges import FakeService, FakeStatistics, Held, until
from tests.wire import query_wire, response_wire

CLIENT = RelayClient("2001:db8::7", 4711, server_name="dns.example")
ANSWER = response_wire("www.example", "A", "www.example. 77 IN A 192.0.2.1", edns=True)


class TokenService(FakeService):
    """Knows one token."""

    def __init__(self, act: Callable[[bytes, Reply], None]) -> None:
        super().__init__(act)
        self.credentials: list[Credential] = []

    def admits(self, client: str, credential: Credential) -> bool:
        return credential.token == b"known"

    def on_message(
        self, wire: bytes, client: str, port: int, transport: Transport, reply: Reply, credential: Credential = NO_CREDENTIAL
    ) -> bool:
        self.credentials.append(credential)
        return super().on_message(wire, client, port, transport, reply, credential)


class RelayScene:
    """A worker's end, and the socket of the quic process."""

    def __init__(self, act: Callable[[bytes, Reply], None]) -> None:
        self.service, self.stats = TokenService(act), FakeStatistics()
        self.servers = RelayServers(self.service, asyncio.get_running_loop(), self.stats)
        theirs, self.quic = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.quic.setblocking(False)
        self.servers.add(theirs)

    def ask(self, *numbers: int, transport: int = QUIC, client: RelayClient = CLIENT) -> None:
        """All in one packet, with one id."""
        wire = query_wire("www.example", query_id=0)
        self.quic.send(b"".join(pack_query(number, transport, pack_client(client), wire) for number in numbers))

    async def answers(self, count: int) -> list[RelayAnswer]:
        """The next ones: at least `count`."""
        got: list[RelayAnswer] = []
        async with asyncio.timeout(30):
            while len(got) < count:
                packet = await asyncio.get_running_loop().sock_recv(self.quic, 1 << 17)
                assert packet, "the worker has closed the socket"
                got += answers_in(packet)
        return got

    async def end(self) -> None:
        """The worker closes the socket, and sends nothing more."""
        async with asyncio.timeout(30):
            assert await asyncio.get_running_loop().sock_recv(self.quic, 1 << 17) == b""


def run(story: Callable[[RelayScene], Awaitable[None]], act: Callable[[bytes, Reply], None]) -> None:
    async def body() -> None:
        scene = RelayScene(act)
        try:
            await story(scene)
        finally:
            scene.servers.close()
            scene.quic.close()

    asyncio.run(body())


def at_once(_: bytes, reply: Reply) -> None:
    reply(ANSWER)


def test_one_question_on_several_streams_is_several_queries() -> None:
    """All of DoQ have id 0 (RFC 9250, 4.2.1): what the service tells retransmissions by is another for each."""

    async def story(scene: RelayScene) -> None:
        scene.ask(1, 2, 3 << 40)
        assert [answer.number for answer in await scene.answers(3)] == [1, 2, 3 << 40]
        ports = [one.port for one in scene.service.asked]
        assert len(set(ports)) == len(ports)
        assert {port & 0xFFFF for port in ports} == {CLIENT.port}

    run(story, at_once)


def test_answers_are_padded_and_have_an_age_for_http() -> None:
    """DoQ has no use for the age."""

    async def story(scene: RelayScene) -> None:
        scene.servers.pad(lambda message: message + b"\0")
        scene.ask(1)
        scene.ask(2, transport=H3)
        assert await scene.answers(2) == [RelayAnswer(1, 0, 0, ANSWER + b"\0"), RelayAnswer(2, 77, 0, ANSWER + b"\0")]
        assert [one.transport for one in scene.service.asked] == ["quic", "h3"]

    run(story, at_once)


def test_an_unknown_token_is_not_found() -> None:
    """The service does not hear of it; it knows who has a valid one, and by what else."""

    async def story(scene: RelayScene) -> None:
        scene.ask(1, transport=H3, client=CLIENT._replace(token=b"unknown"))
        assert await scene.answers(1) == [RelayAnswer(1, 0, 404, NO_ANSWER)]
        assert scene.service.asked == []
        scene.ask(2, transport=H3, client=CLIENT._replace(token=b"known", certificate_sha256=bytes(32), admits_by_name=True))
        await scene.answers(1)
        assert scene.service.credentials == [Credential(bytes(32), b"known", "dns.example", admits_by_name=True)]

    run(story, at_once)


def test_silence_is_told() -> None:
    """A reply that is dropped unused: 400, or 429 when the client was refused."""

    async def story(scene: RelayScene) -> None:
        scene.ask(1)
        scene.service.refuses = False
        assert (await scene.answers(1))[0].status == 400
        held.take()
        scene.service.refuses, scene.service.act = True, held
        scene.ask(2)
        await until(lambda: len(held.replies) == 1)
        held.take()
        assert (await scene.answers(1))[0].status == 429

    held = DroppingReplies()
    run(story, lambda _wire, _reply: None)


class DroppingReplies(Held):
    def take(self) -> None:
        self.replies.clear()


def test_what_is_no_packet_of_queries_ends_the_way() -> None:
    """It is counted; nothing of the packet is used."""

    async def story(scene: RelayScene) -> None:
        scene.quic.send(pack_query(1, QUIC, pack_client(CLIENT), query_wire("www.example"))[:-1])
        await scene.end()
        assert scene.stats.drops == {"relay_malformed": 1}
        assert scene.service.asked == []

    run(story, at_once)


def test_a_worker_that_stops_answers_what_it_has() -> None:
    """And what has arrived by then; then it closes the way, so that the quic process asks elsewhere."""

    async def story(scene: RelayScene) -> None:
        scene.ask(1)
        await until(lambda: len(held.replies) == 1)
        scene.ask(2)
        scene.servers.stop()
        assert len(held.replies) == 2
        for _, reply in held.replies:
            reply(ANSWER)
        assert [answer.number for answer in await scene.answers(2)] == [1, 2]
        held.replies.clear()
        await scene.end()

    held = Held()
    run(story, held)


def test_a_quic_process_that_does_not_read_gets_its_answers_later() -> None:
    """In their order; beyond a bound, they are dropped and counted."""

    async def story(scene: RelayScene) -> None:
        scene.service.act = lambda _, reply: reply(bytes(60000))
        for number in range(60):
            scene.ask(number)
            await asyncio.sleep(0)
        await until(lambda: len(scene.service.asked) == 60)
        assert [answer.number for answer in await scene.answers(60)] == list(range(60))
        assert not scene.stats.drops

    run(story, at_once)


def test_what_a_dead_quic_process_asked_is_forgotten() -> None:
    """Answers that come later go nowhere, and a new way works."""

    async def story(scene: RelayScene) -> None:
        scene.ask(1)
        await until(lambda: len(held.replies) == 1)
        (server,) = scene.servers._servers
        scene.quic.close()
        await until(lambda: not server.is_open)
        held.replies.pop()[1](ANSWER)
        assert server.in_flight == 0
        theirs, scene.quic = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        scene.quic.setblocking(False)
        scene.servers.add(theirs)
        assert server not in scene.servers._servers
        scene.service.act = at_once
        scene.ask(2)
        assert (await scene.answers(1))[0].number == 2

    held = Held()
    run(story, held)


def test_the_bound_of_what_waits() -> None:
    """Above it, answers are dropped: the client asks again."""

    async def story(scene: RelayScene) -> None:
        scene.service.act = lambda _, reply: reply(bytes(60000))
        for number in range(40):
            scene.ask(number)
            await asyncio.sleep(0)
        await until(lambda: len(scene.service.asked) == 40)
        await until(lambda: scene.stats.drops["relay_full"] > 0)

    most, relay._MOST_BACKLOG = relay._MOST_BACKLOG, 3  # type: ignore[misc]
    try:
        run(story, at_once)
    finally:
        relay._MOST_BACKLOG = most  # type: ignore[misc]
