"""Every metric on one page. Names are exposed with the prefix `pdns_`; no label value is ever a domain that clients ask for, or a
client.

`docs/metrics.md` says how to use them. Each worker (`pdns.telemetry.stats`), the feeds process (`feeds.json`) and the supervisor
count. The values of several workers become one number: their sum, unless `of_workers` says otherwise.
"""

from __future__ import annotations

from typing import Final

from pdns.telemetry.certificate_families import CERTIFICATE_FAMILIES
from pdns.telemetry.family import Family
from pdns.telemetry.feed_families import FEED_FAMILIES
from pdns.telemetry.quic_families import QUIC_FAMILIES

FAMILIES: Final = (
    # Queries and answers.
    Family("queries_total", "counter", "worker", ("tenant", "transport", "qtype"), "Queries received."),
    Family(
        "responses_total",
        "counter",
        "worker",
        ("tenant", "source", "rcode"),
        "Answers sent, by source: blocked, cache, upstream, stale, local, refused, error.",
    ),
    Family("query_duration_seconds", "histogram", "worker", ("source",), "Time from receiving a query to sending its answer."),
    Family("dropped_total", "counter", "worker", ("reason",), "Packets, queries and connections dropped without an answer."),
    Family("in_flight", "gauge", "worker", (), "Questions sent to upstreams and not answered yet."),
    Family("tcp_connections", "gauge", "worker", (), "Open TCP connections from clients."),
    Family("encrypted_connections", "gauge", "worker", ("transport",), "Open encrypted connections from clients over TCP."),
    # Blocking.
    Family("blocked_total", "counter", "worker", ("tenant", "feed", "category", "action"), "Queries blocked."),
    Family(
        "would_block_total",
        "counter",
        "worker",
        ("tenant", "feed", "category"),
        "Queries that a feed in monitor mode would have blocked; they were answered.",
    ),
    Family(
        "private_answers_blocked_total",
        "counter",
        "worker",
        (),
        "Answers of upstreams that held a private address for a public name, and were replaced with NODATA.",
    ),
    Family(
        "feed_hits_total",
        "counter",
        "worker",
        ("feed",),
        "Queries for names or addresses that a feed lists, blocked by it or not.",
    ),
    Family("feed_only_hits_total", "counter", "worker", ("feed",), "Queries for names or addresses that only this feed lists."),
    Family(
        "blocked_domains", "gauge", "supervisor", ("tenant", "window"), "Distinct listed names queried in the last 1h, 24h, 7d."
    ),
    Family(
        "blocked_domains_overall",
        "gauge",
        "supervisor",
        ("window",),
        "Distinct listed names queried by all tenants; a name counts once.",
    ),
    Family(
        "blocked_domains_missed_total",
        "counter",
        "supervisor",
        (),
        "Blocked names left out of pdns_blocked_domains because they came too fast.",
    ),
    # Upstreams.
    Family(
        "upstream_requests_total",
        "counter",
        "worker",
        ("upstream", "result"),
        "Queries to an upstream, by result; and packets from it that match no query.",
    ),
    Family(
        "upstream_duration_seconds",
        "histogram",
        "worker",
        ("upstream",),
        "Time from sending a query to an upstream to its answer.",
    ),
    Family(
        "upstream_up", "gauge", "worker", ("upstream",), "1 while every worker considers the upstream reachable, else 0.", "least"
    ),
    Family(
        "upstream_useful",
        "gauge",
        "worker",
        ("upstream",),
        "0 while a worker gets mostly bad answers from it, or none where another upstream answers; else 1.",
        "least",
    ),
    Family(
        "upstream_handshakes_total",
        "counter",
        "worker",
        ("upstream", "session"),
        "Encrypted connections made to an upstream, by session: new or resumed.",
    ),
    Family("upstream_blocked_total", "counter", "worker", ("upstream",), "Replies of an upstream that it blocks the name."),
    Family(
        "upstream_validates",
        "gauge",
        "worker",
        ("upstream",),
        "1 while canaries find that the upstream validates DNSSEC, 0 while they find that it does not.",
        "least",
    ),
    Family(
        "upstream_honest",
        "gauge",
        "worker",
        ("upstream", "canary"),
        "1 while the upstream passes these canaries (filtering, rewriting), 0 while it fails them.",
        "least",
    ),
    Family(
        "upstream_canaries_total",
        "counter",
        "worker",
        ("upstream", "canary", "result"),
        "Rounds of canaries by result: honest, lie, nothing (no answer, or one that proves neither).",
    ),
    Family("group_up", "gauge", "worker", ("group",), "1 while some upstream of the group is reachable, else 0.", "least"),
    Family(
        "group_fallbacks_total",
        "counter",
        "worker",
        ("group",),
        "Questions that went to the fallback of a group, which was down or had no answer.",
    ),
    Family("zone_forwarded_total", "counter", "worker", ("zone",), "Questions forwarded for names of a zone."),
    Family(
        "credentials_refused_total",
        "counter",
        "worker",
        ("reason",),
        "Credentials of clients that are not valid: connections, and requests with a token. `reason`: unknown_token,"
        " unknown_certificate, expired, revoked.",
    ),
    # The answer cache.
    Family("cache_entries", "gauge", "worker", (), "Answers in the cache."),
    Family("cache_bytes", "gauge", "worker", (), "Memory used by cached answers, as counted against cache.max_bytes."),
    Family("cache_evictions_total", "counter", "worker", (), "Answers evicted from the cache to make room."),
    # The blockset in use.
    Family("blockset_generation", "gauge", "worker", (), "Generation of the oldest blockset in use; 0 without one.", "least"),
    Family("blockset_entries", "gauge", "worker", (), "Names listed in the blockset in use.", "least"),
    Family(
        "blockset_rejected_total",
        "counter",
        "worker",
        (),
        "Damaged blocksets that were not used; the previous one stayed in use.",
    ),
    *FEED_FAMILIES,
    # The block page.
    Family(
        "sinkhole_visits_total",
        "counter",
        "page",
        ("tenant", "feed"),
        "Requests at the address of the block page, by the feed that blocks the name; none: the name is not blocked.",
    ),
    Family("open_reports", "gauge", "page", (), "Open reports of names that are blocked by mistake."),
    Family(
        "reports_total",
        "counter",
        "page",
        ("result",),
        "Reports that were sent, by result: accepted, merged, invalid, limited, full, failed.",
    ),
    Family(
        "block_page_connections_dropped_total",
        "counter",
        "page",
        (),
        "Connections to the block page closed because there were too many.",
    ),
    # Events.
    Family("events_total", "counter", "events", ("kind",), "Events recorded: blocked, monitored."),
    Family("events_queries_total", "counter", "events", ("kind",), "Queries in these events."),
    Family(
        "events_lost_total",
        "counter",
        "events",
        ("reason",),
        "Queries whose event was lost, by reason: overwritten (read too late), unreadable, disk, too_long.",
    ),
    Family(
        "events_unaccounted_total",
        "counter",
        "events",
        (),
        "Blocked queries that the hourly comparison found in no event, or in two.",
    ),
    Family("event_spool_bytes", "gauge", "events", (), "Bytes on the disk that wait for a sink."),
    Family("event_spool_max_bytes", "gauge", "supervisor", (), "Limit of pdns_event_spool_bytes: events.max_bytes."),
    Family("event_sink_records_total", "counter", "events", ("sink", "result"), "Records of a sink, by result: written, lost."),
    Family("event_sink_errors_total", "counter", "events", ("sink",), "Failed attempts to write to a sink."),
    Family(
        "event_sink_lag_seconds", "gauge", "events", ("sink",), "Age of the oldest record that a sink has not got; 0: it has all."
    ),
    Family("event_sink_up", "gauge", "events", ("sink",), "1 while the last attempt to write to a sink succeeded, else 0."),
    Family("tap_messages_total", "counter", "events", ("sink",), "Queries copied to a sink by taps."),
    Family(
        "tap_dropped_total",
        "counter",
        "events",
        ("sink",),
        "Queries that taps did not copy: the sink or a process was too slow.",
    ),
    Family("findings_total", "counter", "events", ("kind", "tenant"), "Findings recorded."),
    *QUIC_FAMILIES,
    # Configuration and processes.
    Family(
        "log_lines_dropped_total",
        "counter",
        "worker",
        ("process",),
        "Log lines dropped because standard error was not read in time. `process`: supervisor, worker (all of them), feeds.",
    ),
    Family(
        "build_info", "info", "supervisor", ("version", "commit", "accelerated"), "Version of the running supervisor; always 1."
    ),
    Family(
        "config_info",
        "info",
        "supervisor",
        ("sha256",),
        "First 12 hex digits of the SHA-256 of the configuration file in use; always 1.",
    ),
    Family(
        "config_last_reload_successful",
        "gauge",
        "supervisor",
        (),
        "0 while the configuration file has errors and the previous configuration stays in use, else 1.",
    ),
    Family(
        "config_last_reload_success_timestamp_seconds", "gauge", "supervisor", (), "Time when a configuration last went live."
    ),
    Family(
        "damaged_files", "gauge", "supervisor", (), "Damaged files of the state directory that were renamed to NAME.damaged-TIME."
    ),
    Family("ready", "gauge", "supervisor", (), "1 while /readyz is 200, else 0."),
    Family(
        "listen_address_present",
        "gauge",
        "supervisor",
        ("address",),
        "1 while an interface of this machine has the address, else 0.",
    ),
    *CERTIFICATE_FAMILIES,
    Family("worker_up", "gauge", "supervisor", ("process",), "1 while a worker answers its part of the names, else 0."),
    Family("worker_restarts_total", "counter", "supervisor", (), "Workers replaced because they died or hung."),
    Family("feeds_restarts_total", "counter", "supervisor", (), "Feeds processes replaced because they died."),
    Family("page_restarts_total", "counter", "supervisor", (), "Page processes replaced because they died."),
    Family("events_restarts_total", "counter", "supervisor", (), "Events processes replaced because they died."),
    Family("quic_restarts_total", "counter", "supervisor", (), "Quic processes replaced because they died."),
    Family(
        "confinement",
        "gauge",
        "supervisor",
        ("measure",),
        "1 where the system supports the measure: core, no_new_privs, landlock, capabilities, dumpable, seccomp;"
        " user: 1 unless it runs as root.",
    ),
    Family(
        "child_start_failures_total",
        "counter",
        "supervisor",
        ("process",),
        "Failed starts of a process, which are retried: worker (all of them), feeds, page, events, quic.",
    ),
    Family(
        "http_connections_dropped_total",
        "counter",
        "supervisor",
        ("server",),
        "HTTP connections closed because there were too many. `server`: metrics, admin.",
    ),
    Family(
        "metrics_series_dropped_total", "counter", "supervisor", (), "Series not counted because the counter memory was full."
    ),
    Family(
        "process_start_time_seconds",
        "gauge",
        "supervisor",
        ("process",),
        "Start time of a process: supervisor, worker0, worker1 ..., feeds, page, events, quic.",
    ),
    Family("process_cpu_seconds_total", "counter", "supervisor", ("process",), "User and system CPU time."),
    Family("process_resident_memory_bytes", "gauge", "supervisor", ("process",), "Resident memory, including shared pages."),
    Family("process_open_fds", "gauge", "supervisor", ("process",), "Open file descriptors."),
    Family("process_max_fds", "gauge", "supervisor", ("process",), "Maximum number of open file descriptors; 0: no limit."),
    Family("limit", "gauge", "supervisor", ("of",), "What all workers together may use: of the configuration, or the memory."),
    Family("state_disk_bytes", "gauge", "supervisor", (), "Size of the file system of the state directory."),
    Family("state_disk_free_bytes", "gauge", "supervisor", (), "Free space on it that the service can use."),
)

BY_NAME: Final = {family.name: family for family in FAMILIES}
WORKER_GAUGES: Final = tuple(family.name for family in FAMILIES if (family.kind, family.source) == ("gauge", "worker"))
