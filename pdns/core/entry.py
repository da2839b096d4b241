"""An answer, ready to be given to anyone who asks the same question."""

# kernel: pdns/fast/cache.pyx
# kernel: pdns/fast/render.pyx

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pdns.core.listing import DROP, TCP_ONLY
from pdns.core.query import Query
from pdns.core.structured_error import StructuredText, structured_errors
from pdns.wire import protocol as p

_OVERHEAD_BYTES = 500  # of an entry's Python objects, on average


Ede = tuple[int, bytes]  # an Extended DNS Error: info code, UTF-8 text (RFC 8914)
Rotation = tuple[int, int, int]  # of records that are given in turns: place of the first in the body, bytes of each, how many
Monitored = tuple[tuple[str, str], ...]  # (feed, category) of each feed in monitor mode that would have blocked

NO_ROTATION: Rotation = (0, 0, 0)
MAX_TURNS = 255  # larger sets keep the order of the upstream


class Verdict(NamedTuple):
    """Why a name is blocked: the feed that decided, what it says, and the listed name that matched."""

    feed: str
    category: str
    listed: bytes  # wire name: the queried name, one above it, or where a CNAME leads
    action: str
    also: tuple[str, ...] = ()  # other feeds that would block it, in the order of the configuration


class Entry:
    """An answer without its header, question and OPT record, which are made for each client anew.

    `body` follows the question byte for byte, so that its compression pointers into the question stay true.
    `ttls` are (offset into body, TTL at `stored_s`).
    """

    __slots__ = (
        "ad",
        "body",
        "counts",
        "ede",
        "expires_s",
        "hits",
        "monitored",
        "more_ede",
        "over_tcp",
        "rcode",
        "refreshing",
        "retry_s",
        "rotation",
        "route_mark",
        "rules_epoch",
        "size_bytes",
        "source",
        "stored_s",
        "structured",
        "ttls",
        "verdict",
        "visited",
    )  # fmt: skip

    def __init__(
        self,
        rcode: int,
        source: str,
        now: float,
        ttl_s: int,
        *,
        body: bytes = b"",
        counts: bytes = b"\0\0\0\0",
        ttls: tuple[tuple[int, int], ...] = (),
        ad: bool = False,
        ede: Ede | None = None,
        more_ede: tuple[Ede, ...] = (),
        structured: StructuredText | None = None,
        rotation: Rotation = NO_ROTATION,
        verdict: Verdict | None = None,
        monitored: Monitored = (),
        rules_epoch: int = 0,
        route_mark: int = 0,
    ) -> None:
        self.rcode = rcode
        self.source = source  # blocked | upstream | local | refused | error
        self.stored_s = now
        self.expires_s = now + ttl_s
        self.body = body
        self.counts = counts  # ANCOUNT and NSCOUNT as they stand in a header
        self.ttls = ttls
        self.ad = ad
        self.ede = ede
        self.more_ede = more_ede
        self.structured = structured  # what clients that ask for a structured error get with the text of `ede`
        self.rotation = rotation
        self.verdict = verdict
        self.monitored = monitored
        self.route_mark = route_mark  # of the routes that its names took (`pdns.core.routes`)
        self.rules_epoch = rules_epoch  # of the decision; an older one is decided again
        self.hits = 0
        self.visited = False
        self.refreshing = False
        self.over_tcp: Entry | None = None  # what is given over TCP in its place, where that was found out with it
        self.retry_s = 0.0  # not asked again before, once a refresh failed (RFC 8767, 5)
        self.size_bytes = len(body) + 24 * len(ttls) + _OVERHEAD_BYTES

    @property
    def silent(self) -> bool:
        """Whether the answer is to give none."""
        return self.verdict is not None and self.verdict.action == DROP

    @property
    def tcp_only(self) -> bool:
        """Whether the answer is to come back over TCP."""
        return self.verdict is not None and self.verdict.action == TCP_ONLY

    def render(self, query: Query, now: float, max_bytes: int, *, stale_ttl_s: int = -1) -> bytes:
        """The message for this client: its id, its question, TTLs counted down, at most `max_bytes`.

        Several addresses begin with another one each time (RFC 1794), chosen by the id of the query.
        What does not fit is left out and TC set (RFC 2181, 9); Extended DNS Errors go first, without TC. With `stale_ttl_s` every
        TTL is that, and the Extended DNS Error says so (RFC 8767, 4; RFC 8914, 4.4 and 4.20).
        """
        if self.tcp_only:
            return truncated(query)
        body = self.body
        at, size, count = self.rotation
        if count:
            turn, end = at + query.id % count * size, at + count * size
            body = body[:at] + body[turn:end] + body[at:turn] + body[end:]
        age_s = int(now - self.stored_s)
        if self.ttls and (age_s > 0 or stale_ttl_s >= 0):
            patched = bytearray(body)
            for at, _ in self.ttls:
                ttl_s = int.from_bytes(patched[at : at + 4])
                left_s = stale_ttl_s if stale_ttl_s >= 0 else ttl_s - age_s if ttl_s > age_s else 0
                patched[at : at + 4] = left_s.to_bytes(4)
            body = bytes(patched)
        flags = p.QR | p.RA | (query.flags & (p.RD | p.CD)) | (self.rcode & p.RCODE_MASK)
        if self.ad and (query.do or query.flags & p.AD):  # RFC 6840, 5.8
            flags |= p.AD
        ede, more = self.ede, self.more_ede
        if stale_ttl_s >= 0:
            ede, more = (p.EDE_STALE_NXDOMAIN if self.rcode == p.NXDOMAIN else p.EDE_STALE, b""), ()
        opt, room = b"", max_bytes - p.HEADER_BYTES - len(query.question) - len(body)
        if query.edns:
            errors = () if ede is None else (ede, *more)
            for fewer in _shorter(errors, self.structured if stale_ttl_s < 0 else None, query):
                opt = opt_record(query, fewer)
                if len(opt) <= room:
                    break
        if len(opt) > room:
            return _header(query.id, flags | p.TC, b"\0\0\0\0", opt) + query.question + opt
        return _header(query.id, flags, self.counts, opt) + query.question + body + opt


