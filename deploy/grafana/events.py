"""Events one by one, from ClickHouse: which names, which machines, what is new, and whether the numbers add up."""

from __future__ import annotations

from deploy.grafana.parts import Board
from deploy.grafana.sql import CLICKHOUSE, sql_bars, sql_graph, sql_stat, sql_table

EVENTS, FINDINGS, HOURS = "pdns_events FINAL", "pdns_findings FINAL", "pdns_hours FINAL"
OF_TENANT = "$__conditionalAll(tenant IN (${tenant:singlequote}), $tenant)"
OF_FEED = "$__conditionalAll(feed IN (${feed:singlequote}), $feed)"
SHOWN = f"$__timeFilter(time) AND {OF_TENANT} AND {OF_FEED} AND position(qname, ${{name:singlequote}}) > 0"
BLOCKED = f"kind = 'blocked' AND {SHOWN}"
MACHINES = "uniqExactIf((tenant, client), client != '')"


def board() -> Board:
    made = Board("pdns-events", "pdns: events", "Which names were blocked, for whom, and what is new.", since="now-7d")
    made.sources("grafana-clickhouse-datasource", "pdns-clickhouse", "clickhouse")
    made.selection("tenant", "Tenant", "SELECT DISTINCT tenant FROM pdns_events ORDER BY tenant", source=CLICKHOUSE)
    made.selection("feed", "Feed", "SELECT DISTINCT feed FROM pdns_events ORDER BY feed", source=CLICKHOUSE)
    made.text_box("name", "Part of the name")
    _numbers(made)
    made.row("Names")
    _names(made)
    made.row("Machines and findings")
    _machines(made)
    made.row("Do the numbers add up?")
    _accounts(made)
    return made


def _numbers(made: Board) -> None:
    made.sql(
        sql_stat(f"SELECT sum(queries) AS queries FROM {HOURS} WHERE tenant != '*' AND $__timeFilter(start_time) AND {OF_TENANT}"),
        "DNS queries", "Well-formed queries of the chosen tenants in the chosen time. Whole hours; the last one arrives at its end.",
        "locale", 6, 5,
    )  # fmt: skip
    made.sql(
        sql_stat(f"SELECT sum(n) AS blocked FROM {EVENTS} WHERE {BLOCKED}"),
        "Blocked queries", "Queries that were blocked; repeats are counted.", "locale", 6, 5,
    )  # fmt: skip
    made.sql(
        sql_stat(f"SELECT uniqExact(listed) AS domains FROM {EVENTS} WHERE {BLOCKED}"),
        "Distinct malicious domains", "Different listed names, exact over all nodes and tenants.", "locale", 6, 5,
    )  # fmt: skip
    made.sql(
        sql_stat(f"SELECT {MACHINES} AS machines FROM {EVENTS} WHERE {BLOCKED}"),
        "Machines", 'Different clients with blocked queries. 0 while `events.clients` is "none": then events say nothing of clients.',
        "locale", 6, 5,
    )  # fmt: skip
    made.sql(
        sql_graph(
            "SELECT $__timeInterval(time) AS at, sumIf(n, kind = 'blocked') AS blocked, sumIf(n, kind = 'monitored') AS monitored"
            f" FROM {EVENTS} WHERE {SHOWN} GROUP BY at ORDER BY at"
        ),
        "Blocked and monitored", "Queries over time. Blocks at regular distances, also at night, are a program and not a person.",
        "short", 24, 8,
    )  # fmt: skip


