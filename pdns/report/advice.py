"""What to do next, in the order of urgency."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pdns.report.content import ALARMING, ReportContent
from pdns.report.wording import beacon, clock, counted, is_known, percent, shown

_ENOUGH: Final = 0.999  # of queries answered
_SHOWN: Final = 5
_HAS_AN_HOUR_S: Final = 2 * 3600.0
_OLD_S: Final = 3 * 86400.0


def advice(content: ReportContent) -> list[str]:
    """Sentences that say what to do; one that says so where nothing is to be done."""
    return [*_all(content)] or ["Nothing in this report needs action."]


def _all(content: ReportContent) -> Iterator[str]:
    yield from _machines(content)
    yield from _findings(content)
    if content.shared:
        some = _some([one.listed for one in content.shared])
        yield (
            f"Warn your organisations: {counted(len(content.shared), 'domain was', 'domains were')} met for the first time by"
            f" several of them in this period ({some})."
        )
    if not content.tenant:
        yield from _service(content)
    if content.period.length_s < _HAS_AN_HOUR_S:
        pass  # no hour need have begun and ended in it
    elif not content.known_share and not content.headline.blocked:
        yield "Find out why nothing is recorded of this period: this report cannot say whether anything happened."
    elif not is_known(content.known_share):
        yield f"Read the numbers with care: queries are counted for only {percent(content.known_share)} of this period."
    if content.headline.blocked and not content.has_clients:
        yield (
            "Decide whether events may say which machine asked: they do not now, so no infected machine can be named."
            " The key is events.clients."
        )


def _machines(content: ReportContent) -> Iterator[str]:
    urgent = [one for one in content.machines if one.category in ALARMING]
    active = [one for one in urgent if one.stopped_since_s is None]
    named = list(dict.fromkeys(one.client for one in active))
    if named:
        regular = [one for one in active if one.period_s]
        first = f" Start with {shown(regular[0].client)}: it calls home {beacon(regular[0].period_s, None)}." if regular else ""
        which = "one machine that may be infected" if len(named) == 1 else f"{len(named):,} machines that may be infected"
        yield f"Check {which}: {_some(named)}.{first}"
    stopped = [
        f"{one.client} (since {clock(one.stopped_since_s, content.time_zone)})"
        for one in urgent
        if one.stopped_since_s is not None
    ]
    if stopped:
        yield f"Make sure that these machines were cleaned: they called home regularly, then stopped: {_some(stopped)}."


def _findings(content: ReportContent) -> Iterator[str]:
    if content.findings:
        subjects = _some(list(dict.fromkeys(one.subject or one.tenant for one in content.findings)))
        which = "one finding" if len(content.findings) == 1 else f"{len(content.findings):,} findings"
        yield f"Look at {which} that no list explains: {subjects}."


def _service(content: ReportContent) -> Iterator[str]:
    bad = [feed for feed in content.feeds if feed.state not in ("current", "disabled", "")]
    if bad:
        yield f"Repair feeds: {_some([f'{feed.feed} ({feed.state})' for feed in bad])}. `pdns feeds` says why."
    old = [
        feed.feed for feed in content.feeds
        if feed not in bad and feed.state == "current" and 0 < feed.last_success_s < content.made_s - _OLD_S
    ]  # fmt: skip
    if old:
        yield f"Check the sources of feeds that have not answered for three days: {_some(old)}."
    share = content.availability.share
    if content.availability.queries and share is not None and share < _ENOUGH:
        yield f"Look at the upstream servers: only {percent(share)} of queries were answered without a failure."
    if content.unaccounted or content.lost:
        missing = content.unaccounted + content.lost
        yield f"Numbers are low by up to {counted(missing, 'blocked attempt')}, whose records were lost. The metrics say why."


def _some(texts: list[str]) -> str:
    """The first few, and how many more."""
    more = len(texts) - _SHOWN
    return ", ".join(map(shown, texts[:_SHOWN])) + (f" and {more:,} more" if more > 0 else "")