def truncated(query: Query) -> bytes:
    """No answer but TC: come back over TCP."""
    opt = opt_record(query) if query.edns else b""
    return _header(query.id, p.QR | p.RA | p.TC | (query.flags & (p.RD | p.CD)), b"\0\0\0\0", opt) + query.question + opt


def _header(query_id: int, flags: int, counts: bytes, opt: bytes) -> bytes:
    return query_id.to_bytes(2) + flags.to_bytes(2) + b"\0\1" + counts + (b"\0\1" if opt else b"\0\0")


_OPT = (b"\0\0\x29\x04\xd0\0\0\0\0", b"\0\0\x29\x04\xd0\0\0\x80\0")


def _shorter(errors: tuple[Ede, ...], structured: StructuredText | None, query: Query) -> Iterator[tuple[Ede, ...]]:
    """What may be told of `errors`, in full first and nothing at last. No text is ever cut."""
    if errors:
        yield from structured_errors(errors, structured) if query.structured else (errors,)
    yield ()


def opt_record(query: Query, errors: tuple[Ede, ...] = ()) -> bytes:
    """Our OPT record (RFC 6891): version 0, 1232 bytes, DO as the client set it, perhaps Extended DNS Errors, and the
    options that the query asked for.
    """
    options = query.options
    if errors:
        options = b"".join(map(ede_option, errors)) + options
    return _OPT[query.do] + len(options).to_bytes(2) + options


def ede_option(ede: Ede) -> bytes:
    """The EDNS option (RFC 8914, 2)."""
    code, text = ede
    return b"\0\x0f" + (2 + len(text)).to_bytes(2) + code.to_bytes(2) + text
