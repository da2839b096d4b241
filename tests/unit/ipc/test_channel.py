"""The channel between the processes of one `pdns serve`."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from pdns.config.schema import Config, Upstream
from pdns.ipc.channel import Channel, close_all
from pdns.ipc.config_memfd import read_config, share_config
from pdns.ipc.messages import (
    MAX_FDS,
    MAX_LISTENERS,
    Apply,
    Configure,
    Cover,
    Drain,
    Drained,
    HandedOver,
    HandOver,
    ListeningSocket,
    Message,
    Ready,
    Refused,
)
from pdns.wire.transport import Transport
from tests.descriptors import open_fds

MESSAGES: list[Message] = [
    Apply(7, (ListeningSocket(Transport.UDP, "127.0.0.1:53"), ListeningSocket(Transport.TCP, "[::1]:53")), "pdns.toml", 1, 4, 9),
    Cover(2, (ListeningSocket(Transport.UDP, "127.0.0.1:53"),)),
    HandOver(),
    HandedOver(),
    Configure(3, "pdns.toml"),
    Drain(),
    Ready(7),
    Refused(7, "no such file"),
    Drained(2),
]


class FakeLoop:
    """An event loop that calls its readers in `turn`."""

    def __init__(self) -> None:
        self.readers: dict[int, object] = {}

    def add_reader(self, fd: int, callback: object, /) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int, /) -> None:
        del self.readers[fd]

    def turn(self) -> None:
        for callback in list(self.readers.values()):
            assert callable(callback)
            callback()


class End:
    """One end of a channel, and the messages that it received."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.loop = FakeLoop()
        self.messages: list[Message] = []
        self.fds: list[int] = []
        self.gone = 0
        channel.attach(self.loop, self._on_message, self._on_gone)

    def _on_message(self, message: Message, fds: list[int]) -> None:
        self.messages.append(message)
        self.fds += fds

    def _on_gone(self) -> None:
        self.gone += 1


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    ours, theirs = Channel.pair()
    pair = End(ours), End(Channel(theirs))
    yield pair
    for end in pair:
        end.channel.close()
        close_all(end.fds)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_arrives_as_it_was_sent(ends: tuple[End, End], message: Message) -> None:
    """Each kind of message comes out of the other end equal to what went in, in both directions."""
    for sender, receiver in (ends, ends[::-1]):
        assert sender.channel.send(message)
        receiver.loop.turn()
        assert receiver.messages == [message]


def test_messages_keep_their_borders_and_order(ends: tuple[End, End]) -> None:
    """Several messages that wait together are received one by one, in order."""
    for message in MESSAGES:
        ends[0].channel.send(message)
    ends[1].loop.turn()
    assert ends[1].messages == MESSAGES


def test_descriptors_arrive_open_in_order_and_are_not_inherited(ends: tuple[End, End]) -> None:
    """Descriptors come as copies that work, in the order given, closed on exec."""
    pipes = [os.pipe() for _ in range(3)]
    ends[0].channel.send(Drain(), [write for _, write in pipes])
    for _, write in pipes:
        os.close(write)
    ends[1].loop.turn()
    for number, (fd, (read, _)) in enumerate(zip(ends[1].fds, pipes, strict=True)):
        assert not os.get_inheritable(fd)
        os.write(fd, bytes([number]))
        assert os.read(read, 9) == bytes([number])
        os.close(read)


def test_as_many_listeners_as_the_kernel_allows(ends: tuple[End, End]) -> None:
    """Configuration, memory and the largest number of listeners fit into one message."""
    read, write = os.pipe()
    addresses = (f"[2001:db8:1234:5678:9abc:def0:1234:{n:04x}]:5353" for n in range(MAX_LISTENERS))
    apply = Apply(1, tuple(ListeningSocket(Transport.TCP, address) for address in addresses), "f")
    assert ends[0].channel.send(apply, [read] * MAX_FDS)
    ends[1].loop.turn()
    assert ends[1].messages == [apply]
    assert len(ends[1].fds) == MAX_FDS
    os.close(read)
    os.close(write)


def test_a_peer_that_left_is_reported_once(ends: tuple[End, End]) -> None:
    """The end of the peer is one call; after it the channel is closed, sends nothing and watches nothing."""
    ends[0].channel.send(Ready(1))
    ends[0].channel.close()
    for _ in range(3):
        ends[1].loop.turn()
    assert ends[1].messages == [Ready(1)]
    assert ends[1].gone == 1
    assert ends[1].channel.closed
    assert not ends[1].loop.readers
    assert not ends[1].channel.send(Drain())
    assert ends[0].gone == 0


