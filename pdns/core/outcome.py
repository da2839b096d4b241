"""What a decision about a query can be. A closed set."""

from __future__ import annotations

from typing import NamedTuple

from pdns.core.block_answer import Template
from pdns.core.crossing import ChainHead
from pdns.core.entry import Entry
from pdns.core.listing import ListedAction
from pdns.core.routes import DEFAULT_ROUTE, Route
from pdns.wire import protocol as p
from pdns.wire.message import Message


class Given(NamedTuple):
    """A listed name whose answer is to be asked upstream: a feed leads it to another name, or wants it asked over TCP."""

    action: ListedAction
    template: Template
    listed_bytes: int  # of the end of the queried name


class Redirect(NamedTuple):
    """Why a question is asked in place of that for a listed name."""

    action: ListedAction
    template: Template
    listed: bytes
    rule: str  # as in a decision; "": the listed name
    rules_epoch: int


class Forward(NamedTuple):
    """Ask upstream. `key` is the same for questions that one answer serves.

    With a `head`, the name that is asked is not that of the client's question, but the one that the head leads to.
    """

    key: bytes
    qname: bytes
    qtype: int
    qclass: int
    do: bool
    cd: bool
    policy: int
    stale: Entry | None = None  # what to say when no upstream answers
    proof: bool = False  # of the absence of `qname`, which is good for every name below it
    route: Route = DEFAULT_ROUTE
    head: ChainHead | None = None  # the part of the answer that is known
    asked: bytes = b""  # the name that is asked, where it is not `qname`
    redirect: Redirect | None = None  # the head is one that a feed gives: the answer is a blocked one
    over_tcp: bool = False  # the answer is for clients that ask over TCP
    lacking: Message | None = None  # the answer to AAAA, which has no address: A is asked in its place (`pdns.core.dns64`)

    @property
    def asked_name(self) -> bytes:
        """The name to ask an upstream for."""
        return self.asked or self.qname

    @property
    def asked_type(self) -> int:
        """The type to ask an upstream for."""
        return self.qtype if self.lacking is None else p.A


class Answer(NamedTuple):
    """Give this answer. `source` is the metric label for where it came from."""

    entry: Entry
    source: str
    stale: bool = False
    truncated: bool = False  # over UDP say only TC: a forged address gains nothing by it, a real client comes back over TCP
    refresh: Forward | None = None  # worth asking again before it expires


class Stored(NamedTuple):
    """Say what is in the cache under the key of the query. `source` as above."""

    source: str


class Plain(NamedTuple):
    """Ask upstream. No feed lists the name, and the cache has no answer."""


BLOCK_STORED = Stored("blocked")
PLAIN = Plain()


class Drop(NamedTuple):
    """Say nothing. `reason` is counted."""

    reason: str


Outcome = Answer | Stored | Forward | Plain | Drop
