"""HTML of the status page: a frame, and the parts that change. The same parts go into the page and into its events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pdns.supervisor.http.status_chart import chart
from pdns.supervisor.http.status_tables import TABLES, all_rows, escape, table_of
from pdns.telemetry.live_status import LiveStatus
from pdns.telemetry.live_text import NOTHING, clock, lasting, latency, percent, rate, size

REFRESH_S: Final = 10


_COLUMNS: Final = (("answers", "processes"), ("upstreams", "feeds"), ("tenants", "sinks"))


def parts(status: LiveStatus) -> dict[str, str]:
    """The contents of each element that changes, by its id."""
    return {
        "title": f"{'' if not status.not_ready else 'NOT READY: '}{escape(status.node)}: pdns",
        "state": _state(status),
        "notes": _notes(status),
        "numbers": _numbers(status),
        "charts": _charts(status),
        **all_rows(status),
    }


def page(status: LiveStatus, style: str, script: str) -> str:
    """The whole page; `style` and `script` are the paths of these."""
    now = parts(status)
    tables = {table.part: table_of(table, now[table.part]) for table in TABLES if table.part in now}
    private = "" if status.names_shown else (
        '<section class="card"><h2>Blocked names and tenants</h2><p>They are shown on the machine of the server only, also'
        ' through an SSH tunnel, unless <code>metrics.status_page</code> says otherwise.</p></section>'
    )  # fmt: skip
    columns = "".join(f"<div>{''.join(tables.get(part, '') for part in column)}</div>" for column in _COLUMNS)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        '<meta name="color-scheme" content="light dark">'
        f'<noscript><meta http-equiv="refresh" content="{REFRESH_S}"></noscript>'
        f'<title id="title">{now["title"]}</title><link rel="stylesheet" href="{style}"><link rel="icon" href="data:,">'
        f'<script src="{script}" defer></script></head><body><header><h1>pdns <span>{escape(status.node)}</span></h1>'
        f'<div id="state">{now["state"]}</div><p id="connection" role="status"></p>'
        '<button id="pause" type="button" hidden>Pause</button></header>'
        f'<main><div id="notes">{now["notes"]}</div><section class="numbers" aria-label="Totals and rates" id="numbers">'
        f'{now["numbers"]}</section>'
        f'<section class="charts" aria-label="The last minutes" id="charts">{now["charts"]}</section>'
        f'<div class="lower">{tables.get("recent", private)}<div class="columns">{columns}</div></div></main>'
        f'<footer><p>Read only. <noscript>Without scripts this page is loaded again every {REFRESH_S} seconds. </noscript>'
        f'Version {escape(status.version)}{f", commit {escape(status.commit)}" if status.commit else ""}, configuration '
        f'{escape(status.config_sha256[:12])}. <a href="/metrics">/metrics</a> <a href="/status.json">/status.json</a> '
        '<a href="/healthz">/healthz</a> <a href="/readyz">/readyz</a></p></footer></body></html>\n'
    )  # fmt: skip


def _state(status: LiveStatus) -> str:
    badge = '<span class="badge bad">not ready</span>' if status.not_ready else '<span class="badge good">ready</span>'
    since = lasting(status.time_s - status.totals.since_s)
    blockset = f"blockset {status.generation}: {status.entries:,} names" if status.generation else "no blockset"
    said = (f"up {since}", blockset, clock(status.time_s))
    return badge + "".join(f' <span class="soft">{text}</span>' for text in said)


def _notes(status: LiveStatus) -> str:
    lines = [("bad", line) for line in status.not_ready] + [("warn", line) for line in status.remarks]
    if not status.reload_successful:
        lines.append(("warn", "the configuration file has errors: the previous configuration is live"))
    if not lines:
        return ""
    items = "".join(f'<li class="{kind}">{escape(line)}</li>' for kind, line in lines)
    return f'<ul class="notes">{items}</ul>'


def _numbers(status: LiveStatus) -> str:
    totals, second, minute = status.totals, status.second, status.minute
    share = percent(totals.blocked / totals.queries) if totals.queries else NOTHING
    tiles = (
        ("big", "Queries", f"{totals.queries:,}", f"in {lasting(status.time_s - totals.since_s)}"),
        ("big block", "Blocked", f"{totals.blocked:,}", f"{share} of queries"),
        ("big block", "Listed names", f"{totals.domains_24h:,}", f"asked for in 24 h; {totals.domains_7d:,} in 7 d"),
        ("", "Queries/s", rate(second.queries), f"{rate(minute.queries)} over 1 min"),
        ("block", "Blocked/s", rate(second.blocked), f"{rate(minute.blocked)} over 1 min"),
        ("", "Median", latency(status.p50_s), f"p99 {latency(status.p99_s)}"),
        ("", "From cache", percent(status.cache.hit_share), f"{size(status.cache.bytes)} cached"),
        ("bad" if minute.servfail >= 1 else "", "SERVFAIL/s", rate(minute.servfail), f"dropped {rate(minute.dropped)}/s"),
    )
    return "".join(
        f'<div class="tile {kind}"><p class="label">{title}</p><p class="value">{value}</p><p class="soft">{note}</p></div>'
        for kind, title, value, note in tiles
    )


def _charts(status: LiveStatus) -> str:
    history, now_s = status.history, status.time_s
    return chart(history, now_s, lambda point: point.queries, "all", "Queries per second") + chart(
        history, now_s, lambda point: point.blocked, "block", "Blocked per second"
    )


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """The parts that are not as they were."""
    return {part: html for part, html in now.items() if before.get(part) != html}
