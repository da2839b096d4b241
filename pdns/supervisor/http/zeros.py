"""Series that exist from the start at 0. Without them, `increase()` would miss the first event of a series."""

from __future__ import annotations

from collections.abc import Container, Iterator
from itertools import islice, product
from typing import Final, get_args

from pdns.config.groups import server_groups, upstream_servers
from pdns.config.policies import NO_TENANT
from pdns.config.schema import Config
from pdns.core.enrolled import REFUSALS
from pdns.core.listing import DROP, LOCAL_DATA, NODATA, NXDOMAIN, TCP_ONLY
from pdns.core.local_rules import LOCAL
from pdns.core.routes import MOST_LABELS
from pdns.event_store.event import FindingKind
from pdns.telemetry.histograms import BLOCK_TIME, BLOCK_TIME_BUCKETS_S
from pdns.telemetry.metrics import FAMILIES
from pdns.telemetry.sliding_window import WINDOWS
from pdns.telemetry.stats import BUCKET_SUFFIX, BUCKETS_S, MAX_TENANTS
from pdns.wire import proxy_header
from pdns.wire.transport import Transport

MOST_OF_A_FAMILY: Final = 5000  # pairs of tenant and feed; beyond them a series appears when it first counts

DROPPED: Final = (
    "encrypted_answer_too_long", "encrypted_no_header", "encrypted_refused", "encrypted_too_many_new",
    "encrypted_unfinished_message", "internal_error", "not_a_query", "rate_limit", "relay_full", "relay_malformed",
    "tcp_answer_too_long", "tcp_no_header", "tcp_refused",
    "tcp_unfinished_message", "udp_not_unicast", "udp_receive_error", "udp_send_buffer_full", "udp_send_error", "waiters_limit",
)  # fmt: skip
DROPPED_OF_BALANCERS: Final = (*proxy_header.REASONS, proxy_header.UNFINISHED)
UPSTREAM_RESULTS: Final = (
    "ok", "servfail", "refused", "formerr", "notimp", "error", "timeout", "truncated", "retransmit", "local_error",
    "unmatched", "malformed", "http_error",
)  # fmt: skip
SOURCES: Final = ("blocked", "cache", "upstream", "stale", "local", "refused", "error")
REPORT_RESULTS: Final = ("accepted", "merged", "invalid", "limited", "full", "failed")
QUIC_HANDSHAKES: Final = ("completed", "failed", "timeout")
QUIC_REFUSED: Final = (
    "banned", "made_room", "newcomers", "stalled", "too_fast", "too_many_connections", "too_many_handshakes", "unread_answers",
)  # fmt: skip
QUIC_DROPPED: Final = (
    "no_answer", "no_worker", "not_quic", "other_version", "relay_full", "unknown_connection", "worker_died",
)  # fmt: skip
_ENCRYPTED: Final = tuple(f"{transport}://" for transport in Transport if transport.is_encrypted)  # upstreams
_FIRST_RESPONSES: Final = (("blocked", "NOERROR"), ("cache", "NOERROR"), ("upstream", "NOERROR"), ("error", "SERVFAIL"))
_FIRST_TYPES: Final = ("A", "AAAA", "HTTPS")
_ACTIONS: Final = {"policy": ("",), "given": (NXDOMAIN, NODATA, DROP, TCP_ONLY, LOCAL_DATA)}  # of `rpz_action`; "": the policy's
_UNLABELLED: Final = tuple(family.name for family in FAMILIES if family.source == "worker" and not family.labels)


