"""The messages between the processes of one `pdns serve`. Descriptors travel with a message."""

from __future__ import annotations

from typing import Final

import msgspec

from pdns.wire.transport import Transport

MAX_FDS: Final = 253  # SCM_MAX_FD of the kernel
MAX_LISTENERS: Final = MAX_FDS - 5  # besides configuration, counters, event ring, arena and limits


class ListeningSocket(msgspec.Struct, frozen=True, omit_defaults=True):
    """What arrives at a descriptor, and where ("127.0.0.1:5300", "[::]:53"): `pdns.net.listener.Listener`."""

    transport: Transport
    address: str
    section: int = -1  # index in `config.listener`; -1: `server.listen`


class Apply(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: use this configuration.

    Descriptors: configuration, counters, event ring, the arena if there is one, the rate limits' memory if `limits`, one for each
    listener.
    """

    generation: int  # of this message; `Ready` and `Refused` name it
    listeners: tuple[ListeningSocket, ...]  # all of them; one that is missing is to be closed
    config_file: str
    index: int = 0  # of this worker
    workers: int = 1
    arena: int = 0  # its number; 0: stand by, another worker has it still
    cookie_secret: str = ""  # in hexadecimal; all workers have the same
    limits: bool = False
    blocksets: bool = False  # the supervisor hands them out; else the worker looks for them itself
    client_key: str = ""  # in hexadecimal: makes pseudonyms of clients


class TakeBlockset(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: use this blockset. Sent before and after the first `Apply`. Descriptors: its sealed copy."""

    generation: int
    needed: bool = False  # names are blocked by now: refuse to start rather than answer without a blockset


class TakeMemories(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: use these memories of `pdns.telemetry.further_memories`, and no others. Sent before each `Apply`.

    Descriptors: one for each.
    """

    names: tuple[str, ...] = ()


class TakeSecrets(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: use these certificates and ticket keys. Descriptors: `EncryptionSecrets` in sealed memory."""

    generation: int  # higher: newer
    with_next: bool = (
        False  # with the next `Apply`, whose listeners they are for; else now, by the configuration that is in force
    )


class Cover(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: also read these sockets of another worker, which is away. Without sockets: stop doing so.

    Descriptors: one for each listener.
    """

    worker: int
    listeners: tuple[ListeningSocket, ...]


class Configure(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to feeds: use this configuration. Descriptors: configuration."""

    generation: int
    config_file: str
    blockset: int = 0  # the generation that workers have in memory, whatever becomes of its files; 0: none
    bundle: str = ""  # SHA-256 of the policy bundle of the fleet that is in force; "": none


class Distrust(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to feeds: the blockset of this generation cannot be used. Compile another one."""

    generation: int


class OfferBundle(msgspec.Struct, frozen=True, tag=True):
    """Feeds to supervisor: try the policy in `<state>/fleet/bundle.new.toml`. The answer is `Configure` or `RefuseBundle`."""


class RefuseBundle(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to feeds: the bundle with that SHA-256 does not load here; the configuration stays as it was."""

    sha256: str
    reason: str


class WatchTraffic(msgspec.Struct, frozen=True, tag=True):
    """Feeds to supervisor: count blocked names from now on, for `seconds`."""

    seconds: float


class TrafficName(msgspec.Struct, frozen=True, array_like=True):
    """A listed name that clients met."""

    listed: bytes  # wire form
    queries: int
    clients: int  # different ones; 0: clients are not distinguished


class Traffic(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to feeds, on a node of a fleet: what all workers have met since the service started."""

    queries: int
    blocked: int
    servfail: int
    names: tuple[TrafficName, ...] = ()  # since `WatchTraffic`, those with the most queries


class ServePage(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to page: answer at these sockets, by this configuration.

    Descriptors: configuration, counters, one for each of `listen`.
    """

    listen: tuple[str, ...]  # endpoints; a socket that is missing is to be closed
    secret: str  # in hexadecimal: what forms are signed with


class ServeEvents(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to events: use this configuration. Descriptors: configuration, counters of the events process."""


class WatchWorker(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to events: read the memories of this worker. Sent again when it has further ones.

    Descriptors: counters, event ring, one for each of `memories`.
    """

    ring: int  # the number that identifies the event ring
    memories: tuple[str, ...] = ()
    anew: bool = False  # events are recorded from now on; what was noted before is not to be


class ForgetWorker(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to events: the writer of this ring is gone for good. Read what is left of it, and answer."""

    ring: int


class Forgotten(msgspec.Struct, frozen=True, tag=True):
    """Events to supervisor: everything in this ring is recorded, also if this process dies now."""

    ring: int


class QuicSocket(msgspec.Struct, frozen=True, array_like=True):
    """One UDP socket of the quic process."""

    section: int  # index in `listener` of the configuration
    endpoint: str  # its name: transport and address


class ServeQuic(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to quic: answer at these sockets, by this configuration. `QuicBegin` says from when.

    Descriptors: configuration, counters, one for each of `listen`.
    """

    listen: tuple[QuicSocket, ...]  # all of them; a socket that is missing is to be closed
    process: int  # the number in its connection ids
    secret: str  # in hexadecimal; the same for each new process: for tokens
    steering_key: str  # in hexadecimal: names go to the workers as datagrams do
    workers: int


class QuicReady(msgspec.Struct, frozen=True, tag=True):
    """Quic to supervisor: everything is there to answer."""


class QuicBegin(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to quic: read the sockets from now on.

    Descriptors: none, or a socket to the process before, which is given the datagrams of its connections.
    """

    before: int = -1  # the number of the process before


class QuicHandOver(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to quic: read the sockets no more, finish with the clients that are there, and exit.

    Descriptors: a socket to the next process, which sends the datagrams of these clients.
    """


class RelayTo(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to quic: this worker is behind the descriptor from now on (`pdns.ipc.relay_frames`)."""

    worker: int


class RelayEnded(msgspec.Struct, frozen=True, tag=True):
    """Quic to supervisor: the socket to this worker has ended."""

    worker: int


class TakeRelay(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: answer the queries of the quic process that come from the descriptor (`pdns.ipc.relay_frames`)."""


class HandOver(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: stop reading queries and release the arena; the next worker waits for both."""


class HandedOver(msgspec.Struct, frozen=True, tag=True):
    """Worker to supervisor: reading has stopped and the arena is free. Queries in flight are still answered."""


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: accept no more queries, answer those in flight, exit."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Worker to supervisor: `Apply` number `generation` is in force here."""

    generation: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Worker to supervisor: the configuration of that `Apply` cannot be used; the previous one stays live."""

    generation: int
    reason: str
    other_format: bool = False  # it needs the blockset that it was given, and only another version of the program reads that


class Drained(msgspec.Struct, frozen=True, tag=True):
    """Worker to supervisor: no query is in flight any more; the worker exits now."""

    unanswered: int = 0  # queries given up at the end of `drain_s`


class FindCached(msgspec.Struct, frozen=True, tag=True):
    """Supervisor to worker: look for cached answers, and drop them if `remove`."""

    number: int  # of this message; `FoundCached` names it
    name: bytes  # wire form, in lower case
    below: bool = False  # also of every name below it
    remove: bool = False


class CachedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One cached answer. Times are in seconds from now."""

    name: bytes  # wire form
    qtype: int
    policy: int  # number of the policy whose clients get it
    dnssec: bool  # with DNSSEC records, for clients that ask for them
    unchecked: bool  # not validated, for clients that check themselves
    rcode: int
    source: str  # blocked | upstream
    expires_in_s: float  # negative: it is stale
    age_s: float
    hits: int
    recheck: bool  # it will be decided again at the next query, by newer rules
    answers: int  # records in the answer section
    authority: int  # records in the authority section
    body: bytes = b""  # these records, behind the question; empty where there was no room in the message


class FoundCached(msgspec.Struct, frozen=True, tag=True):
    """Worker to supervisor: what `FindCached` has found or dropped. Not `done`: this process has no cache now."""

    number: int
    done: bool
    count: int = 0
    answers: tuple[CachedAnswer, ...] = ()  # the first of them


Message = (
    Apply | TakeMemories | TakeSecrets | TakeBlockset | Cover | Configure | Distrust | ServePage | ServeEvents
    | OfferBundle | RefuseBundle | WatchTraffic | Traffic
    | WatchWorker | ForgetWorker | Forgotten
    | HandOver | HandedOver | Drain | Ready | Refused | Drained
    | FindCached | FoundCached
    | ServeQuic | QuicReady | QuicBegin | QuicHandOver | RelayTo | RelayEnded | TakeRelay
)  # fmt: skip
