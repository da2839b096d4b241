"""A report as one HTML file that needs nothing else. Every text goes through `escape`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape as _escape
from typing import Final, NamedTuple

from pdns.free_text import visible
from pdns.report.charts import Bar, bar_chart, share_bar
from pdns.report.sections import HeadlineFigure, ReportColumn, ReportSection
from pdns.report.style import CONTENT_SECURITY_POLICY, CSS
from pdns.report.wording import number

_MOST_SHOWN: Final = 2000


class ReportChart(NamedTuple):
    """The chart below the headline numbers. `column`: what a bar stands for."""

    title: str
    lead: str
    column: str
    bars: tuple[Bar, ...]


class ReportPage(NamedTuple):
    """What is above the sections of a report, and below them."""

    what: str
    title: str
    when: str
    lead: str
    figures: tuple[HeadlineFigure, ...]
    chart: ReportChart | None
    footer: str
    language: str = "en"


def escape(text: str) -> str:
    """`text` for HTML, in elements and in quoted attributes, without characters that hide or turn others."""
    return _escape(visible(text, _MOST_SHOWN), quote=True)


def as_html(page: ReportPage, sections: Sequence[ReportSection]) -> str:
    """The whole document."""
    title = f"{page.what}: {page.title}, {page.when}"
    steps = next((section for section in sections if section.steps), None)
    to_steps = f'<p class="jump"><a href="#{steps.key}">{escape(steps.title)}</a></p>' if steps is not None else ""
    return (
        f'<!doctype html>\n<html lang="{escape(page.language)}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(CONTENT_SECURITY_POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f'<meta name="referrer" content="no-referrer"><title>{escape(title)}</title><style>{CSS}</style></head>'
        f'<body><div class="wrap"><header><p class="what">{escape(page.what)}</p><h1>{escape(page.title)}</h1>'
        f'<p class="when">{escape(page.when)}</p></header><main><p class="lead">{escape(page.lead)}</p>{to_steps}'
        f"{_figures(page.figures)}{_chart(page.chart)}{''.join(map(_section, sections))}</main>"
        f"<footer><p>{escape(page.footer)}</p></footer></div></body></html>\n"
    )


def _figures(figures: Iterable[HeadlineFigure]) -> str:
    shown = "".join(
        f'<div><dt>{escape(one.label)}</dt><dd class="big">{escape(one.value)}</dd>'
        f'<dd class="trend">{escape(one.trend)}</dd></div>'
        for one in figures
    )
    return f'<dl class="figures">{shown}</dl>' if shown else ""


def _chart(chart: ReportChart | None) -> str:
    if chart is None or not chart.bars:
        return ""
    columns = (ReportColumn(chart.column), ReportColumn("Blocked attempts", "number"))
    rows = tuple((bar.words, number(bar.value)) for bar in chart.bars)
    return (
        f'<section aria-labelledby="chart"><h2 id="chart">{escape(chart.title)}</h2><p>{escape(chart.lead)}</p>'
        f"{bar_chart('blocked', visible(chart.title), visible(chart.lead), chart.bars)}"
        f"<details><summary>The numbers of this chart</summary>{_table(columns, rows, ())}</details></section>"
    )


def _section(section: ReportSection) -> str:
    kind = ' class="next"' if section.steps else ' class="half"' if section.half else ""
    lead = f"<p>{escape(section.lead)}</p>" if section.lead else ""
    table = _table(section.columns, section.rows, section.sizes) if section.rows else ""
    steps = f"<ol>{''.join(f'<li>{escape(step)}</li>' for step in section.steps)}</ol>" if section.steps else ""
    note = f'<p class="note">{escape(section.note)}</p>' if section.note else ""
    return (
        f'<section{kind} aria-labelledby="{section.key}"><h2 id="{section.key}">{escape(section.title)}</h2>'
        f"{lead}{table}{steps}{note}</section>"
    )


def _table(columns: Sequence[ReportColumn], rows: Sequence[Sequence[str]], sizes: Sequence[float]) -> str:
    sized = '<td class="sized" aria-hidden="true"></td>' if sizes else ""
    head = "".join(f'<th scope="col"{_kind(column)}>{escape(column.title)}</th>' for column in columns)
    body = []
    for at, row in enumerate(rows):
        first, *rest = zip(columns, row, strict=True)
        cells = [f'<th scope="row"{_kind(first[0])}>{escape(first[1])}</th>']
        cells += [f'<td{_kind(column)} data-title="{escape(column.title)}">{escape(cell)}</td>' for column, cell in rest]
        if sizes:
            cells.append(f'<td class="sized" aria-hidden="true">{share_bar(sizes[at])}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}{sized}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _kind(column: ReportColumn) -> str:
    same = ' translate="no"' if column.kind == "name" else ""
    return "" if column.kind == "text" else f' class="{column.kind}"{same}'
