"""Where every query went: the generator's numbers against the resolver's. Pure.

A query passes four counters: sent, counted as a query, counted as answered, received. What is missing between two of them was
dropped for a reason that the resolver counts, or was in the hands of a worker that was killed, or is unaccounted for.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

BATCH = 64  # datagrams that a worker takes from the kernel, or hands to it, at a time: what one that is killed may hold uncounted

BEFORE = frozenset({
    "not_a_query", "udp_receive_buffer_full", "udp_too_long", "udp_source_port_zero", "udp_own_address", "udp_not_unicast",
    "udp_receive_error",
})  # fmt: skip
AFTER = frozenset({"rate_limit", "waiters_limit", "internal_error"})
ON_THE_WAY_OUT = frozenset({"udp_send_buffer_full", "udp_send_error", "tcp_slow_reader", "tcp_unanswered", "tcp_shutdown"})
# What begins with `in_flight_` is answered; `tcp_refused` and the like are of connections, whose queries the sender knows to be
# unanswered.

Samples = Mapping[str, Mapping[tuple[tuple[str, str], ...], float]]


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What the resolver has counted so far, of all workers."""

    queries: int = 0
    responses: int = 0
    dropped: dict[str, int] = {}
    worker_restarts: int = 0

    def dropped_among(self, reasons: frozenset[str]) -> int:
        return sum(count for reason, count in self.dropped.items() if reason in reasons)

    @property
    def in_hand(self) -> int:
        """Queries taken and neither answered nor dropped: they wait for an upstream, or died with a worker."""
        return self.queries - self.responses - self.dropped_among(AFTER)


def counted(samples: Samples) -> Counted:
    """Reads it off a page of metrics (`Resolver.scrape`)."""
    dropped: dict[str, int] = {}
    for labels, value in samples.get("pdns_dropped_total", {}).items():
        reason = dict(labels)["reason"]
        dropped[reason] = dropped.get(reason, 0) + int(value)
    return Counted(
        queries=_sum(samples, "pdns_queries_total"),
        responses=_sum(samples, "pdns_responses_total"),
        dropped=dropped,
        worker_restarts=_sum(samples, "pdns_worker_restarts_total"),
    )


def _sum(samples: Samples, name: str) -> int:
    return int(sum(samples.get(name, {}).values()))


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What the senders have seen, UDP and TCP."""

    sent: int
    received: int
    late: int = 0  # answers that came after their query had been given up, or twice
    tcp_unanswered: int = 0  # of `sent`


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that was killed, or stopped until the supervisor killed it."""

    at_s: float
    in_hand: int  # queries that it can have had in hand: those that waited just before, and those sent while we looked


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Where the queries without an answer went."""

    sent: int
    received: int
    lost: dict[str, int]  # by name, those of killed workers included
    unaccounted: dict[str, int]  # beyond what anything explains, by the step at which they went missing

    @property
    def total_unaccounted(self) -> int:
        return sum(self.unaccounted.values())


def account(sent: Sent, counted: Counted, deaths: list[Death]) -> Account:
    """Explains each query that is missing, as far as it can be explained.

    A killed worker may hold a batch read and not counted, a batch counted as answered and not sent (or sent and not yet
    counted), and what waited for an upstream. Without a death, each of the three steps must balance to the query.
    """
    batches = BATCH * len(deaths)
    never_counted = sent.sent - counted.queries - counted.dropped_among(BEFORE)
    never_answered = counted.in_hand
    never_received = counted.responses - sent.received - sent.late - counted.dropped_among(ON_THE_WAY_OUT)
    lost = {reason: n for reason, n in counted.dropped.items() if n and reason in BEFORE | AFTER | ON_THE_WAY_OUT}
    lost |= {
        "arrived, never counted": never_counted,
        "counted, never answered": never_answered,
        "answered, never received": never_received,
        "answered too late": sent.late,
    }
    tcp = sent.tcp_unanswered if deaths else 0  # connections end with their worker
    may_hold = sum(death.in_hand for death in deaths) + batches
    unaccounted = {
        "arrived, never counted": _beyond(never_counted, 0, batches + tcp),
        "counted, never answered": _beyond(never_answered, 0, may_hold),
        "answered, never received": _beyond(never_received, -batches, batches + tcp),
    }
    return Account(
        sent=sent.sent,
        received=sent.received,
        lost={name: n for name, n in lost.items() if n},
        unaccounted={name: n for name, n in unaccounted.items() if n},
    )


def _beyond(value: int, least: int, most: int) -> int:
    return max(value - most, least - value, 0)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A fault while it lasted, in seconds of the run. `may_lose`: queries may go without an answer."""

    kind: str
    series: str = msgspec.field(name="lane")  # upstream, feeds, processes
    start_s: float
    end_s: float
    may_lose: bool


def unexplained(start_s: float, end_s: float, windows: list[Window], patience_s: float) -> bool:
    """Whether no fault explains a query that was sent from `start_s` to `end_s` and lost. A fault that may lose queries explains
    it if the fault was active then, or began within `patience_s`, the longest that the query may have waited.
    """
    return not any(window.may_lose and start_s <= window.end_s and window.start_s <= end_s + patience_s for window in windows)