def test_a_killed_peer_is_reported() -> None:
    """A process that is killed with SIGKILL ends the channel."""
    code = """if True:
        import sys, time
        from pdns.ipc.channel import Channel; from pdns.ipc.messages import Ready
        channel = Channel.from_fd(int(sys.argv[1]))
        channel.send(Ready(5))
        time.sleep(60)
    """
    channel, theirs = Channel.pair()

    async def scenario() -> None:
        gone = asyncio.Event()
        heard: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        channel.attach(asyncio.get_running_loop(), lambda message, _: heard.set_result(message), gone.set)
        assert await heard == Ready(5)
        child.kill()
        await asyncio.wait_for(gone.wait(), 5)

    with subprocess.Popen([sys.executable, "-c", code, str(theirs.fileno())], pass_fds=[theirs.fileno()]) as child:
        theirs.close()
        asyncio.run(scenario())


def test_sending_to_a_peer_that_does_not_read_never_waits(ends: tuple[End, End]) -> None:
    """When the queue of the peer is full, `send` says no at once; what was queued still arrives."""
    sent = 0
    while ends[0].channel.send(Configure(sent, "x" * 1000)):
        sent += 1
        assert sent < 100_000
    ends[1].loop.turn()
    assert len(ends[1].messages) == sent
    assert ends[0].channel.send(Drain())


@pytest.mark.parametrize(
    "data",
    [b"{", b"null", b'{"type":"Unheard"}', b'{"type":"Ready"}', b'{"type":"Ready","generation":"x"}', b"x" * 70000],
    ids=["no JSON", "no object", "unknown", "incomplete", "wrong type", "too long"],
)
def test_nonsense_is_passed_over_and_its_descriptors_closed(data: bytes) -> None:
    """What is no message is reported and dropped with its descriptors; the next message arrives."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end = End(Channel(theirs))
    before = open_fds()
    socket.send_fds(ours, [data], [ours.fileno(), ours.fileno()])
    end.loop.turn()
    assert open_fds() == before
    assert end.messages == []
    sender = Channel(ours)
    sender.send(Drain())
    end.loop.turn()
    assert end.messages == [Drain()]
    end.channel.close()
    sender.close()


def test_more_descriptors_than_fit_are_not_leaked() -> None:
    """A message whose descriptors were cut by the limit of open files is dropped, and those that came are closed."""
    code = """if True:
        import os, resource, socket
        from pdns.ipc.channel import Channel; from pdns.ipc.messages import Drain, Ready
        from tests.descriptors import open_fds
        from tests.unit.ipc.test_channel import End
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        end = End(Channel(theirs))
        fds = [os.dup(0) for _ in range(8)]
        Channel(ours).send(Drain(), fds)
        before = open_fds()
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(before) + 3, max(before) + 3))
        end.loop.turn()
        assert end.messages == [], end.messages
        assert open_fds() == before
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_inherited_end_is_not_passed_on() -> None:
    """The channel made from an inherited descriptor is closed in the children of this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.set_inheritable(True)
    channel = Channel.from_fd(theirs.detach())
    code = "import os, sys; os.fstat(int(sys.argv[1]))"
    assert channel._sock is not None
    done = subprocess.run(
        [sys.executable, "-c", code, str(channel._sock.fileno())], close_fds=False, capture_output=True, check=False
    )
    assert b"Bad file descriptor" in done.stderr
    channel.close()
    ours.close()


def test_a_configuration_travels_sealed() -> None:
    """The configuration that comes out is the one that went in, can be read twice, and cannot be changed on the way."""
    config = Config(upstream=Upstream(servers=("192.0.2.53",)))
    fd = share_config(config)
    assert read_config(fd) == config
    assert read_config(fd) == config
    with pytest.raises(PermissionError):
        os.pwrite(fd, b"x", 0)
    os.close(fd)


def test_a_configuration_that_is_none_is_refused() -> None:
    """Bytes that are no configuration raise a decode error."""
    fd = os.memfd_create("x")
    os.write(fd, b'{"server": 1}')
    with pytest.raises(msgspec.DecodeError):
        read_config(fd)
    os.close(fd)
