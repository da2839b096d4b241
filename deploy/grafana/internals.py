"""Inside the resolver: latency, workers, cache, upstreams, processes, and the delivery of events."""

from __future__ import annotations

from deploy.grafana.overview import RATE, rate
from deploy.grafana.parts import BAD, GOOD, NODE, OK_AT_ZERO, WARN, Board, ratio, top

UP = {"1": ("up", GOOD), "0": ("down", BAD)}
HONEST = {"1": ("honest", GOOD), "0": ("lies", BAD)}
SOURCE = f'source=~"$source", {NODE}'


def board() -> Board:
    made = Board(
        "pdns-internals",
        "pdns: internals",
        "For those who run the resolver: why is it slow, what fails, what is full?",
        since="now-6h",
    )
    made.sources()
    made.nodes()
    made.selection("source", "Source of answers", "label_values(pdns_query_duration_seconds_count, source)")
    made.changes()
    made.row("Latency")
    _latency(made)
    made.row("Workers")
    _workers(made)
    made.row("Upstreams")
    _upstreams(made)
    made.row("Cache")
    _cache(made)
    made.row("Events")
    _events(made)
    made.row("Processes")
    _processes(made)
    return made


def _latency(made: Board) -> None:
    made.latency(
        "Time to answer",
        "Answers by the time they took, for the chosen sources. A second band below the usual one is a slow upstream; a dark top, a busy core.",
        f"sum by (le) (increase(pdns_query_duration_seconds_bucket{{{SOURCE}}}[{RATE}]))",
    )  # fmt: skip
    made.graph(
        "Time to answer by source, p99",
        "99 of 100 answers are faster. `upstream` and `error` depend on the upstreams; `cache`, `blocked` and `local` should stay below 1 ms.",
        (f"histogram_quantile(0.99, sum by (source, le) (rate(pdns_query_duration_seconds_bucket{{{SOURCE}}}[{RATE}])))", "{{source}}"),
        unit="s", height=9, log=True,
    )  # fmt: skip


def _workers(made: Board) -> None:
    made.states(
        "Workers up",
        "0 while a worker does not answer. Its names are answered by another worker, or wait in the kernel. `pdns_worker_restarts_total` counts.",
        f"min by (instance, process) (pdns_worker_up{{{NODE}}})", "{{instance}} {{process}}", UP,
    )  # fmt: skip
    made.graph(
        "Processes replaced",
        "Within an hour, by kind. The log has the reason just before `was killed by` or `ended with exit code`.",
        (f"sum(increase(pdns_worker_restarts_total{{{NODE}}}[1h]))", "worker"),
        (f"sum(increase(pdns_feeds_restarts_total{{{NODE}}}[1h]))", "feeds"),
        (f"sum(increase(pdns_page_restarts_total{{{NODE}}}[1h]))", "page"),
        (f"sum(increase(pdns_events_restarts_total{{{NODE}}}[1h]))", "events"),
        (f"sum(increase(pdns_child_start_failures_total{{{NODE}}}[1h]))", "failed starts"), height=6,
    )  # fmt: skip
    made.graph(
        "Questions in flight",
        "Questions that wait for an upstream. A plateau is the limit: see the reasons beginning with `in_flight` under Dropped.",
        (f"sum by (instance) (pdns_in_flight{{{NODE}}})", "{{instance}}"), span=8,
    )  # fmt: skip
    made.graph(
        "TCP connections",
        "Open connections of clients. `server.tcp_max_connections` is the limit.",
        (f"sum by (instance) (pdns_tcp_connections{{{NODE}}})", "{{instance}}"), span=8,
    )  # fmt: skip
    made.graph(
        "Dropped",
        "By the ten most frequent reasons. `udp_receive_buffer_full`: a worker is too slow. `rate_limit`: a client floods; docs/abuse.md.",
        (top("reason", "pdns_dropped_total", NODE), "{{reason}}"), unit="qps", span=8,
    )  # fmt: skip


