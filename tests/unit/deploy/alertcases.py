"""For each alert: time series that make it fire, and the nearest ones that do not.

Series are given without `instance`, which is "a" everywhere, and with one value a minute (`slow`: every ten minutes), as
`promtool test rules` writes them: "1 0x10" is 1, then eleven times 0; "0+60x30" grows by 60 thirty times.
"""

from __future__ import annotations

from typing import Final

from tests.unit.deploy.alertcase import AlertCase, Series
from tests.unit.deploy.capacitycases import CAPACITY
from tests.unit.deploy.certificatecases import CERTIFICATES
from tests.unit.deploy.fleetcases import FLEET


def _few(
    metric: str, labels: str = "", *, per_minute: int = 1, quiet: int = 0, minutes: int = 130
) -> tuple[Series, tuple[Series]]:
    """A counter that grows, and one that does not."""
    return {f"{metric}{{{labels}}}": f"0+{per_minute}x{minutes}"}, ({f"{metric}{{{labels}}}": f"7+{quiet}x{minutes}"},)


_QUERIES = 'pdns_queries_total{tenant="t", transport="udp", qtype="A"}'
_BLOCKED = 'pdns_blocked_total{tenant="t", feed="f", category="malware", action="sinkhole"}'
_OK = 'pdns_responses_total{tenant="t", source="cache", rcode="NOERROR"}'
_SERVFAIL = 'pdns_responses_total{tenant="t", source="error", rcode="SERVFAIL"}'
_STALE = 'pdns_responses_total{tenant="t", source="stale", rcode="NOERROR"}'
_FAST = 'pdns_query_duration_seconds_bucket{source="cache", le="0.001"}'
_ALL = 'pdns_query_duration_seconds_bucket{source="cache", le="+Inf"}'
_MIDDLE = 'pdns_query_duration_seconds_bucket{source="cache", le="0.025"}'