def _names(made: Board) -> None:
    made.sql(
        sql_table(
            f"SELECT listed AS name, sum(n) AS queries, {MACHINES} AS machines, uniqExact(tenant) AS tenants, any(feed) AS `a feed`,"
            f" any(category) AS `its category`, max(threat) AS threat, min(time) AS first, max(last_time) AS last FROM {EVENTS}"
            f" WHERE {BLOCKED} GROUP BY listed ORDER BY queries DESC, listed LIMIT 50"
        ),
        "Names",
        "The 50 listed names with most blocked queries. A name that many machines of many tenants ask for is mostly advertising, or a mistake:"
        " `pdns explain NAME`. One machine with many queries is to be looked at.",
        "locale", 24, 10,
    )  # fmt: skip
    made.sql(
        sql_table(
            f"SELECT listed AS name, min(time) AS first, sum(n) AS queries, uniqExact(tenant) AS tenants, any(feed) AS `a feed`, max(threat) AS threat"
            f" FROM {EVENTS} WHERE {BLOCKED} AND listed NOT IN (SELECT listed FROM pdns_events WHERE kind = 'blocked'"
            f" AND time < $__fromTime AND {OF_TENANT}) GROUP BY listed ORDER BY queries DESC, listed LIMIT 50"
        ),
        "New names",
        "Names that were never blocked before the chosen time. Start with those that have a threat. They are also all names if the chosen time"
        " goes back to the first event.",
        "locale", 12, 9,
    )  # fmt: skip
    made.sql(
        sql_table(
            f"SELECT listed AS name, uniqExact(tenant) AS tenants, min(time) AS first, sum(n) AS queries, any(feed) AS `a feed` FROM {EVENTS}"
            f" WHERE kind = 'blocked' AND $__timeFilter(time) AND {OF_FEED} GROUP BY listed HAVING tenants >= 3 ORDER BY tenants DESC, queries DESC LIMIT 50"
        ),
        "Names that several tenants met",
        "Names blocked for three tenants or more, of all tenants. New ones among them are campaigns: warn the other tenants.",
        "locale", 12, 9,
    )  # fmt: skip
    for column, title, text in (
        ("feed", "Feeds", "Blocked queries by the feed that decided."),
        ("category", "Categories", "Blocked queries by the category of the feed."),
        ("threat", "Threats", "Blocked queries by the threat that the feed names. Look for the machines of each below."),
        ("tenant", "Tenants", "Blocked queries by tenant."),
    ):
        made.sql(
            sql_bars(
                f"SELECT if({column} = '', '-', {column}) AS name, sum(n) AS queries FROM {EVENTS} WHERE {BLOCKED}"
                " GROUP BY name ORDER BY queries DESC, name LIMIT 12"
            ),
            title, text, "locale", 6, 8,
        )  # fmt: skip


def _machines(made: Board) -> None:
    made.sql(
        sql_table(
            "SELECT tenant, client, threat, category, sum(n) AS queries, uniqExact(listed) AS names,"
            " topK(3)(listed) AS examples, uniqExact(toStartOfHour(time)) AS hours, min(time) AS first, max(last_time) AS last"
            f" FROM {EVENTS} WHERE {BLOCKED} AND client != '' GROUP BY tenant, client, threat, category"
            " ORDER BY threat = '', queries DESC, tenant, client LIMIT 100"
        ),
        "Machines to look at",
        "Clients and threats, those with a named threat first. `hours`: in how many hours it asked; many hours with few names are a program that"
        ' calls home. `pdns report` has the period of each. Empty while `events.clients` is "none".',
        "locale", 24, 10,
    )  # fmt: skip
    made.sql(
        sql_table(
            "SELECT time, kind, tenant, subject, client, round(score, 2) AS score, n, text"
            f" FROM {FINDINGS} WHERE $__timeFilter(time) AND {OF_TENANT} ORDER BY time DESC LIMIT 100"
        ),
        "Findings",
        "What deserves a look beyond the lists: tunnels, other resolvers, names listed after they were asked for. Findings never block.",
        "short", 24, 8,
    )  # fmt: skip
    made.sql(
        sql_table(
            "SELECT time, kind, tenant, client, qname, listed, feed, category, threat, action, n, node, case_reference AS reference"
            f" FROM {EVENTS} WHERE {SHOWN} ORDER BY time DESC, id LIMIT 200"
        ),
        "Latest events",
        "The latest 200. `n`: queries; repeats within a minute are one event. `pdns explain REFERENCE` shows the rule and the answer.",
        "short", 24, 12,
    )  # fmt: skip


def _accounts(made: Board) -> None:
    made.sql(
        sql_graph(
            "SELECT $__timeInterval(start_time) AS at, sum(lost) AS lost, sum(unaccounted) AS unaccounted"
            f" FROM {HOURS} WHERE tenant = '*' AND $__timeFilter(start_time) GROUP BY at ORDER BY at"
        ),
        "Lost and unaccounted",
        "Queries whose events were lost, and queries without an explanation, by hour. Both should be 0; PdnsEventsUnaccounted and"
        " PdnsEventsLost in docs/runbook.md.",
        "short", 10, 9,
    )  # fmt: skip
    made.sql(
        sql_table(
            "SELECT start_time AS hour, node, blocked, monitored, events, merged, lost, unaccounted,"
            " blocked + monitored - events - merged - lost - unaccounted AS difference"
            f" FROM {HOURS} WHERE tenant = '*' AND $__timeFilter(start_time) ORDER BY hour DESC, node LIMIT 200"
        ),
        "Hours",
        "Of all tenants: blocked + monitored = events + merged + lost + unaccounted. `difference` is 0, or a bug.",
        "locale", 14, 9,
    )  # fmt: skip