def _upstreams(made: Board) -> None:
    largest = f"topk(10, sum by (upstream) (increase(pdns_upstream_duration_seconds_count{{{NODE}}}[$__range] @ end())))"
    made.states(
        "Upstreams up",
        "Down after three questions or probes without an answer. Only the upstreams with most questions are shown, twelve at most.",
        f"min by (upstream) (pdns_upstream_up{{{NODE}}}) and on (upstream) topk(12, sum by (upstream)"
        f" (increase(pdns_upstream_requests_total{{{NODE}}}[$__range] @ end())))", "{{upstream}}", UP, span=8,
    )  # fmt: skip
    made.states(
        "Groups up",
        "Down while no upstream of the group answers. Names of the group get stale answers, the fallback, or SERVFAIL.",
        f"min by (group) (pdns_group_up{{{NODE}}}) and on (group) topk(12, max by (group) (1 - pdns_group_up{{{NODE}}} @ end()))",
        "{{group}}", UP, span=8,
    )  # fmt: skip
    made.states(
        "Honest upstreams",
        "By canaries: validates DNSSEC, resolves what it must, gives true answers. The other upstreams of the group are asked while one fails. docs/upstreams.md.",
        f'label_replace(min by (upstream) (pdns_upstream_validates{{{NODE}}}), "canary", "validation", "", "")'
        f" or min by (upstream, canary) (pdns_upstream_honest{{{NODE}}})"
        ' or on () label_replace(vector(1), "upstream", "no canaries", "", "")', "{{upstream}} {{canary}}", HONEST, span=8,
    )  # fmt: skip
    made.graph(
        "Questions by result",
        "Per second. `timeout`, `servfail` and `refused` are failures of upstreams; `local_error` is a fault of this machine. docs/upstreams.md explains each.",
        (f"sum by (result) (rate(pdns_upstream_requests_total{{{NODE}}}[{RATE}]))", "{{result}}"), unit="qps", span=8,
    )  # fmt: skip
    made.graph(
        "Time of upstreams, p90",
        "From question to answer; the ten upstreams with most answers. A step up is the upstream or the path to it.",
        (f"histogram_quantile(0.9, sum by (upstream, le) (rate(pdns_upstream_duration_seconds_bucket{{{NODE}}}[{RATE}]))) and on (upstream) {largest}",
         "{{upstream}}"), unit="s", span=8,
    )  # fmt: skip
    made.graph(
        "Special cases",
        "Per second: blocked by an upstream, refused private answers, questions to a fallback. Each of them explains why a name fails here only.",
        (rate("pdns_upstream_blocked_total"), "blocked by an upstream"),
        (rate("pdns_private_answers_blocked_total"), "private addresses refused"),
        (f"{rate('pdns_group_fallbacks_total')} or on () vector(0)", "asked a fallback"),
        (f"{rate('pdns_zone_forwarded_total')} or on () vector(0)", "asked for a zone"), unit="qps", span=8,
    )  # fmt: skip


def _cache(made: Board) -> None:
    answers = "instance_source:pdns_responses_total:sum"
    made.stat(
        "Answered from the cache",
        "Answers from the cache or of blocks, of all answers. Below 50 % after a day: the cache is too small.",
        ratio(rate(answers, f'source=~"cache|blocked|local", {NODE}'), rate(answers)), unit="percentunit", decimals=1, span=4, height=8,
        trend=True,
    )  # fmt: skip
    made.graph(
        "Memory of the cache",
        "As counted against `cache.max_bytes`. When it is full, old answers are evicted.",
        (f"sum by (instance) (pdns_cache_bytes{{{NODE}}})", "{{instance}}"), unit="bytes", span=7,
    )  # fmt: skip
    made.graph(
        "Cached answers",
        "Answers in the cache, blocked ones included. 0 after a start, or after `pdns cache flush`.",
        (f"sum by (instance) (pdns_cache_entries{{{NODE}}})", "{{instance}}"), span=6,
    )  # fmt: skip
    made.graph(
        "Evictions",
        "Answers per second evicted to make room. If this is high, raise `cache.max_bytes`.",
        (f"sum by (instance) (rate(pdns_cache_evictions_total{{{NODE}}}[{RATE}]))", "{{instance}}"), unit="ops", span=7,
    )  # fmt: skip


def _events(made: Board) -> None:
    made.graph(
        "Records",
        "Events, findings and hours per second. Events are far fewer than blocked queries, because repeats are merged.",
        (f"sum by (kind) (rate(pdns_events_total{{{NODE}}}[{RATE}])) or on () vector(0)", "{{kind}}"), unit="ops", span=8,
    )  # fmt: skip
    made.graph(
        "Lost and unaccounted",
        "Queries within an hour whose records were lost, by reason, and those without any explanation. Both should be 0: see PdnsEventsLost.",
        (f"sum by (reason) (increase(pdns_events_lost_total{{{NODE}}}[1h])) or on () vector(0)", "{{reason}}"),
        (f"sum(increase(pdns_events_unaccounted_total{{{NODE}}}[1h])) or on () vector(0)", "unaccounted"), span=8,
    )  # fmt: skip
    made.graph(
        "Lag of sinks",
        "Age of the oldest record that a sink has not yet. Above some minutes the sink is away or too slow; its records wait in the spool.",
        (f"max by (sink) (pdns_event_sink_lag_seconds{{{NODE}}}) or on () vector(0)", "{{sink}}"), unit="s", span=8,
    )  # fmt: skip
    made.states(
        "Sinks up",
        "Down while a sink refuses records. Answers and the other sinks are not affected. The log has the error.",
        f'min by (sink) (pdns_event_sink_up{{{NODE}}}) or on () label_replace(vector(1), "sink", "no sink", "", "")', "{{sink}}", UP, span=8, height=8,
    )  # fmt: skip
    made.graph(
        "Records delivered",
        "Per second, by sink. `lost`: the spool was full before the sink took them.",
        (f"sum by (sink, result) (rate(pdns_event_sink_records_total{{{NODE}}}[{RATE}])) or on () vector(0)", "{{sink}} {{result}}"), unit="ops", span=8,
    )  # fmt: skip
    made.graph(
        "Spool",
        "Bytes on the disk that wait for a sink. `events.max_bytes` is the limit; then the oldest records are lost.",
        (f"sum by (instance) (pdns_event_spool_bytes{{{NODE}}})", "{{instance}}"), unit="bytes", span=8,
    )  # fmt: skip


