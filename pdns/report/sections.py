"""The sections of a report: a heading, a sentence, a table. HTML and text are made of these, so that they say the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from pdns.report.advice import advice
from pdns.report.content import ALARMING, ReportContent
from pdns.report.policy_changes import PolicyChange
from pdns.report.promptness import sentence
from pdns.report.wording import (
    beacon,
    category,
    counted,
    day,
    is_known,
    length,
    number,
    percent,
    period,
    short_clock,
    shown,
    trend,
)

ColumnKind = Literal["text", "name", "number", "time"]


class ReportColumn(NamedTuple):
    """A column of a table. A `name` is a domain name or an address, which is not to be translated."""

    title: str
    kind: ColumnKind = "text"


class ReportSection(NamedTuple):
    """One idea. `sizes`: the length of a bar for each row, at most 1. `steps`: a numbered list."""

    key: str
    title: str
    lead: str = ""
    columns: tuple[ReportColumn, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    sizes: tuple[float, ...] = ()
    steps: tuple[str, ...] = ()
    note: str = ""
    half: bool = False  # two of these may stand beside each other


class HeadlineFigure(NamedTuple):
    """One of the headline numbers, and how it compares with the period before."""

    value: str
    label: str
    trend: str


def heading(content: ReportContent) -> str:
    """Whom and when the report is about, in one line."""
    return f"{shown(content.title)}, {period(content.start_s, content.end_s, content.time_zone)}"


def figures(content: ReportContent) -> tuple[HeadlineFigure, ...]:
    """The three headline numbers."""
    before, span = content.before, length(content.period.length_s)

    def compared(value: int, was: int | None) -> str:
        return trend(value, was, span, content.known_share_before)

    now = content.headline
    queries = HeadlineFigure(number(now.queries), "Queries", compared(now.queries, before.queries if before else None))
    if not content.known_share:
        queries = HeadlineFigure("-", "Queries", "not known: they are counted at the end of each hour")
    return (
        queries,
        HeadlineFigure(number(now.blocked), "Blocked attempts", compared(now.blocked, before.blocked if before else None)),
        HeadlineFigure(number(now.domains), "Malicious domains", compared(now.domains, before.domains if before else None)),
    )


def summary(content: ReportContent) -> str:
    """The report in two sentences."""
    now, whose = content.headline, "" if content.tenant else f" of {counted(content.headline.tenants, 'organisation')}"
    if not now.queries and not now.blocked:
        return "No queries are recorded in this period."
    if not now.blocked:
        return f"{counted(now.queries, 'query', 'queries')} were checked. None of them had to be blocked."
    share = ""
    if is_known(content.known_share) and now.queries >= now.blocked:  # queries of the running hour are not counted yet
        share = f": {percent(now.blocked / now.queries)} of {counted(now.queries, 'query', 'queries')}"
    return (
        f"{counted(now.blocked, 'attempt')}{whose if now.tenants > 1 else ''} to reach {counted(now.domains, 'malicious domain')}"
        f" {'was' if now.blocked == 1 else 'were'} blocked{share}."
    )


def sections(content: ReportContent) -> list[ReportSection]:
    """All sections that have something to say, in their order. The last says what to do next."""
    found = [
        _machines(content), *_tops(content), _first_seen(content), _shared(content), _findings(content), _feeds(content),
        _promptness(content), _availability(content), _changes(content), _method(content),
    ]  # fmt: skip
    steps = ReportSection("next", "What to do next", steps=tuple(advice(content)))
    return [*(section for section in found if section is not None), steps]


def _machines(content: ReportContent) -> ReportSection | None:
    zone, whose = content.time_zone, () if content.tenant else (ReportColumn("Organisation"),)
    rows = [
        (
            shown(one.client), *((_whose(content, one.tenant),) if whose else ()), shown(one.threat) or category(one.category),
            number(one.n), short_clock(one.first_s, zone), short_clock(one.last_s, zone),
            beacon(one.period_s, one.jitter) or "irregular", "stopped" if one.stopped_since_s is not None else "active",
        )
        for one in content.machines
    ]  # fmt: skip
    if not rows:
        alarming = any(row.key in ALARMING for row in content.top["category"])
        lead = "No machine can be named: the configuration keeps no client addresses (events.clients)."
        return ReportSection("machines", "Machines to look at", lead) if alarming else None
    regular = sum(one.period_s is not None for one in content.machines)
    lead = "These machines asked for malicious domains. The likely infected come first."
    if regular:
        them = "One of them asked" if regular == 1 else f"{regular} of them asked"
        lead = f"{lead} {them} at regular intervals, as malware does that calls home."
    columns = (
        ReportColumn("Machine", "name"), *whose, ReportColumn("Threat"), ReportColumn("Attempts", "number"),
        ReportColumn("First", "time"), ReportColumn("Last", "time"), ReportColumn("Rhythm"), ReportColumn("Now"),
    )  # fmt: skip
    return ReportSection("machines", "Machines to look at", lead, columns, tuple(rows))


_TOPS: Final = {
    "listed": ("Most blocked domains", "Domain", "name"),
    "threat": ("Threats", "Threat", "text"),
    "category": ("Kinds of threat", "Kind", "text"),
    "client": ("Machines with most blocked attempts", "Machine", "name"),
    "tenant": ("Organisations", "Organisation", "text"),
}
_PAIRS: Final = (("threat", "category"), ("client", "tenant"))  # beside each other


def _tops(content: ReportContent) -> Iterable[ReportSection]:
    halves = {by for pair in _PAIRS if all(content.top.get(one) for one in pair) for by in pair}
    for by, (title, column, kind) in _TOPS.items():
        rows = [row for row in content.top.get(by, ()) if row.key]
        if not rows:
            continue
        most = max(row.n for row in rows) or 1
        others = (ReportColumn("Organisations", "number"),) if by == "listed" and not content.tenant else ()
        domains = () if by == "listed" else (ReportColumn("Domains", "number"),)
        yield ReportSection(
            f"top-{by}", title, "",
            (ReportColumn(column, "name" if kind == "name" else "text"), ReportColumn("Attempts", "number"), *domains, *others),
            tuple(
                (
                    _key(content, by, row.key), number(row.n),
                    *((number(row.domains),) if domains else ()), *((number(row.tenants),) if others else ()),
                )
                for row in rows
            ),
            tuple(row.n / most for row in rows), half=by in halves,
        )  # fmt: skip


def _key(content: ReportContent, by: str, key: str) -> str:
    if by == "category":
        return category(key)
    return _whose(content, key) if by == "tenant" else shown(key)


def _whose(content: ReportContent, tenant: str) -> str:
    return shown(content.titles.get(tenant, tenant))


def _first_seen(content: ReportContent) -> ReportSection | None:
    if not content.first_seen:
        return None
    rows = tuple(
        (shown(one.listed), category(one.category), shown(one.feed), short_clock(one.first_s, content.time_zone), number(one.n))
        for one in content.first_seen
    )
    columns = (
        ReportColumn("Domain", "name"), ReportColumn("Kind"), ReportColumn("Feed"), ReportColumn("First", "time"),
        ReportColumn("Attempts", "number"),
    )  # fmt: skip
    return ReportSection("first-seen", "New in this period", "Domains that were never blocked here before.", columns, rows)


def _shared(content: ReportContent) -> ReportSection | None:
    if not content.shared:
        return None
    rows = tuple(
        (
            shown(one.listed),
            category(one.category),
            number(len(one.tenants)),
            short_clock(one.first_s, content.time_zone),
            number(one.n),
        )
        for one in content.shared
    )
    columns = (
        ReportColumn("Domain", "name"), ReportColumn("Kind"), ReportColumn("Organisations", "number"),
        ReportColumn("First", "time"), ReportColumn("Attempts", "number"),
    )  # fmt: skip
    lead = "Several organisations met these domains for the first time: this may be one campaign."
    return ReportSection("shared", "Met by several organisations", lead, columns, rows)


def _findings(content: ReportContent) -> ReportSection | None:
    if not content.findings:
        return None
    whose = () if content.tenant else (ReportColumn("Organisation"),)
    rows = tuple(
        (
            short_clock(one.time_s, content.time_zone), *((_whose(content, one.tenant),) if whose else ()), shown(one.subject),
            shown(one.text or one.kind),
        )
        for one in content.findings
    )  # fmt: skip
    lead = "Conspicuous queries that no list explains. They were not blocked."
    columns = (ReportColumn("Time", "time"), *whose, ReportColumn("Domain", "name"), ReportColumn("What was found"))
    return ReportSection("findings", "Findings", lead, columns, rows)


def _feeds(content: ReportContent) -> ReportSection | None:
    if not content.feeds:
        return None
    idle = sum(not feed.n for feed in content.feeds)
    lead = "What each list of threats contributed. Attempts that only one list knew show what would be missed without it."
    if idle and not content.tenant:
        lead += f" {counted(idle, 'list')} had no hit."
    most = max(feed.n for feed in content.feeds) or 1
    rows = tuple(
        (
            shown(feed.feed), category(feed.category), number(feed.n), number(feed.only), number(feed.domains),
            number(feed.entries),
            f"{length(max(0.0, content.made_s - feed.last_success_s))} ago" if feed.last_success_s else "never",
            feed.state or "removed",
        )
        for feed in content.feeds
    )  # fmt: skip
    columns = (
        ReportColumn("Feed"), ReportColumn("Kind"), ReportColumn("Attempts", "number"), ReportColumn("Only this feed", "number"),
        ReportColumn("Domains", "number"), ReportColumn("Entries", "number"), ReportColumn("Last answer", "time"),
        ReportColumn("State"),
    )  # fmt: skip
    return ReportSection("feeds", "What the feeds are worth", lead, columns, rows, tuple(feed.n / most for feed in content.feeds))


def _promptness(content: ReportContent) -> ReportSection | None:
    lead = sentence(content.promptness)
    return ReportSection("promptness", "How fast were new threats blocked?", lead) if lead else None


def _availability(content: ReportContent) -> ReportSection | None:
    said = content.availability
    if not said.queries or said.share is None:
        return None
    lead = f"{percent(said.share)} of {counted(said.queries, 'query', 'queries')} were answered without a failure."
    rows = [("Answered", number(said.answered)), ("of these with a failure (SERVFAIL)", number(said.servfail))]
    if not content.tenant:
        rows.append(("Not answered", number(said.dropped)))
    columns = (ReportColumn("Outcome"), ReportColumn("Queries", "number"))
    return ReportSection("availability", "Was the service available?", lead, columns, tuple(rows))


_COMMANDS: Final = {
    "block": "blocked", "allow": "allowed", "remove": "entry removed", "pause": "blocking paused", "resume": "blocking resumed",
    "hold": "feed frozen", "release": "update released", "drop": "update dropped", "disable": "feed disabled",
    "enable": "feed enabled", "set tenant": "tenant changed", "remove tenant": "tenant removed", "set policy": "policy changed",
    "remove policy": "policy removed", "reload": "configuration reloaded",
}  # fmt: skip


def _changes(content: ReportContent) -> ReportSection | None:
    rows = change_rows(content.policy.changes, content.time_zone)
    if not rows and not content.policy.problem:
        return None
    columns = (ReportColumn("Time", "time"), ReportColumn("Change"), ReportColumn("Of", "name"), ReportColumn("For"),
               ReportColumn("By"), ReportColumn("Reason"))  # fmt: skip
    lead = "Changes by administrators that had an effect on what is blocked."
    return ReportSection("changes", "What changed in policy", lead, columns, rows, note=content.policy.problem)


def change_rows(changes: Iterable[PolicyChange], zone: str) -> tuple[tuple[str, ...], ...]:
    """A row for each change: time, what, of what, for whom and how long, who, why."""
    return tuple(
        (
            short_clock(one.time_s, zone), _COMMANDS.get(one.command, shown(one.command)), shown(one.subject),
            " ".join(part for part in (
                shown(one.tenant) or "everyone", f"for {length(one.for_s)}" if one.for_s else "",
            ) if part),
            shown(one.user), shown(one.reason),
        )
        for one in changes
    )  # fmt: skip


def _method(content: ReportContent) -> ReportSection:
    parts = [
        "Blocked attempts and domains are counted exactly, from records of blocked queries. Queries are counted by the hour.",
        f"Counters of queries are recorded for {percent(content.known_share)} of the period.",
    ]
    if any(row.key in ("policy", "ads", "tracking", "new") for row in content.top["category"]):
        parts.append("Domains that are blocked as advertising, tracking, new or by policy are among the numbers.")
    if not content.tenant:
        lost = content.lost + content.unaccounted
        parts.append(f"{counted(lost, 'record')} were lost." if lost else "No record was lost.")
    if not is_known(content.known_share_before) or content.before is None:
        parts.append(f"The {length(content.period.length_s)} before are not compared, because they are not recorded completely.")
    parts.append(f"Times are of the time zone {content.time_zone}. Made on {day(content.made_s, content.time_zone)}.")
    return ReportSection("method", "How this was counted", " ".join(parts))
