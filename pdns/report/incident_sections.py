"""An incident report in words: what happened, in which order, and what proves it."""

from __future__ import annotations

from typing import Final

from pdns.report.incident import IncidentContent
from pdns.report.sections import HeadlineFigure, ReportColumn, ReportSection, change_rows
from pdns.report.wording import DAY_S, category, clock_s, counted, day, is_known, length, number, percent, shown

_SHOWN_CONTACTS: Final = 100
_ANSWERS: Final = {
    "sinkhole": "the address of the sinkhole, where a page explains the block",
    "nxdomain": "that the name does not exist (NXDOMAIN)",
    "nodata": "that the name has no address (NODATA)", "zero": "an address that leads nowhere", "refused": "a refusal (REFUSED)",
    "drop": "no answer",
}  # fmt: skip


def incident_subject(content: IncidentContent) -> str:
    """What the report is about, in one line."""
    about = [shown(content.name) if content.name else "", f"machine {shown(content.client)}" if content.client else ""]
    return " and ".join(part for part in about if part) or shown(content.title)


def incident_summary(content: IncidentContent) -> str:
    """The report in a few sentences."""
    if not content.first_s:
        return "No contact is recorded in this period."
    zone = content.time_zone
    whose = f" of {counted(_machines(content), 'machine')}" if _machines(content) else ""
    where = counted(len(content.tenants), "organisation")
    few = "was" if content.blocked == 1 else "were"
    sentences = [f"{counted(content.blocked, 'query', 'queries')}{whose} at {where} {few} blocked."]
    if not whose:
        sentences.append("The configuration keeps no client addresses.")
    sentences.append(f"The first contact was at {clock_s(content.first_s, zone)}, the last at {clock_s(content.last_s, zone)}.")
    if content.monitored:
        few = "was" if content.monitored == 1 else "were"
        sentences.append(f"{counted(content.monitored, 'query', 'queries')} {few} not blocked: the feed was in monitor mode.")
    return " ".join(sentences)


def incident_figures(content: IncidentContent) -> tuple[HeadlineFigure, ...]:
    """Its headline numbers."""
    return (
        HeadlineFigure(number(content.blocked), "Blocked queries", ""),
        HeadlineFigure(number(_machines(content)), "Machines", "" if _machines(content) else "client addresses are not kept"),
        HeadlineFigure(number(len(content.tenants)), "Organisations", ""),
    )


def incident_sections(content: IncidentContent, sha256: str) -> list[ReportSection]:
    """All sections, in their order."""
    return [
        _timeline(content), _listings(content), _answered(content), _changes(content), _contacts(content),
        _integrity(content, sha256),
    ]  # fmt: skip


def _machines(content: IncidentContent) -> int:
    return sum(bool(one.client) for one in content.contacts)


def _timeline(content: IncidentContent) -> ReportSection:
    zone = content.time_zone
    rows: list[tuple[float, str, str]] = []
    for listed in content.listings:
        if listed.published_s:
            rows.append((listed.published_s, f"the publisher of {shown(listed.feed)} first saw {shown(listed.listed)}", ""))
        if listed.since_s:
            rows.append((listed.since_s, f"feed {shown(listed.feed)} listed {shown(listed.listed)} (known to the day)", ""))
    if content.first_blocked_s:
        rows.append((content.first_blocked_s, "first blocked query", ""))
    if content.first_s and content.first_s != content.first_blocked_s:
        rows.append((content.first_s, "first query that was recorded, not blocked", ""))
    for tenant, title in content.tenants.items():
        first = min(one.first_s for one in content.contacts if one.tenant == tenant)
        rows.append((first, f"first contact of {shown(title)}", ""))
    if content.last_s:
        rows.append((content.last_s, "last query that was recorded", ""))
    rows += [(one.time_s, f"finding: {shown(one.text or one.kind)}", shown(one.tenant)) for one in content.findings]
    rows += [
        (one.time_s, f"administrator: {one.command} {shown(one.subject)}".rstrip(), shown(one.user))
        for one in content.policy.changes
    ]
    rows.append((content.made_s, "this report", ""))
    shown_rows = tuple(
        (day(time_s, zone) if "to the day" in what else clock_s(time_s, zone), what, who) for time_s, what, who in sorted(rows)
    )
    columns = (ReportColumn("Time", "time"), ReportColumn("Event"), ReportColumn("By"))
    return ReportSection("timeline", "Timeline", "", columns, shown_rows)