def _processes(made: Board) -> None:
    process = f"topk(12, sum by (instance, process) (increase(pdns_process_cpu_seconds_total{{{NODE}}}[$__range] @ end())))"
    made.graph(
        "CPU",
        "Cores that each process uses; the twelve busiest. A worker near 1 is at its limit.",
        (f"rate(pdns_process_cpu_seconds_total{{{NODE}}}[{RATE}]) and on (instance, process) {process}", "{{instance}} {{process}}"),
        unit="none", span=8,
    )  # fmt: skip
    made.graph(
        "Memory",
        "Resident memory, including shared pages: the blockset counts in each worker. Steady growth over days is a leak: report it.",
        (f"pdns_process_resident_memory_bytes{{{NODE}}} and on (instance, process) {process}", "{{instance}} {{process}}"),
        unit="bytes", span=8,
    )  # fmt: skip
    made.graph(
        "File descriptors",
        "Open descriptors, of the maximum. Above 80 %: raise `LimitNOFILE`.",
        (f"max by (instance) (pdns_process_open_fds{{{NODE}}} / (pdns_process_max_fds{{{NODE}}} > 0))", "{{instance}}"),
        unit="percentunit", span=8, most=1, steps=((None, GOOD), (0.8, BAD)), line=True,
    )  # fmt: skip
    for title, text, expr, steps in (
        ("Last reload failed", "Nodes whose configuration file has errors; the previous configuration stays in use. `pdns check` shows them.",
         f"sum(1 - pdns_config_last_reload_successful{{{NODE}}})", OK_AT_ZERO),
        ("Configurations", "Different configuration files in use. More than one on nodes that should be equal: compare `pdns_config_info`.",
         f"count(count by (sha256) (pdns_config_info{{{NODE}}}))", ((None, GOOD), (2, WARN))),
        ("Versions", "Different versions in use. More than one: an upgrade is not complete.",
         f"count(count by (version, commit) (pdns_build_info{{{NODE}}}))", ((None, GOOD), (2, WARN))),
        ("Damaged files", "Renamed files of the state directory; /readyz names them. Their second copies are in use.",
         f"sum(pdns_damaged_files{{{NODE}}})", OK_AT_ZERO),
        ("Log lines dropped, 24 h", "Lines that the reader of standard error did not take in time.",
         f"sum(increase(pdns_log_lines_dropped_total{{{NODE}}}[24h]))", OK_AT_ZERO),
        ("Missing measures", "Measures of confinement that are not in force; `pdns_confinement` names them.",
         f"sum(1 - pdns_confinement{{{NODE}}})", ((None, GOOD), (1, WARN))),
        ("Open reports", "Reports of mistakes that wait for an administrator: `pdns reports`.",
         f"sum(pdns_open_reports{{{NODE}}}) or on () vector(0)", ((None, GOOD), (1, WARN))),
        ("Series dropped", "Series that the counters had no room for. Some counts are missing.",
         f"sum(pdns_metrics_series_dropped_total{{{NODE}}})", OK_AT_ZERO),
    ):  # fmt: skip
        made.stat(title, text, expr, steps=steps, decimals=0)
    made.graph(
        "Connections refused at HTTP",
        "HTTP connections within an hour closed because there were too many, by server; and those of the block page.",
        (f"sum by (server) (increase(pdns_http_connections_dropped_total{{{NODE}}}[1h]))", "{{server}}"),
        (f"sum(increase(pdns_block_page_connections_dropped_total{{{NODE}}}[1h])) or on () vector(0)", "block page"), span=6, height=6,
    )  # fmt: skip
    made.states(
        "Addresses present",
        "Whether the machine has the address that pdns listens on. A standby without the virtual address shows `absent`: that is normal.",
        f"min by (instance, address) (pdns_listen_address_present{{{NODE}}})", "{{instance}} {{address}}",
        {"1": ("present", GOOD), "0": ("absent", WARN)}, span=6,
    )  # fmt: skip
    made.stat(
        "First certificate expires",
        "Time until the first certificate of an encrypted listener expires; 0 without such listeners.",
        f"clamp_min(min(pdns_certificate_expiry_timestamp_seconds{{{NODE}}}) - time(), 1) or on () vector(0)", unit="s", span=6, height=6,
        steps=((None, "text"), (1, BAD), (7 * 86400, WARN), (21 * 86400, GOOD)),
    )  # fmt: skip
    made.graph(
        "Time to scrape",
        "How long Prometheus needs for one page of metrics. It grows with tenants and feeds; no query waits for it.",
        (f'scrape_duration_seconds{{job="pdns", {NODE}}}', "{{instance}}"), unit="s", span=6, height=6,
    )  # fmt: skip
