"""One tenant: what its security team is shown."""

from __future__ import annotations

from deploy.grafana.overview import BLOCKED, MONITORED, QUERIES, RATE, rate
from deploy.grafana.parts import BAD, GOOD, NODE, OK_AT_ZERO, WARN, Board, ratio, top

TENANT = f'tenant="$tenant", {NODE}'


def board() -> Board:
    made = Board("pdns-tenant", "pdns: one tenant", "Traffic, blocks and findings of one tenant.", since="now-7d")
    made.sources()
    made.nodes()
    made.selection("tenant", "Tenant", "label_values(pdns_queries_total, tenant)", several=False)
    made.changes()
    _numbers(made)
    made.row("Traffic")
    _traffic(made)
    made.row("Blocks")
    _blocks(made)
    made.row("To look at")
    _findings(made)
    return made


def _numbers(made: Board) -> None:
    made.stat(
        "DNS queries, last 7 days",
        "Well-formed queries of the tenant's clients. 0: its clients use another resolver, or their network is not in the configuration.",
        f"sum(increase({QUERIES}{{{TENANT}}}[7d]))", span=8, height=5, unit="locale", decimals=0,
    )  # fmt: skip
    made.stat(
        "Blocked queries, last 7 days",
        "Queries that were blocked for this tenant.",
        f"sum(increase({BLOCKED}{{{TENANT}}}[7d]))", span=8, height=5, unit="locale", decimals=0, steps=((None, WARN),),
    )  # fmt: skip
    made.stat(
        "Distinct malicious domains, last 7 days",
        "Different listed names that the tenant's clients asked for. With several nodes: the largest number of one node.",
        f'max(pdns_blocked_domains{{window="7d", {TENANT}}})', span=8, height=5, unit="locale", decimals=0, steps=((None, BAD),),
    )  # fmt: skip
    for window in ("1h", "24h"):
        made.stat(
            f"Distinct malicious domains, {window}",
            "Different listed names in a shorter time. Many new names within an hour are typical of malware that generates names.",
            f'max(pdns_blocked_domains{{window="{window}", {TENANT}}})', span=6,
        )  # fmt: skip
    made.stat(
        "Blocked share",
        "Blocked queries, of all queries of the tenant. Above 10 %: one machine asks again and again, or a list is wrong.",
        ratio(rate(BLOCKED, TENANT), rate(QUERIES, TENANT)), unit="percentunit", decimals=2, trend=True, span=6,
        steps=((None, GOOD), (0.1, WARN)),
    )  # fmt: skip
    made.stat(
        "SERVFAIL share",
        "Answers to this tenant that are SERVFAIL. If other tenants have few, look at the zones that only this tenant asks for.",
        ratio(rate("pdns_responses_total", f'rcode="SERVFAIL", {TENANT}'), rate("pdns_responses_total", TENANT)),
        unit="percentunit", decimals=2, trend=True, span=6, steps=((None, GOOD), (0.01, WARN), (0.05, BAD)),
    )  # fmt: skip


def _traffic(made: Board) -> None:
    made.graph(
        "Queries",
        "Queries per second. A fall on a working day means that clients have stopped to use this resolver.",
        (rate(QUERIES, TENANT), "all"), (rate(BLOCKED, TENANT), "blocked"), (rate(MONITORED, TENANT), "monitored"), unit="qps",
    )  # fmt: skip
    made.graph(
        "Types of queries",
        "Queries per second by type. Much `TXT` or `other` is unusual, and typical of tunnels through DNS.",
        (f"sum by (qtype) (rate(pdns_queries_total{{{TENANT}}}[{RATE}]))", "{{qtype}}"), unit="qps", stacked=True,
    )  # fmt: skip
    made.graph(
        "Answers by source",
        "Where the tenant's answers come from. `refused`: a client asks for what it may not ask for.",
        (f"sum by (source) (rate(pdns_responses_total{{{TENANT}}}[{RATE}]))", "{{source}}"), unit="qps", stacked=True,
    )  # fmt: skip
    made.graph(
        "Answers by response code",
        "Much NXDOMAIN from one tenant is typical of a wrong search list, or of malware that generates names.",
        (f"sum by (rcode) (rate(pdns_responses_total{{{TENANT}}}[{RATE}]))", "{{rcode}}"), unit="qps", stacked=True,
    )  # fmt: skip


def _blocks(made: Board) -> None:
    made.graph(
        "Blocked by feed",
        "Blocked queries per second, the ten feeds that block most in the chosen time. A regular pattern is a machine that calls home.",
        (top("feed", "pdns_blocked_total", TENANT), "{{feed}}"), unit="qps", stacked=True,
    )  # fmt: skip
    made.bars(
        "Blocked by category",
        "Blocked queries in the chosen time.",
        f"topk(10, sum by (category) (increase(pdns_blocked_total{{{TENANT}}}[$__range])))", "{{category}}", span=6,
    )  # fmt: skip
    made.bars(
        "What clients were answered",
        "Blocked queries in the chosen time by action: `sinkhole` leads browsers to the block page.",
        f"topk(10, sum by (action) (increase(pdns_blocked_total{{{TENANT}}}[$__range])))", "{{action}}", span=6,
    )  # fmt: skip
    made.bars(
        "Monitored feeds",
        "Queries in the chosen time that a feed in monitor mode would have blocked. A feed with few mistakes here can be set to block.",
        f"topk(10, sum by (feed) (increase(pdns_would_block_total{{{TENANT}}}[$__range])))", "{{feed}}",
    )  # fmt: skip
    made.bars(
        "Visits of the block page",
        "Requests of browsers and other programs at the sinkhole address in the chosen time. Each one is somebody, or a program, that went on"
        " to use a blocked name.",
        f'topk(10, sum by (feed) (increase(pdns_sinkhole_visits_total{{feed!="none", {TENANT}}}[$__range])))', "{{feed}}",
    )  # fmt: skip


def _findings(made: Board) -> None:
    made.stat(
        "Findings, chosen time",
        "Tunnels, bypassed resolvers, names listed after they were asked for. docs/findings.md explains each kind; the dashboard of events"
        " shows them one by one.",
        f"sum(increase(pdns_findings_total{{{TENANT}}}[$__range])) or on () vector(0)", span=6, height=8, decimals=0, steps=OK_AT_ZERO,
        link="/d/pdns-events?var-tenant=$tenant&${__url_time_range}",
    )  # fmt: skip
    made.graph(
        "Findings by kind",
        "Findings within an hour. `tunnel` and `bypass` should be looked at on the same day.",
        (f"sum by (kind) (increase(pdns_findings_total{{{TENANT}}}[1h])) or on () vector(0)", "{{kind}}"), span=18,
    )  # fmt: skip
