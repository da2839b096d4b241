"""What the forwarder is asked, what it says, and the state of one question while it is out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from pdns.upstream.group import UpstreamGroup
from pdns.upstream.server import UpstreamServer
from pdns.wire.message import Message


class UpstreamQuestion(NamedTuple):
    """What to ask. Nothing else of a client's query ever reaches an upstream."""

    qname: bytes  # lower-case wire name
    qtype: int
    qclass: int
    do: bool
    cd: bool


class UpstreamAnswer(NamedTuple):
    """A whole, sound NOERROR or NXDOMAIN; the case of its question may differ from the client's."""

    message: Message
    upstream: str  # as configured


class UpstreamFailure(NamedTuple):
    """No answer. `ede_code` and `text` (RFC 8914) say why; `message` is what an upstream did say, if one did."""

    ede_code: int
    text: str
    message: Message | None = None


Done = Callable[[UpstreamAnswer | UpstreamFailure], None]


class UpstreamStats(Protocol):
    """What is counted. `upstream` is its configured text.

    Results: ok, servfail, refused, formerr, notimp, error (another rcode, a lame referral, unreachable, a lost connection or
    stream), http_error (a status other than 200), truncated, timeout (no answer within the retransmission time; one may still
    come), retransmit, unmatched, malformed, local_error (this machine could not send).
    `duration_s` is that of one query and its response, None where there was no such pair.
    """

    def upstream(self, upstream: str, result: str, duration_s: float | None) -> None: ...
    def upstream_up(self, upstream: str, up: bool) -> None: ...
    def upstream_useful(self, upstream: str, useful: bool) -> None: ...
    def upstream_handshake(self, upstream: str, session: str) -> None:
        """An encrypted connection was made; `session`: new or resumed."""

    def fell_back(self, group: str) -> None: ...
    def upstream_blocked(self, upstream: str) -> None: ...


class UpstreamChannel(Protocol):
    """A socket or connection that carries queries, each under an id that it has not given to another."""

    server: UpstreamServer

    def find(self, query_id: int) -> Attempt | None:
        """The attempt that was sent under this id, even if no client waits for it any more."""

    def settle(self, attempt: Attempt) -> None:
        """Forget `attempt`: it was answered."""

    def release(self, attempt: Attempt) -> None:
        """No client waits for `attempt` any more. A late answer to it is still recognised while the channel is open."""

    def overdue(self, attempt: Attempt) -> None:
        """`attempt` got no answer in the time that it should take. The wait goes on."""


class Events(Protocol):
    """What channels tell."""

    def arrived(self, channel: UpstreamChannel, wire: bytes) -> None:
        """A message came. It may be anything, from anyone who could send to that socket."""

    def unreachable(self, attempts: list[Attempt]) -> None:
        """The network reported an error (ICMP) for one of these. Anyone may have forged it."""

    def lost(self, attempt: Attempt, *, was_open: bool, local: str = "") -> None:
        """The connection that carried `attempt` ended, or could not be made; no answer to it can come. `local`: why, when this
        machine is the reason.
        """

    def unanswered(self, attempt: Attempt, reason: str, kind: str = "malformed") -> None:
        """The stream of `attempt` is over, and brought nothing that answers it. `kind` is the result to count."""

    def encrypted(self, server: UpstreamServer, *, resumed: bool) -> None:
        """An encrypted connection to `server` is made; `resumed`: without a certificate, from an earlier session."""

    def abandoned(self, attempts: list[Attempt]) -> None:
        """The socket that carried these cannot be used any more, for a reason of this machine; no answer to them can come."""


class Attempt:
    """One query sent to one upstream."""

    __slots__ = (
        "beaten", "case_exact", "case_seen", "channel", "edns", "exchange", "hinted", "over_stream", "purpose", "query_id",
        "question", "resent", "sent_s", "server", "settled", "unreached",
    )  # fmt: skip

    def __init__(
        self, exchange: Exchange, server: UpstreamServer, question: bytes, now: float, purpose: str, *, edns: bool, exact: bool
    ) -> None:
        self.exchange: Exchange | None = exchange  # None: no client waits any more
        self.server = server
        self.question = question  # the section as sent
        self.case_exact = exact  # its case is part of what must match
        self.edns = edns
        self.purpose = purpose  # "case", "truncated", "no edns" or "edns dropped" when it follows from another one
        self.sent_s = now
        self.query_id = 0
        self.channel: UpstreamChannel | None = None
        self.over_stream = False
        self.settled = False  # answered, or no answer can come
        self.case_seen = False  # an answer in another case was acted upon
        self.hinted = False  # a bare FORMERR was acted upon
        self.unreached = False  # an ICMP error was acted upon
        self.resent = False  # its connection was lost once
        self.beaten = False  # another upstream has answered its question well


class Exchange:
    """One question, from the first query to the one call of `done`."""

    __slots__ = (
        "attempts", "bad", "blamed", "deadline_s", "done", "due_s", "finished", "group", "is_canary", "local_error", "max_rounds",
        "needs_tcp", "no_tcp", "pinned", "question", "rounds", "section", "sent", "started_s", "unsendable",
    )  # fmt: skip

    def __init__(
        self,
        question: UpstreamQuestion,
        done: Done,
        group: UpstreamGroup,
        started_s: float,
        deadline_s: float,
        max_rounds: int,
    ) -> None:
        self.question = question
        self.group = group  # that is asked
        self.section = question.qname + (question.qtype << 16 | question.qclass).to_bytes(4)
        self.done = done
        self.started_s = started_s  # when the group was first asked
        self.deadline_s = deadline_s
        self.due_s = deadline_s  # when something must be done next
        self.max_rounds = max_rounds
        self.rounds = 0
        self.sent = 0  # queries of any kind
        self.attempts: list[Attempt] = []
        self.bad: list[tuple[UpstreamServer, str, Message | None]] = []  # upstreams that answered but have no answer
        self.blamed: list[UpstreamServer] = []  # upstreams whose health has paid for this question
        self.needs_tcp: list[UpstreamServer] = []  # said TC=1
        self.no_tcp: list[UpstreamServer] = []  # failed over TCP
        self.unsendable: list[UpstreamServer] = []  # this machine could not send to them
        self.local_error = ""  # why it last could not
        self.pinned: UpstreamServer | None = None  # a probe: this upstream and no other
        self.is_canary = False  # a probe whose answer matters: with EDNS, over TCP if it is truncated, and not counted
        self.finished = False