def _contacts(content: IncidentContent) -> ReportSection:
    zone, contacts = content.time_zone, content.contacts[:_SHOWN_CONTACTS]
    several = len({name for one in contacts for name in one.names}) > 1
    rows = tuple(
        (
            shown(one.client) or "not kept", shown(content.tenants.get(one.tenant, one.tenant)), number(one.blocked),
            *((number(one.monitored),) if content.monitored else ()), clock_s(one.first_s, zone), clock_s(one.last_s, zone),
            *((", ".join(map(shown, one.names)),) if several else ()),
        )
        for one in contacts
    )  # fmt: skip
    columns = (
        ReportColumn("Machine", "name"), ReportColumn("Organisation"), ReportColumn("Blocked", "number"),
        *((ReportColumn("Not blocked", "number"),) if content.monitored else ()), ReportColumn("First", "time"),
        ReportColumn("Last", "time"), *((ReportColumn("Listed names", "name"),) if several else ()),
    )  # fmt: skip
    more = len(content.contacts) - len(contacts)
    note = f"{counted(more, 'more row')}: the JSON form has them." if more else ""
    lead = "" if rows else "None is recorded in this period."
    return ReportSection("contacts", "Which machines, at which organisations", lead, columns, rows, note=note)


def _listings(content: IncidentContent) -> ReportSection:
    zone = content.time_zone
    if not content.listings:
        lead = "No feed lists the name now." if content.name else "This report is about a machine; its names are below."
        return ReportSection("listings", "Since when it was listed", lead)
    rows = tuple(
        (
            shown(one.feed), category(one.category), shown(one.listed), shown(one.threat),
            day(one.since_s, zone) if one.since_s else "", clock_s(one.published_s, zone) if one.published_s else "",
            _delay(content, one.since_s),
        )
        for one in content.listings
    )  # fmt: skip
    columns = (
        ReportColumn("Feed"), ReportColumn("Kind"), ReportColumn("Listed name", "name"), ReportColumn("Threat"),
        ReportColumn("Listed since", "time"), ReportColumn("First seen by publisher", "time"), ReportColumn("Until first block"),
    )  # fmt: skip
    lead = (
        "Listed since: the day on which the feed first had the name here. Queries before that day were not blocked and are not"
        " among the records; findings of the kind retro show whether there were any."
    )
    return ReportSection("listings", "Since when it was listed", lead, columns, rows)


def _delay(content: IncidentContent, since_s: float) -> str:
    if not content.first_blocked_s or not since_s:
        return ""
    delay_s = content.first_blocked_s - since_s
    if delay_s < 0:
        return "blocked before, by another feed"
    return "the same day" if delay_s < DAY_S else length(delay_s // DAY_S * DAY_S)


def _answered(content: IncidentContent) -> ReportSection:
    rows = tuple((_ANSWERS.get(action, shown(action)), number(n)) for action, n in content.answers.items())
    columns = (ReportColumn("The machine got"), ReportColumn("Queries", "number"))
    return ReportSection("answers", "What was answered", "" if rows else "Nothing was blocked.", columns, rows)


def _changes(content: IncidentContent) -> ReportSection:
    rows = change_rows(content.policy.changes, content.time_zone)
    columns = (ReportColumn("Time", "time"), ReportColumn("Change"), ReportColumn("Of", "name"), ReportColumn("For"),
               ReportColumn("By"), ReportColumn("Reason"))  # fmt: skip
    lead = "" if rows else "No change is in the audit logs."
    return ReportSection("changes", "Changes of configuration and policy", lead, columns, rows, note=content.policy.problem)


def _integrity(content: IncidentContent, sha256: str) -> ReportSection:
    parts = [f"Times are of the time zone {content.time_zone}. {percent(content.known_share)} of the period is recorded."]
    if content.has_losses:
        parts.append("Some records of that time were lost, whatever they were about. The metrics say how many and why.")
    if not content.is_complete:
        parts.append("There are more records than were read: the first contact may be earlier.")
    if not is_known(content.known_share):
        parts.append("No contact outside the recorded time can be excluded.")
    parts.append("The hash is that of the content of the JSON form; `pdns report --verify FILE` compares it.")
    rows = (
        ("SHA-256 of the content", sha256), ("SHA-256 of the configuration", content.config_sha256),
        ("Program", f"pdns {content.program}"), ("Records of queries", number(len(content.records))),
    )  # fmt: skip
    return ReportSection("integrity", "Integrity", " ".join(parts), (ReportColumn("What"), ReportColumn("Value", "name")), rows)
