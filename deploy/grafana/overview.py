"""The service at a glance: the three numbers first, then what an operator looks at each morning."""

from __future__ import annotations

from deploy.grafana.parts import BAD, GOOD, NEUTRAL, NODE, OK_AT_ZERO, WARN, Board, ratio, top

QUERIES = "instance_tenant:pdns_queries_total:sum"
BLOCKED = "instance_tenant:pdns_blocked_total:sum"
MONITORED = "instance_tenant:pdns_would_block_total:sum"
RATE = "$__rate_interval"
FEED_PROBLEMS = " or ".join(
    (
        f"(pdns_feed_loaded{{{NODE}}} == 0)",
        f"(pdns_feed_expired{{{NODE}}} == 1)",
        f"(pdns_feed_lost{{{NODE}}} == 1)",
        f"(pdns_feed_disabled{{{NODE}}} == 1)",
        f"(pdns_feed_update_held_seconds{{{NODE}}} > 0)",
    )
)
TO_FEEDS = "/d/pdns-feeds?${node:queryparam}&${__url_time_range}"


def rate(metric: str, selector: str = NODE) -> str:
    return f"sum(rate({metric}{{{selector}}}[{RATE}]))"


def quantile(q: float, sources: str, selector: str = NODE) -> str:
    """A quantile of the time to answer, for answers from `sources`."""
    buckets = f'rate(pdns_query_duration_seconds_bucket{{source=~"{sources}", {selector}}}[{RATE}])'
    return f"histogram_quantile({q}, sum by (le) ({buckets}))"


def board() -> Board:
    made = Board("pdns-overview", "pdns: overview", "Is the service up, is it fast, and what does it block?")
    made.sources()
    made.nodes()
    made.changes()
    _numbers(made)
    _today(made)
    made.row("Traffic")
    _traffic(made)
    made.row("Protection")
    _protection(made)
    made.row("Tenants")
    _tenants(made)
    return made


def _numbers(made: Board) -> None:
    made.stat(
        "DNS queries, last 7 days",
        "Well-formed queries of all tenants. It should be about the same each week: a sudden fall means that clients use another"
        " resolver, or that a site is cut off.",
        f"sum(increase({QUERIES}{{{NODE}}}[7d]))", span=8, height=5, unit="locale", decimals=0,
    )  # fmt: skip
    made.stat(
        "Blocked queries, last 7 days",
        "Queries that were blocked because a feed or an administrator lists the name or address.",
        f"sum(increase({BLOCKED}{{{NODE}}}[7d]))", span=8, height=5, unit="locale", decimals=0, steps=((None, WARN),),
    )  # fmt: skip
    made.stat(
        "Distinct malicious domains, last 7 days",
        "Different listed names that clients asked for. With several nodes: the largest number of one node, a lower bound for all."
        " The dashboard of events has the exact number for all nodes.",
        f'max(pdns_blocked_domains_overall{{window="7d", {NODE}}})', span=8, height=5, unit="locale", decimals=0,
        steps=((None, BAD),),
    )  # fmt: skip


def _today(made: Board) -> None:
    made.stat(
        "Alerts",
        "Alerts that fire now. Open the list of alerts in Prometheus; docs/runbook.md says what to do about each.",
        f'count(ALERTS{{alertstate="firing", alertname=~"Pdns.*", {NODE}}}) or on () vector(0)', steps=OK_AT_ZERO,
    )  # fmt: skip
    made.stat(
        "Nodes not ready",
        "Nodes whose /readyz is not 200. Clients should not be sent to them. `curl http://NODE:9153/readyz` says why.",
        f"sum(1 - pdns_ready{{{NODE}}})", steps=OK_AT_ZERO,
    )  # fmt: skip
    made.stat(
        "Blocked share",
        "Blocked queries, of all queries. Usually below 2 %. A jump is an infected machine, or a feed that lists too much: see the"
        " top feeds below.",
        ratio(rate(BLOCKED), rate(QUERIES)), unit="percentunit", decimals=2, trend=True, steps=((None, GOOD), (0.1, WARN)),
    )  # fmt: skip
    made.stat(
        "SERVFAIL share",
        "Answers that are SERVFAIL. Above 5 % users notice: look at the upstreams in the dashboard of internals.",
        ratio(rate("instance_rcode:pdns_responses_total:sum", f'rcode="SERVFAIL", {NODE}'),
              rate("instance_rcode:pdns_responses_total:sum")),
        unit="percentunit", decimals=2, trend=True, steps=((None, GOOD), (0.01, WARN), (0.05, BAD)),
    )  # fmt: skip
    made.stat(
        "Lost queries",
        "Queries per second that got no answer, or an error, because this server was full or too slow. Normally 0.",
        f"sum(instance:pdns_dropped_total:lost_rate5m{{{NODE}}})", unit="qps", trend=True, steps=((None, GOOD), (0.1, WARN), (1, BAD)),
    )  # fmt: skip
    made.stat(
        "Time to answer, p99",
        "For answers that need no upstream: 99 of 100 are faster. Well below 1 ms on an idle machine; above 10 ms the cores are busy.",
        quantile(0.99, "cache|blocked|local"), unit="s", trend=True, steps=((None, GOOD), (0.005, WARN), (0.01, BAD)),
    )  # fmt: skip
    made.stat(
        "Feeds with a problem",
        "Feeds that are not loaded, expired, lost, held or switched off. `pdns feeds status` and `pdns feeds held` say why.",
        f"count({FEED_PROBLEMS}) or on () vector(0)", steps=((None, GOOD), (1, WARN)), link=TO_FEEDS,
    )  # fmt: skip
    made.stat(
        "Unaccounted, 24 h",
        "Blocked or monitored queries for which there is neither an event nor a counted loss. Anything but 0 means that the numbers"
        " below may be wrong by as much.",
        f"sum(increase(pdns_events_unaccounted_total{{{NODE}}}[24h])) or on () vector(0)", decimals=0, steps=OK_AT_ZERO,
    )  # fmt: skip