SERVICE: Final = (
    AlertCase(
        "PdnsDown", "3m", {'up{job="pdns"}': "1 0x5"}, ({'up{job="pdns"}': "1 0 1x5"}, {'up{job="other"}': "0x5"}),
        "/metrics does not answer", {"job": "pdns"},
    ),
    AlertCase(
        "PdnsNotScraped", "7m", {'up{job="node"}': "1x10"}, ({'up{job="pdns"}': "0x10"},),
        "Prometheus scrapes no resolver: nothing watches over them", {"job": "pdns"}, whole=True,
    ),
    AlertCase("PdnsNotReady", "4m", {"pdns_ready": "1 0x5"}, ({"pdns_ready": "0 1x5"},), "not ready; /readyz says why"),
    AlertCase(
        "PdnsAllUpstreamsDown", "3m", {'pdns_upstream_up{upstream="x"}': "0x5", 'pdns_upstream_up{upstream="y"}': "0x5"},
        ({'pdns_upstream_up{upstream="x"}': "0x5", 'pdns_upstream_up{upstream="y"}': "1x5"},),
        "no upstream answers; clients get stale answers or SERVFAIL",
    ),
    AlertCase(
        "PdnsGroupDown", "4m", {'pdns_group_up{group="zone:corp.example"}': "0x6"},
        ({'pdns_group_up{group="zone:corp.example"}': "1 0 1x5"},),
        "no upstream of group zone:corp.example answers; unless it has a fallback, its names do not resolve",
        {"group": "zone:corp.example"},
    ),
    AlertCase(
        "PdnsFailing", "20m", {_OK: "0+60x30", _SERVFAIL: "0+20x30"},
        ({_OK: "0+98x30", _SERVFAIL: "0+2x30"}, {_OK: "0x30", _SERVFAIL: "0x30"}), "25% of the answers are SERVFAIL",
    ),
    AlertCase(
        "PdnsLosesQueries", "20m", {'pdns_dropped_total{reason="udp_receive_buffer_full"}': "0+120x30"},
        ({'pdns_dropped_total{reason="udp_receive_buffer_full"}': "0+30x30"},
         {'pdns_dropped_total{reason="rate_limit"}': "0+900x30"}),
        "2 queries a second are lost or given up",
    ),
    AlertCase(
        "PdnsBalancerRefused", "20m", {'pdns_dropped_total{reason="proxy_no_header"}': "0+60x30"},
        ({'pdns_dropped_total{reason="proxy_no_header"}': "0 1 1x30"}, {'pdns_dropped_total{reason="tcp_shutdown"}': "0+60x30"}),
        "what a load balancer sends has no valid header: its clients get no answers",
    ),
    AlertCase(
        "PdnsNoQueries", "100m", {_QUERIES: "0+120x60 7200x60"},
        ({_QUERIES: "0+120x130"}, {_QUERIES: "0x130"}), "no query for 15 minutes; an hour ago there were some every second",
    ),
    AlertCase(
        "PdnsBlocksNothing", "15m", {"pdns_blockset_entries": "0x20", "pdns_ready": "1x20"},
        ({"pdns_blockset_entries": "9x20", "pdns_ready": "1x20"},), "answers queries, but blocks no names",
    ),
    AlertCase(
        "PdnsWorkerDown", "5m", {'pdns_worker_up{process="worker1"}': "0x9"}, ({'pdns_worker_up{process="worker1"}': "1 0 1x9"},),
        "worker1 does not answer; another worker answers for it", {"process": "worker1"},
    ),
    AlertCase(
        "PdnsProcessDies", "20m",
        {"pdns_worker_restarts_total": "0 0 1 2 4x60", "pdns_feeds_restarts_total": "0x60", "pdns_page_restarts_total": "0x60",
         "pdns_events_restarts_total": "0x60"},
        ({"pdns_worker_restarts_total": "0 0 1x60", "pdns_feeds_restarts_total": "0x60", "pdns_page_restarts_total": "0x60",
         "pdns_events_restarts_total": "0x60"},),
        "a process keeps dying; the log has the reason",
    ),
    AlertCase(
        "PdnsCannotStart", "10m", {'pdns_child_start_failures_total{process="feeds"}': "0+1x20"},
        ({'pdns_child_start_failures_total{process="feeds"}': "0 1 1x20"},), "starts of feeds fail", {"process": "feeds"},
    ),
    AlertCase(
        "PdnsUpstreamDown", "15m", {'pdns_upstream_up{upstream="x"}': "0x20"}, ({'pdns_upstream_up{upstream="x"}': "0x8 1 0x8"},),
        "upstream x does not answer", {"upstream": "x"},
    ),
    AlertCase(
        "PdnsUpstreamUseless", "8m", {'pdns_upstream_useful{upstream="x"}': "0x10", 'pdns_upstream_up{upstream="x"}': "1x10"},
        ({'pdns_upstream_useful{upstream="x"}': "0x10", 'pdns_upstream_up{upstream="x"}': "0x10"},
         {'pdns_upstream_useful{upstream="x"}': "1x10", 'pdns_upstream_up{upstream="x"}': "1x10"}),
        "upstream x answers, but refuses or fails most questions", {"upstream": "x"},
    ),
    AlertCase(
        "PdnsUpstreamLies", "25m", {'pdns_upstream_requests_total{upstream="x", result="unmatched"}': "0+60x30"},
        ({'pdns_upstream_requests_total{upstream="x", result="unmatched"}': "0 5 5x30",
          'pdns_upstream_requests_total{upstream="x", result="timeout"}': "0+60x30"},),
        "1 packets a second from x match no question: a broken upstream, or forged answers", {"upstream": "x"},
    ),
    AlertCase(
        "PdnsUpstreamDoesNotValidate", "8m", {'pdns_upstream_validates{upstream="x"}': "0x10"},
        ({'pdns_upstream_validates{upstream="x"}': "1x10"}, {'pdns_upstream_validates{upstream="x"}': "0x2 1x8"}),
        "upstream x does not validate DNSSEC", {"upstream": "x"},
    ),
    AlertCase(
        "PdnsUpstreamDishonest", "8m", {'pdns_upstream_honest{upstream="x", canary="rewriting"}': "0x10"},
        ({'pdns_upstream_honest{upstream="x", canary="rewriting"}': "1x10"},),
        "upstream x fails the canaries for rewriting", {"upstream": "x", "canary": "rewriting"},
    ),
    AlertCase(
        "PdnsCanariesSilent", "7h",
        {'pdns_upstream_canaries_total{upstream="x", canary="filtering", result="nothing"}': "0+1x480"},
        ({'pdns_upstream_canaries_total{upstream="x", canary="filtering", result="nothing"}': "0+1x480",
          'pdns_upstream_canaries_total{upstream="x", canary="filtering", result="honest"}': "0+1x480"},
         {'pdns_upstream_canaries_total{upstream="x", canary="filtering", result="nothing"}': "0+0x480"}),
        "canaries for filtering have said nothing about x for hours", {"upstream": "x", "canary": "filtering"},
    ),
    AlertCase(
        "PdnsUpstreamSlow", "40m",
        {'pdns_upstream_duration_seconds_bucket{upstream="x", le="1.0"}': "0+50x60",
         'pdns_upstream_duration_seconds_bucket{upstream="x", le="2.5"}': "0+100x60",
         'pdns_upstream_duration_seconds_bucket{upstream="x", le="+Inf"}': "0+100x60"},
        ({'pdns_upstream_duration_seconds_bucket{upstream="x", le="0.1"}': "0+95x60",
          'pdns_upstream_duration_seconds_bucket{upstream="x", le="2.5"}': "0+100x60",
          'pdns_upstream_duration_seconds_bucket{upstream="x", le="+Inf"}': "0+100x60"},),
        "one in ten answers of upstreams takes longer than 2.2s",
    ),
    AlertCase(
        "PdnsStaleAnswers", "40m", {_OK: "0+90x60", _STALE: "0+10x60"}, ({_OK: "0+99x60", _STALE: "0+1x60"},),
        "10% of the answers are stale: upstreams do not answer in time",
    ),
    AlertCase(
        "PdnsCannotSend", "20m", {'pdns_upstream_requests_total{upstream="x", result="local_error"}': "0+60x30"},
        ({'pdns_upstream_requests_total{upstream="x", result="local_error"}': "0 1 1x30"},),
        "this machine fails to send queries to upstreams (descriptors, route, address or firewall)",
    ),
    AlertCase(
        "PdnsSlow", "40m", {_FAST: "0+50x60", _MIDDLE: "0+100x60", _ALL: "0+100x60"},
        ({_FAST: "0+100x60", _MIDDLE: "0+100x60", _ALL: "0+100x60"}, {_FAST: "0x60", _MIDDLE: "0x60", _ALL: "0x60"}),
        "answers that need no upstream take 24.52ms (p99)",
    ),
    AlertCase(
        "PdnsFlood", "25m", {'pdns_dropped_total{reason="rate_limit"}': "0+12000x30"},
        ({'pdns_dropped_total{reason="rate_limit"}': "0+3000x30"},),
        "200 queries a second exceed the rate limit: a client floods, or the limit is too low",
    ),
    AlertCase(
        "PdnsTcpFull", "25m", {'pdns_dropped_total{reason="tcp_refused"}': "0+120x30"},
        ({'pdns_dropped_total{reason="tcp_refused"}': "0+6x30"}, {'pdns_dropped_total{reason="tcp_made_room"}': "0+120x30"}),
        "TCP connections are refused or closed to make room",
    ),
    AlertCase(
        "PdnsTenantSilent", "8d12h", {_QUERIES: "0+600x1152 691200x200"},
        ({_QUERIES: "0+600x1400"}, {_QUERIES: "0x1400"}), "tenant t asks nothing; a week ago it did", {"tenant": "t"}, slow=True,
    ),
)  # fmt: skip