def zeros(config: Config) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Family and labels of each, as in the counter memory."""
    tenants = (NO_TENANT, *(tenant.name for tenant in config.tenant))[:MAX_TENANTS]
    action = config.block.action
    for name in _UNLABELLED:
        yield name, ()
    for reason in (*DROPPED, *(DROPPED_OF_BALANCERS if config.server.proxy_protocol_from else ())):
        yield "dropped_total", (reason,)
    for source in SOURCES:
        yield "query_duration_seconds" + BUCKET_SUFFIX, (source, repr(BUCKETS_S[0]))
    for refusal in REFUSALS:
        yield "credentials_refused_total", (refusal,)
    for tenant in tenants:
        for qtype in _FIRST_TYPES:
            yield "queries_total", (tenant, Transport.UDP, qtype)
        for source, rcode in _FIRST_RESPONSES:
            yield "responses_total", (tenant, source, rcode)
        for window, _ in WINDOWS:
            yield "blocked_domains", (tenant, window)
    blocking = [
        (feed.name, feed.category, given)
        for feed in config.feed
        if feed.mode == "block"
        for given in _ACTIONS.get(feed.rpz_action, (feed.rpz_action,))
    ]
    for tenant, (feed, category, given) in islice(product(tenants, [(LOCAL, LOCAL, ""), *blocking]), MOST_OF_A_FAMILY):
        yield "blocked_total", (tenant, feed, category, given or action)
    monitored = [(feed.name, feed.category) for feed in config.feed if feed.mode == "monitor"]
    for tenant, (feed, category) in islice(product(tenants, monitored), MOST_OF_A_FAMILY):
        yield "would_block_total", (tenant, feed, category)
    if config.block_page.listen:
        yield from _zeros_of_page(list(dict.fromkeys([(LOCAL, LOCAL), *(one[:2] for one in blocking)])), tenants)
    yield from _zeros_of_quic({listener.transport for listener in config.listener})
    if config.events.enabled:
        yield from _zeros_of_events(tenants)
        for sink in config.sink:
            if sink.kind == "dnstap":
                yield "tap_messages_total", (sink.name,)
                yield "tap_dropped_total", (sink.name,)
    for configured in config.feed:
        yield "feed_hits_total", (configured.name,)
        yield "feed_only_hits_total", (configured.name,)
        if configured.mode == "block":
            yield BLOCK_TIME + BUCKET_SUFFIX, (configured.name, repr(BLOCK_TIME_BUCKETS_S[0]))
    for name, group in islice(server_groups(config).items(), MOST_LABELS):
        if group.fallback:
            yield "group_fallbacks_total", (name,)
    for zone in config.zone[:MOST_LABELS]:
        yield "zone_forwarded_total", (zone.names[0],)
    for server in upstream_servers(config):
        for result in UPSTREAM_RESULTS:
            yield "upstream_requests_total", (server, result)
        if server.startswith(_ENCRYPTED):
            for session in ("new", "resumed"):
                yield "upstream_handshakes_total", (server, session)
        yield "upstream_blocked_total", (server,)
        yield "upstream_duration_seconds" + BUCKET_SUFFIX, (server, repr(BUCKETS_S[0]))


def _zeros_of_events(tenants: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for kind in ("blocked", "monitored"):
        yield "events_total", (kind,)
        yield "events_queries_total", (kind,)
    for reason in ("overwritten", "unreadable", "disk", "too_long"):
        yield "events_lost_total", (reason,)
    yield "events_unaccounted_total", ()
    yield "event_spool_bytes", ()
    for tenant, kind in product(tenants, get_args(FindingKind)):
        yield "findings_total", (kind, tenant)


def _zeros_of_quic(transports: Container[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    served = [transport for transport in (Transport.QUIC, Transport.H3) if transport in transports]
    for transport, result in product(served, QUIC_HANDSHAKES):
        yield "quic_handshakes_total", (transport, result)
    if served:
        yield "quic_retries_total", ()
        for reason in QUIC_REFUSED:
            yield "quic_refused_total", (reason,)
        for reason in QUIC_DROPPED:
            yield "quic_dropped_total", (reason,)


def _zeros_of_page(blocking: list[tuple[str, str]], tenants: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for tenant, (feed, _) in islice(product(tenants, blocking), MOST_OF_A_FAMILY):
        yield "sinkhole_visits_total", (tenant, feed)
    for result in REPORT_RESULTS:
        yield "reports_total", (result,)
    yield "open_reports", ()
    yield "block_page_connections_dropped_total", ()
