"""Feeds and their quality: which are in force, how old, what each is worth; the blockset and published zones."""

from __future__ import annotations

from deploy.grafana.overview import FEED_PROBLEMS
from deploy.grafana.parts import BAD, GOOD, NODE, OK_AT_ZERO, WARN, Board, ratio, top

FEED = f'feed=~"$feed", {NODE}'


def board() -> Board:
    made = Board(
        "pdns-feeds", "pdns: feeds", "Which lists are in force, how old they are, and what each is worth.", since="now-7d"
    )
    made.sources()
    made.nodes()
    made.selection("feed", "Feed", "label_values(pdns_feed_loaded, feed)")
    made.changes()
    _numbers(made)
    made.row("Feeds")
    _table(made)
    _hits(made)
    made.row("Refresh")
    _refresh(made)
    made.row("From report to block")
    _block_times(made)
    made.row("Blockset")
    _blockset(made)
    made.row("Published zones")
    _published(made)
    return made


def _numbers(made: Board) -> None:
    for title, text, metric, steps in (
        ("Not loaded", "Feeds of which no name is blocked. `pdns feeds status` has the error; `pdns feeds update` tries again now.",
         "pdns_feed_loaded", ((None, GOOD), (1, BAD))),
        ("Expired", "Feeds whose source failed for longer than `expire_after_s`: their names are no longer blocked.",
         "pdns_feed_expired", ((None, GOOD), (1, BAD))),
        ("Lost", "Feeds whose files are lost; their names come from the blockset alone.", "pdns_feed_lost", ((None, GOOD), (1, WARN))),
        ("Switched off", "Feeds that an administrator has switched off. `pdns feeds enable FEED` ends that.",
         "pdns_feed_disabled", ((None, GOOD), (1, WARN))),
    ):  # fmt: skip
        value = f"1 - {metric}" if metric == "pdns_feed_loaded" else metric
        made.stat(title, text, f"sum({value}{{{FEED}}})", steps=steps)
    made.stat(
        "Held updates",
        "Updates that wait for an administrator. `pdns feeds held` shows examples; `pdns feeds release` or `pdns feeds drop` decides.",
        f"sum(pdns_feed_update_held_seconds{{{FEED}}} > bool 0)", steps=((None, GOOD), (1, WARN)),
    )  # fmt: skip
    made.stat(
        "Feeds with a problem",
        "All of these together; a feed counts once on each node.",
        f"count({FEED_PROBLEMS}) or on () vector(0)", steps=OK_AT_ZERO,
    )  # fmt: skip
    made.stat(
        "Listed names",
        "Names in the blockset in use, of the node with the fewest.",
        f"min(pdns_blockset_entries{{{NODE}}})",
        unit="locale",
        trend=True,
    )
    made.stat(
        "Entries of administrators",
        "Names that administrators block or allow here. Review them once a quarter: `pdns indicators list`.",
        f"max(sum by (instance) (pdns_local_indicators{{{NODE}}}))",
    )  # fmt: skip


def _table(made: Board) -> None:
    def worst(metric: str) -> str:
        return f"max by (feed) ({metric}{{{FEED}}})"

    made.table(
        "Feeds",
        "One row for each feed; with several nodes, the largest value of one node, and hits of all. `only here`: hits that no other feed"
        " lists. A feed without hits and with few unique names is a candidate to be removed; one with refused or held names needs a look.",
        "feed",
        {
            "names": worst("pdns_feed_entries"),
            "unique": worst("pdns_feed_unique_entries"),
            "addresses": worst("pdns_feed_addresses"),
            "hits": f"sum by (feed) (increase(pdns_feed_hits_total{{{FEED}}}[$__range]))",
            "only here": f"sum by (feed) (increase(pdns_feed_only_hits_total{{{FEED}}}[$__range]))",
            "age": f"max by (feed) (time() - (pdns_feed_last_success_timestamp_seconds{{{FEED}}} > 0))",
            "unchanged for": f"max by (feed) (time() - (pdns_feed_last_change_timestamp_seconds{{{FEED}}} > 0))",
            "held": worst("pdns_feed_held"),
            "refused": worst("pdns_feed_refused_names"),
            "skipped lines": f"max by (feed) (sum by (feed, instance) (pdns_feed_odd_lines{{{FEED}}})) or 0 * {worst('pdns_feed_entries')}",
        },
        units={"age": "s", "unchanged for": "s"}, sort="hits", height=12,
        link="/d/pdns-feeds?var-feed=${__value.text}&${node:queryparam}&${__url_time_range}",
    )  # fmt: skip


def _hits(made: Board) -> None:
    made.graph(
        "Hits",
        "Queries per second for names that the feed lists, blocked or not; the ten feeds with most. A sudden step is an infection or a mistake of the publisher.",
        (top("feed", "pdns_feed_hits_total", FEED), "{{feed}}"), unit="qps",
    )  # fmt: skip
    made.bars(
        "Hits that only this feed has",
        "Queries in the chosen time that would have been answered without the feed: what the feed is worth.",
        f"topk(12, sum by (feed) (increase(pdns_feed_only_hits_total{{{FEED}}}[$__range])))", "{{feed}}",
    )  # fmt: skip
    made.bars(
        "Share of names that are unique",
        "Names of the feed that no other feed lists; the 12 lowest. Near 0: other feeds cover it.",
        f"bottomk(12, max by (feed) ({ratio(f'pdns_feed_unique_entries{{{FEED}}}', f'pdns_feed_entries{{{FEED}}}')}))", "{{feed}}",
        unit="percentunit",
    )  # fmt: skip
    made.graph(
        "Names",
        "Names of each feed; the twelve largest. A step down by half raises PdnsFeedShrank; a step up is held by the limits of updates.",
        (f"max by (feed) (pdns_feed_entries{{{FEED}}}) and on (feed) topk(12, max by (feed) (pdns_feed_entries{{{FEED}}} @ end()))", "{{feed}}"),
    )  # fmt: skip