PROTECTION: Final = (
    AlertCase(
        "PdnsFeedNotLoaded", "40m", {'pdns_feed_loaded{feed="f"}': "0x60"}, ({'pdns_feed_loaded{feed="f"}': "0x20 1x40"},),
        "feed f is not loaded: none of its names is blocked", {"feed": "f"},
    ),
    AlertCase(
        "PdnsFeedStale", "26h", {'pdns_feed_last_success_timestamp_seconds{feed="f"}': "1x200"},
        ({'pdns_feed_last_success_timestamp_seconds{feed="f"}': "0+600x200"},
         {'pdns_feed_last_success_timestamp_seconds{feed="f"}': "0x200"}),
        "feed f has not been reached for 1d 1h 59m 59s; its old names stay in force", {"feed": "f"}, slow=True,
    ),
    AlertCase(
        "PdnsFeedExpired", "3m", {'pdns_feed_expired{feed="f"}': "1x5"}, ({'pdns_feed_expired{feed="f"}': "0x5"},),
        "feed f has expired: its names are no longer blocked", {"feed": "f"},
    ),
    AlertCase(
        "PdnsFeedHeld", "20m", {'pdns_feed_update_held_seconds{feed="f"}': "60+60x30"},
        ({'pdns_feed_update_held_seconds{feed="f"}': "0 60 120 0x30"},),
        "an update of feed f is held; `pdns feeds held` shows why", {"feed": "f"},
    ),
    AlertCase(
        "PdnsFeedHeldLong", "20m", {'pdns_feed_update_held_seconds{feed="f"}': "345600x30"},
        ({'pdns_feed_update_held_seconds{feed="f"}': "172800x30"},),
        "feed f blocks by an old list: its update has been held for 4d 0h 0m 0s", {"feed": "f"},
    ),
    AlertCase(
        "PdnsFeedLost", "8m", {'pdns_feed_lost{feed="f"}': "1x10"}, ({'pdns_feed_lost{feed="f"}': "1 1 0x10"},),
        "the files of feed f are lost and its source does not answer; its names come from the blockset alone", {"feed": "f"},
    ),
    AlertCase(
        "PdnsFeedDisabled", "25h", {'pdns_feed_disabled{feed="f"}': "1x200"}, ({'pdns_feed_disabled{feed="f"}': "1x100 0x60"},),
        "feed f has been switched off for a day", {"feed": "f"}, slow=True,
    ),
    AlertCase(
        "PdnsFeedShrank", "27h", {'pdns_feed_entries{feed="f"}': "1000x144 400x100"},
        ({'pdns_feed_entries{feed="f"}': "1000x144 600x100"}, {'pdns_feed_entries{feed="f"}': "90x144 10x100"}),
        "feed f lists less than half of what it did a day ago", {"feed": "f"}, slow=True,
    ),
    AlertCase(
        "PdnsFeedForged", "20m", {'pdns_feed_refresh_total{feed="f", result="signature"}': "0 1x30"},
        ({'pdns_feed_refresh_total{feed="f", result="error"}': "0 1x30"},),
        "feed f: a checksum or signature does not match, or is older than before; the update is not used", {"feed": "f"},
    ),
    AlertCase(
        "PdnsBlocksetRejected", "20m", {"pdns_blockset_rejected_total": "0 0 1x30"}, ({"pdns_blockset_rejected_total": "3x30"},),
        "a blockset on the disk is damaged; the previous one stays in use",
    ),
    AlertCase(
        "PdnsBlocksetOld", "20m", {"pdns_blockset_compiled_generation": "8x30", "pdns_blockset_generation": "7x30"},
        ({"pdns_blockset_compiled_generation": "8x30", "pdns_blockset_generation": "7 8x30"},),
        "a newer blockset is compiled (8), and workers do not use it",
    ),
    AlertCase(
        "PdnsBlockLate", "2h",
        {'pdns_indicator_to_block_seconds_bucket{feed="f", le="60.0"}': "0+3x200",
         'pdns_indicator_to_block_seconds_bucket{feed="f", le="+Inf"}': "0+4x200"},
        ({'pdns_indicator_to_block_seconds_bucket{feed="f", le="60.0"}': "0+4x200",
          'pdns_indicator_to_block_seconds_bucket{feed="f", le="+Inf"}': "0+4x200"},
         {'pdns_indicator_to_block_seconds_bucket{feed="f", le="60.0"}': "3x200",
          'pdns_indicator_to_block_seconds_bucket{feed="f", le="+Inf"}': "4x200"}),
        "feed f: 25% of its updates took more than a minute until they were blocked", {"feed": "f"}, slow=True,
    ),
    AlertCase(
        "PdnsBlocksNoQuery", "26h", {_QUERIES: "0+1000x200", _BLOCKED: "5x200"},
        ({_QUERIES: "0+1000x200", _BLOCKED: "5x100 6x100"}, {_QUERIES: "0+10x200", _BLOCKED: "5x200"}),
        "of more than 100,000 queries in a day, none was blocked", slow=True,
    ),
    AlertCase(
        "PdnsPrivateAnswers", "55m", *_few("pdns_private_answers_blocked_total", per_minute=60, quiet=1),
        summary="upstreams give private addresses for public names, and clients get none:"
        " an internal zone is missing, or an attack",
    ),
    AlertCase(
        "PdnsPublishFailing", "20m", {'pdns_publish_failing{zone="z"}': "1x30"},
        ({'pdns_publish_failing{zone="z"}': "1x9 0x20"},),
        "the published zone z fails: secondaries block by an old list", {"zone": "z"},
    ),
    AlertCase(
        "PdnsSecondaryAway", "75m", {'pdns_publish_notify_total{zone="z", result="unanswered"}': "0+1x100"},
        ({'pdns_publish_notify_total{zone="z", result="unanswered"}': "0 1x100"},),
        "a secondary of zone z does not answer notifications", {"zone": "z"},
    ),
    AlertCase(
        "PdnsPublishRefused", "40m", {'pdns_publish_refused_total{reason="stranger"}': "0+120x60"},
        ({'pdns_publish_refused_total{reason="stranger"}': "0+6x60"},),
        "2 requests a second for published zones are refused (stranger)", {"reason": "stranger"},
    ),
)  # fmt: skip

