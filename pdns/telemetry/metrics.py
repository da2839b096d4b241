"""Every metric on one page. Names are exposed with the prefix `pdns_`; no label value is ever a domain or a client.

`docs/metrics.md` says how to use them. Who counts them: each worker (`pdns.telemetry.stats`), the feeds process (`feeds.json`),
the supervisor. What several workers say is one number: the sum, unless `of_workers` says otherwise.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

PREFIX: Final = "pdns_"

Kind = Literal["counter", "gauge", "histogram", "info"]
Source = Literal["worker", "feeds", "supervisor"]


class Family(NamedTuple):
    """One metric: its name as exposed, but for the prefix."""

    name: str
    kind: Kind
    source: Source
    labels: tuple[str, ...]
    help: str
    of_workers: Literal["sum", "least"] = "sum"


FAMILIES: Final = (
    # What clients ask, what they get.
    Family("queries_total", "counter", "worker", ("tenant", "transport", "qtype"), "Queries received."),
    Family(
        "responses_total",
        "counter",
        "worker",
        ("tenant", "source", "rcode"),
        "Answers sent, by where they came from: blocked, cache, upstream, stale, local, refused, error.",
    ),
    Family("query_duration_seconds", "histogram", "worker", ("source",), "From receiving a query to sending its answer."),
    Family("dropped_total", "counter", "worker", ("reason",), "Packets, queries and connections thrown away without an answer."),
    Family("in_flight", "gauge", "worker", (), "Queries that wait for an upstream."),
    Family("tcp_connections", "gauge", "worker", (), "Open TCP connections of clients."),
    # What is blocked.
    Family("blocked_total", "counter", "worker", ("tenant", "feed", "category", "action"), "Queries blocked."),
    Family(
        "would_block_total",
        "counter",
        "worker",
        ("tenant", "feed", "category"),
        "Queries that a feed in monitor mode lists, answered all the same.",
    ),
    Family("feed_hits_total", "counter", "worker", ("feed",), "Queries for what a feed lists, blocked by it or not."),
    Family("feed_only_hits_total", "counter", "worker", ("feed",), "Of those, the ones that no other feed lists."),
    Family("blocked_domains", "gauge", "supervisor", ("tenant", "window"), "Different listed names asked for in 1h, 24h, 7d."),
    Family("blocked_domains_overall", "gauge", "supervisor", ("window",), "The same over all tenants: a name counts once."),
    Family("blocked_domains_missed_total", "counter", "supervisor", (), "Blocked names met too fast to be told apart."),
    # Upstreams.
    Family(
        "upstream_requests_total",
        "counter",
        "worker",
        ("upstream", "result"),
        "Queries to an upstream, by what became of them; and stray packets.",
    ),
    Family("upstream_duration_seconds", "histogram", "worker", ("upstream",), "From asking an upstream to its answer."),
    Family("upstream_up", "gauge", "worker", ("upstream",), "1 while every worker thinks that it answers, else 0.", "least"),
    Family(
        "upstream_useful",
        "gauge",
        "worker",
        ("upstream",),
        "0 when a worker gets mostly bad answers, or none where another upstream knows, else 1.",
        "least",
    ),
    # The answer cache.
    Family("cache_entries", "gauge", "worker", (), "Answers in the cache."),
    Family("cache_bytes", "gauge", "worker", (), "Memory that they take, as counted against cache.max_bytes."),
    Family("cache_evictions_total", "counter", "worker", (), "Answers thrown out to make room."),
    # The blockset that the workers answer by.
    Family("blockset_generation", "gauge", "worker", (), "Generation of the oldest blockset in use; 0 for none.", "least"),
    Family("blockset_entries", "gauge", "worker", (), "Names listed in it.", "least"),
    Family("blockset_rejected_total", "counter", "worker", (), "Blocksets found damaged: the one before stayed in use."),
    # Feeds.
    Family("blockset_build_seconds", "gauge", "feeds", (), "How long the last compile took."),
    Family("feed_loaded", "gauge", "feeds", ("feed",), "1 when the names of a feed are in the blockset, else 0."),
    Family("feed_entries", "gauge", "feeds", ("feed",), "Names that a feed lists."),
    Family("feed_unique_entries", "gauge", "feeds", ("feed",), "Names that no other feed lists."),
    Family("feed_addresses", "gauge", "feeds", ("feed",), "Addresses and networks that a feed lists."),
    Family("feed_odd_lines", "gauge", "feeds", ("feed", "reason"), "Lines of a feed that were passed over, by reason."),
    Family(
        "feed_last_success_timestamp_seconds", "gauge", "feeds", ("feed",), "When the source last answered usably; 0 for never."
    ),
    Family("feed_last_change_timestamp_seconds", "gauge", "feeds", ("feed",), "When its content last changed; 0 for never."),
    Family(
        "feed_refresh_total",
        "counter",
        "feeds",
        ("feed", "result"),
        "Attempts to refresh: updated, unchanged, held, signature, outdated, error.",
    ),
    Family(
        "feed_update_held_seconds", "gauge", "feeds", ("feed",), "For how long an update as a whole has been held; 0: none is."
    ),
    Family("feed_held", "gauge", "feeds", ("feed",), "What waits to be released or dropped: names, and 1 for an update."),
    Family("feed_refused_names", "gauge", "feeds", ("feed",), "Names that a feed lists and that are too popular to be blocked."),
    Family("feed_disabled", "gauge", "feeds", ("feed",), "1 while an administrator has switched a feed off, else 0."),
    Family("feed_expired", "gauge", "feeds", ("feed",), "1 while a feed's names are too old to be in force, else 0."),
    Family("feed_lost", "gauge", "feeds", ("feed",), "1 while a feed's files are lost: only the blockset has its names."),
    Family(
        "notify_refused_total",
        "counter",
        "feeds",
        ("reason",),
        "NOTIFY messages not taken: stranger, zone, unsigned, signature, malformed.",
    ),
    Family("local_indicators", "gauge", "feeds", ("action",), "Names that are blocked or allowed here, whatever feeds say."),
    # Configuration and processes.
    Family(
        "log_lines_dropped_total",
        "counter",
        "worker",
        ("process",),
        "Log lines dropped because standard error was not read in time. `process`: supervisor, worker (all of them), feeds.",
    ),
    Family("build_info", "info", "supervisor", ("version", "commit", "accelerated"), "What runs; always 1."),
    Family(
        "config_info", "info", "supervisor", ("sha256",), "First 12 hex digits of the hash of the file that is live; always 1."
    ),
    Family(
        "config_last_reload_successful",
        "gauge",
        "supervisor",
        (),
        "0 while the file on disk is refused, and the one before live.",
    ),
    Family("config_last_reload_success_timestamp_seconds", "gauge", "supervisor", (), "When a configuration last went live."),
    Family("damaged_files", "gauge", "supervisor", (), "Damaged files of the state directory that were put aside."),
    Family("ready", "gauge", "supervisor", (), "1 while /readyz says yes, else 0."),
    Family(
        "listen_address_present",
        "gauge",
        "supervisor",
        ("address",),
        "1 while an interface of this machine has the address, else 0: clients reach it once one has.",
    ),
    Family("worker_up", "gauge", "supervisor", ("process",), "1 while a worker answers for its part of the names, else 0."),
    Family("worker_restarts_total", "counter", "supervisor", (), "Workers that died or hung, and were replaced."),
    Family("feeds_restarts_total", "counter", "supervisor", (), "Feeds processes that died, and were replaced."),
    Family(
        "confinement",
        "gauge",
        "supervisor",
        ("measure",),
        "1 where the system lets processes give up what they do not need: core, no_new_privs, landlock, capabilities, dumpable,"
        " seccomp; user: 1 unless it runs as root.",
    ),
    Family(
        "child_start_failures_total",
        "counter",
        "supervisor",
        ("process",),
        "Starts of a process that failed, and were tried again: worker (all of them), feeds.",
    ),
    Family(
        "http_connections_dropped_total",
        "counter",
        "supervisor",
        ("server",),
        "HTTP connections closed because there were too many. `server`: metrics, admin.",
    ),
    Family("metrics_series_dropped_total", "counter", "supervisor", (), "Series that found no room in the counter memory."),
    Family(
        "process_start_time_seconds",
        "gauge",
        "supervisor",
        ("process",),
        "When a process began: supervisor, worker0 and on, feeds.",
    ),
    Family("process_cpu_seconds_total", "counter", "supervisor", ("process",), "CPU time, user and system."),
    Family("process_resident_memory_bytes", "gauge", "supervisor", ("process",), "Memory, shared pages included."),
    Family("process_open_fds", "gauge", "supervisor", ("process",), "Open file descriptors."),
    Family("process_max_fds", "gauge", "supervisor", ("process",), "How many it may open."),
)

BY_NAME: Final = {family.name: family for family in FAMILIES}
WORKER_GAUGES: Final = tuple(family.name for family in FAMILIES if (family.kind, family.source) == ("gauge", "worker"))