def _refresh(made: Board) -> None:
    made.graph(
        "Results of refreshes",
        "Attempts within an hour. `error` and `signature` for more than a day make a feed stale; `held` waits for an administrator.",
        (f"sum by (result) (increase(pdns_feed_refresh_total{{{FEED}}}[1h]))", "{{result}}"), stacked=True,
    )  # fmt: skip
    made.bars(
        "Feeds that fail",
        "Refreshes in the chosen time that failed or were refused; the ten feeds with most.",
        f'topk(10, sum by (feed) (increase(pdns_feed_refresh_total{{result=~"error|signature|outdated|held", {FEED}}}[$__range])))', "{{feed}}",
        steps=((None, GOOD), (1, WARN)),
    )  # fmt: skip
    made.bars(
        "Skipped lines",
        "Lines that could not be used, by reason. `pdns feeds status` has examples. Many new ones: the publisher has changed the format.",
        f"topk(10, sum by (reason) (pdns_feed_odd_lines{{{FEED}}})) or on () vector(0)", "{{reason}}",
    )  # fmt: skip
    made.graph(
        "Refused notifications",
        "NOTIFY messages within an hour that were refused, by reason. Anything but 0 is a wrong secondary configuration, or a forgery.",
        (f"sum by (reason) (increase(pdns_notify_refused_total{{{NODE}}}[1h]))", "{{reason}}"),
    )  # fmt: skip


def _block_times(made: Board) -> None:
    buckets = f"sum by (le) (increase(pdns_indicator_to_block_seconds_bucket{{{FEED}}}[1h]))"
    made.graph(
        "Time until new names are blocked",
        "From when the fetcher first saw an update until every worker blocks its names, of updates within an hour. The promise is a minute.",
        (f"histogram_quantile(0.5, {buckets})", "median"), (f"histogram_quantile(0.99, {buckets})", "99 of 100"),
        unit="s", steps=((None, GOOD), (60, BAD)), line=True, log=True,
    )  # fmt: skip
    in_time = f'increase(pdns_indicator_to_block_seconds_bucket{{le="60.0", {FEED}}}[$__range])'
    every = f'increase(pdns_indicator_to_block_seconds_bucket{{le="+Inf", {FEED}}}[$__range])'
    made.bars(
        "Updates later than a minute",
        "Updates in the chosen time that took longer, by feed. See PdnsBlockLate in the runbook.",
        f"topk(10, sum by (feed) ({every}) - sum by (feed) ({in_time}))", "{{feed}}", steps=((None, GOOD), (1, WARN)),
    )  # fmt: skip


def _blockset(made: Board) -> None:
    made.graph(
        "Listed names in use",
        "Names in the blockset of each node. Nodes with the same feeds have the same number.",
        (f"pdns_blockset_entries{{{NODE}}}", "{{instance}}"), span=8,
    )  # fmt: skip
    made.graph(
        "New blocksets",
        "Blocksets taken up within an hour. 0 for a day: no feed has changed, or the feeds process is stuck.",
        (f"changes(pdns_blockset_generation{{{NODE}}}[1h])", "{{instance}}"), span=8,
    )  # fmt: skip
    made.graph(
        "Time to compile",
        "Duration of the last compile. It grows with the number of names; it costs no answer.",
        (f"max by (instance) (pdns_blockset_build_seconds{{{NODE}}})", "{{instance}}"), unit="s", span=8,
    )  # fmt: skip


def _published(made: Board) -> None:
    made.bars(
        "Names in published zones",
        "Entries of the twelve largest zones. 0 beside other zones with names: nothing is published; see PdnsPublishFailing in the runbook.",
        f"topk(12, max by (zone) (pdns_publish_names{{{NODE}}})) or on () vector(0)", "{{zone}}", span=8,
    )  # fmt: skip
    made.graph(
        "Transfers",
        "Answers to AXFR and IXFR within an hour. Mostly `whole` instead of `steps`: secondaries are too far behind.",
        (f"sum by (kind, result) (increase(pdns_publish_transfers_total{{{NODE}}}[1h])) or on () vector(0)", "{{kind}} {{result}}"), span=8,
    )  # fmt: skip
    made.graph(
        "Notifications and refusals",
        "Within an hour. `unanswered`: a secondary is away and will be late. Refusals: a stranger asks, or a key is wrong.",
        (f"sum by (result) (increase(pdns_publish_notify_total{{{NODE}}}[1h])) or on () vector(0)", "notify {{result}}"),
        (f"sum by (reason) (increase(pdns_publish_refused_total{{{NODE}}}[1h])) or on () vector(0)", "refused: {{reason}}"), span=8,
    )  # fmt: skip