PEOPLE: Final = (
    AlertCase(
        "PdnsReportsOpen", "25h", {"pdns_open_reports": "3x200"}, ({"pdns_open_reports": "3x100 0 2x50"},),
        "3 reports of mistakes are open; `pdns reports` shows them", slow=True,
    ),
    AlertCase(
        "PdnsReportsForgotten", "73h", {"pdns_open_reports": "3x500"}, ({"pdns_open_reports": "3x300 0x20 3x130"},),
        "3 reports of mistakes have been open for days: people cannot work", slow=True,
    ),
    AlertCase(
        "PdnsReportsLost", "20m", {'pdns_reports_total{result="full"}': "0 1x30"},
        ({'pdns_reports_total{result="limited"}': "0+1x30"},),
        "reports of mistakes could not be kept; the log has the reason",
    ),
    AlertCase(
        "PdnsBlockPageFull", "20m", *_few("pdns_block_page_connections_dropped_total"),
        summary="the block page closed connections because there were too many",
    ),
    AlertCase(
        "PdnsTunnel", "20m", {'pdns_findings_total{kind="tunnel", tenant="t"}': "0 1x30"},
        ({'pdns_findings_total{kind="first-seen", tenant="t"}': "0 1x30"},),
        "tenant t: data may leave through DNS names", {"tenant": "t"},
    ),
    AlertCase(
        "PdnsBypass", "20m", {'pdns_findings_total{kind="bypass", tenant="t"}': "0 1x30"},
        ({'pdns_findings_total{kind="bypass", tenant="t"}': "4x30"},),
        "tenant t: clients may use another resolver", {"tenant": "t"},
    ),
    AlertCase(
        "PdnsAskedBeforeListed", "20m", {'pdns_findings_total{kind="retro", tenant="t"}': "0 1x30"},
        ({'pdns_findings_total{kind="shared", tenant="t"}': "0 1x30"},),
        "tenant t asked for names before they were listed", {"tenant": "t"},
    ),
)  # fmt: skip