def _traffic(made: Board) -> None:
    made.graph(
        "Queries",
        "Queries per second. Look for a night that is as busy as the day, or a site that went silent.",
        (rate(QUERIES), "all"), (rate(BLOCKED), "blocked"), (rate(MONITORED), "monitored"), unit="qps",
    )  # fmt: skip
    made.graph(
        "Queries by node",
        "Queries per second of each node. Nodes behind one address should have about the same; a standby has none.",
        (f"sum by (instance) (rate({QUERIES}{{{NODE}}}[{RATE}]))", "{{instance}}"), unit="qps",
    )  # fmt: skip
    made.graph(
        "Time to answer",
        "Inside pdns, from receiving a query to sending its answer. Answers from upstreams depend on them; the others should stay below 1 ms.",
        (quantile(0.5, "cache|blocked|local"), "own, p50"), (quantile(0.99, "cache|blocked|local"), "own, p99"),
        (quantile(0.5, "upstream"), "upstream, p50"), (quantile(0.99, "upstream"), "upstream, p99"), unit="s", log=True,
    )  # fmt: skip
    made.graph(
        "Answers by source",
        "Where answers come from. More `stale` or `error` means that upstreams fail; less `cache` means that the cache is too small, or new.",
        (f"sum by (source) (rate(instance_source:pdns_responses_total:sum{{{NODE}}}[{RATE}]))", "{{source}}"),
        unit="qps", stacked=True,
    )  # fmt: skip
    made.graph(
        "Answers that are no success",
        "By response code. NXDOMAIN is normal; SERVFAIL is a failure of upstreams; REFUSED are clients that no network of the configuration allows.",
        (f'sum by (rcode) (rate(instance_rcode:pdns_responses_total:sum{{rcode!="NOERROR", {NODE}}}[{RATE}]))', "{{rcode}}"),
        unit="qps",
    )  # fmt: skip
    made.graph(
        "Dropped",
        "Packets, queries and connections without an answer, by the ten most frequent reasons. docs/metrics.md explains each reason.",
        (top("reason", "pdns_dropped_total", NODE), "{{reason}}"), unit="qps",
    )  # fmt: skip


def _protection(made: Board) -> None:
    made.graph(
        "Blocked by category",
        "Blocked queries per second. A step up of `malware` or `c2` that stays is a machine to look for: see the dashboard of events.",
        (top("category", "instance_category:pdns_blocked_total:sum", NODE), "{{category}}"), unit="qps", stacked=True,
    )  # fmt: skip
    made.bars(
        "Feeds that block most",
        "Blocked queries in the chosen time by the feed that decided. A feed that blocks far more than usual may list a popular name by mistake.",
        f"topk(10, sum by (feed) (increase(instance_feed:pdns_blocked_total:sum{{{NODE}}}[$__range])))", "{{feed}}",
        span=12, link="/d/pdns-feeds?var-feed=${__field.labels.feed}&${__url_time_range}",
    )  # fmt: skip
    made.bars(
        "Age of feeds",
        "Time since the source last gave a usable answer; the 12 oldest. Above a day the list is stale: `pdns feeds status` has the error.",
        f"topk(12, max by (feed) (time() - (pdns_feed_last_success_timestamp_seconds{{{NODE}}} > 0)))", "{{feed}}",
        unit="s", steps=((None, GOOD), (6 * 3600, NEUTRAL), (86400, WARN), (3 * 86400, BAD)),
        link="/d/pdns-feeds?var-feed=${__field.labels.feed}&${__url_time_range}",
    )  # fmt: skip
    made.states(
        "Ready",
        "Whether clients should be sent to a node. A gap in a line: Prometheus did not reach the node.",
        f"min by (instance) (pdns_ready{{{NODE}}})", "{{instance}}", {"1": ("ready", GOOD), "0": ("not ready", BAD)}, height=8,
    )  # fmt: skip


def _tenants(made: Board) -> None:
    over = "[$__range]))"
    queries, blocked = (
        f"sum by (tenant) (increase({QUERIES}{{{NODE}}}{over}",
        f"sum by (tenant) (increase({BLOCKED}{{{NODE}}}{over}",
    )
    made.table(
        "Tenants",
        "Counts of the chosen time; domains of the last 7 days, the largest number of one node. A tenant without queries uses another resolver;"
        " one with a high share has an infected machine or a wrong list. Follow a name to its dashboard.",
        "tenant",
        {
            "queries": queries,
            "blocked": blocked,
            "blocked share": ratio(blocked, queries),
            "monitored": f"sum by (tenant) (increase({MONITORED}{{{NODE}}}{over}",
            "domains, 7 d": f'max by (tenant) (pdns_blocked_domains{{window="7d", {NODE}}})',
        },
        units={"blocked share": "percentunit"}, sort="blocked", height=12,
        link="/d/pdns-tenant?var-tenant=${__value.text}&${node:queryparam}&${__url_time_range}",
    )  # fmt: skip