NUMBERS: Final = (
    AlertCase(
        "PdnsEventsUnaccounted", "2h", *_few("pdns_events_unaccounted_total"),
        summary="120 blocked or monitored queries have no event and no counted loss",
    ),
    AlertCase(
        "PdnsEventsLost", "1h", *_few("pdns_events_lost_total", 'reason="disk"'),
        summary="60 queries have lost their events (disk)",
        labels={"reason": "disk"},
    ),
    AlertCase(
        "PdnsSinkDown", "15m", {'pdns_event_sink_up{sink="siem"}': "0x20"}, ({'pdns_event_sink_up{sink="siem"}': "0x8 1 0x8"},),
        "sink siem takes no records; they wait in the spool", {"sink": "siem"},
    ),
    AlertCase(
        "PdnsSinkLags", "40m", {'pdns_event_sink_lag_seconds{sink="siem"}': "0+60x60"},
        ({'pdns_event_sink_lag_seconds{sink="siem"}': "0 300 600 0x60"}, {'pdns_event_sink_lag_seconds{sink="siem"}': "800x60"}),
        "sink siem is 40m 0s behind", {"sink": "siem"},
    ),
    AlertCase(
        "PdnsSinkLosesRecords", "1h", {'pdns_event_sink_records_total{sink="siem", result="lost"}': "0+1x70"},
        ({'pdns_event_sink_records_total{sink="siem", result="written"}': "0+1x70"},),
        "sink siem has lost 60 records for good", {"sink": "siem"},
    ),
    AlertCase(
        "PdnsSpoolFills", "15m", {"pdns_event_spool_bytes": "90x20", "pdns_event_spool_max_bytes": "100x20"},
        ({"pdns_event_spool_bytes": "70x20", "pdns_event_spool_max_bytes": "100x20"},
         {"pdns_event_spool_bytes": "70x20", "pdns_event_spool_max_bytes": "0x20"}),
        "the spool of events is 90% full; beyond that, the oldest records are lost",
    ),
    AlertCase(
        "PdnsDomainsMissed", "20m", *_few("pdns_blocked_domains_missed_total"),
        summary="blocked names came too fast to be recorded: counts of distinct domains are too low",
    ),
    AlertCase(
        "PdnsSeriesDropped", "5m", {"pdns_metrics_series_dropped_total": "1x9"}, ({"pdns_metrics_series_dropped_total": "0x9"},),
        "too many series; some counts are missing",
    ),
    AlertCase(
        "PdnsLogNotRead", "20m", *_few("pdns_log_lines_dropped_total", 'process="worker"'),
        summary="worker dropped log lines: nothing reads them in time", labels={"process": "worker"},
    ),
    AlertCase(
        "PdnsConfigRefused", "8m", {"pdns_config_last_reload_successful": "1 0x9"},
        ({"pdns_config_last_reload_successful": "1 0 0 1x9"},), "the configuration on disk is not used; `pdns check` says why",
    ),
    *CERTIFICATES,
    AlertCase(
        "PdnsDamagedFiles", "5m", {"pdns_damaged_files": "2x9"}, ({"pdns_damaged_files": "0x9"},),
        "2 damaged files in the state directory; /readyz names them",
    ),
    AlertCase(
        "PdnsFewDescriptorsLeft", "20m",
        {'pdns_process_open_fds{process="worker0"}': "90x30", 'pdns_process_max_fds{process="worker0"}': "100x30"},
        ({'pdns_process_open_fds{process="worker0"}': "70x30", 'pdns_process_max_fds{process="worker0"}': "100x30"},
         {'pdns_process_open_fds{process="worker0"}': "70x30", 'pdns_process_max_fds{process="worker0"}': "0x30"}),
        "worker0 has 90% of its file descriptors open", {"process": "worker0"},
    ),
    AlertCase(
        "PdnsMemoryGrows", "27h", {'pdns_process_resident_memory_bytes{process="worker0"}': "1e9x144 3e9x100"},
        ({'pdns_process_resident_memory_bytes{process="worker0"}': "2e9x144 3e9x100"},
         {'pdns_process_resident_memory_bytes{process="worker0"}': "1e7x144 9e7x100"}),
        "worker0 uses 2.794GiB, more than twice as much as a day ago", {"process": "worker0"}, slow=True,
    ),
    AlertCase(
        "PdnsHttpFull", "20m", *_few("pdns_http_connections_dropped_total", 'server="metrics"'),
        summary="HTTP server metrics closed connections because there were too many", labels={"server": "metrics"},
    ),
)  # fmt: skip

CASES: Final = (*SERVICE, *PROTECTION, *PEOPLE, *FLEET, *NUMBERS, *CAPACITY)
