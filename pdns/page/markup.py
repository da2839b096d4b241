"""HTML of the block page. Every text goes through `escape`; there is no other way to put one into a page."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from html import escape as _escape
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from pdns.free_text import visible
from pdns.page.lookup import SinkholeVisit
from pdns.page.style import CSS
from pdns.page.texts import HELP, CategoryText, PageTexts, category_text
from pdns.state.reports import MAX_COMMENT_CHARACTERS, MAX_CONTACT_CHARACTERS

REPORT_PATH: Final = "/.pdns/report"
_MAX_SHOWN: Final = 2000
_SHIELD: Final = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round" stroke-linecap="round"'
    ' aria-hidden="true" focusable="false"><path d="M12 3l7.5 2.7v5.6c0 4.6-3 8-7.5 9.7-4.5-1.7-7.5-5.1-7.5-9.7V5.7z"/>'
    '<path d="M9 12l2.2 2.2L15.3 10"/></svg>'
)
_SCHEMES: Final = {"mailto": "Send an e-mail to ", "tel": "Call ", "sips": "Call ", "https": "Visit ", "http": "Visit "}


class ReportForm(NamedTuple):
    """What the report form contains. `errors`: field -> what is wrong with it; "" for the form as a whole."""

    token: str
    name: str = ""
    comment: str = ""
    contact: str = ""
    errors: Mapping[str, str] = MappingProxyType({})


def blocked_page(visit: SinkholeVisit, form: ReportForm, now_s: float) -> str:
    """The page for a name that is blocked."""
    text = category_text(visit.category)
    return _document(visit.texts, f"{visit.name} is blocked", _two_columns(visit, text, form, now_s), urgent=text.urgent)


def not_blocked_page(visit: SinkholeVisit, form: ReportForm) -> str:
    """The page for a name that no list has, or has no longer."""
    body = _card(
        _h1("This website is not blocked now"),
        _site(visit.name),
        _p(
            "You see this page because the website was blocked a moment ago, or because it leads to another website that is"
            " blocked. You have done nothing wrong."
        ),
        _h2("What to do"),
        _list([
            "Close this tab, wait a minute, and open the website again.",
            f"If this page comes back, report a mistake below or ask {HELP}.",
        ]),
        main=True,
    )  # fmt: skip
    return _document(visit.texts, f"{visit.name} is not blocked now", _grid(body, _help_card(visit), _report_card(form)))


def no_name_page(texts: PageTexts) -> str:
    """The page for a visitor who opened the address of the server itself."""
    body = _card(
        _h1("There is no website at this address"),
        _p("Dangerous websites are led to this address, so that they cannot be opened. There is nothing else here."),
        _p("You can close this tab."),
        main=True,
    )
    return _document(texts, "No website at this address", _grid(body))


def thanks_page(visit: SinkholeVisit, name: str, number: int) -> str:
    """The page after a report was accepted."""
    body = _card(
        _h1("Thank you for your report"),
        f'<div class="done" role="status">{_p(f"Your report about {name} has arrived. Its number is {number}.")}</div>',
        _p(
            "The people who look after your network will check it. If they agree, the website opens after that. It stays blocked"
            " until then, for your protection."
        ),
        _p("You can close this tab."),
        main=True,
    )
    return _document(visit.texts, "Report received", _grid(body, _help_card(visit)))


def refused_page(visit: SinkholeVisit, title: str, text: str) -> str:
    """The page after a report that could not be accepted."""
    body = _card(_h1(title), f'<div class="alarm" role="alert"><p>{escape(text)}</p></div>', main=True)
    return _document(visit.texts, title, _grid(body, _help_card(visit)))


def escape(text: str) -> str:
    """`text` for HTML, in elements and in quoted attributes, without characters that hide or turn others."""
    return _escape(visible(text, _MAX_SHOWN), quote=True)


def _two_columns(visit: SinkholeVisit, text: CategoryText, form: ReportForm, now_s: float) -> str:
    alarm = ""
    if text.urgent:
        alarm = '<div class="alarm" role="note"><p><strong>Please act now:</strong> this computer may be infected.</p></div>'
    blame = "You have not necessarily done anything wrong." if text.urgent else (
        "You have probably done nothing wrong: links in e-mails, search results and advertisements can lead to such websites."
    )  # fmt: skip
    main = _card(
        _h1("This website is blocked to protect you" if text.dangerous else "This website is blocked on this network"),
        _site(visit.name),
        alarm,
        _p(text.why),
        _p(f"Reason given: {visit.reason}") if visit.reason else "",
        _p(f"The website was not opened. {blame}"),
        _page_text(visit.texts),
        _h2("What to do"),
        _list([step.format(help=HELP) for step in text.steps]),
        main=True,
    )
    return _grid(main, _help_card(visit), _report_card(form), _details_card(visit, text, now_s))


def _help_card(visit: SinkholeVisit) -> str:
    texts = visit.texts
    lines = [line for uri in texts.contact if (line := _contact(uri, visit))]
    help_link = _link(texts.help_url, "More help", "") if texts.help_url else ""
    contact = f'<ul class="contact">{"".join(f"<li>{line}</li>" for line in lines)}</ul>' if lines else _p(
        f"Contact {HELP} in the usual way."
    )  # fmt: skip
    case = ""
    if visit.case:
        case = (
            f'<h2>Case reference</h2><p class="case">{escape(visit.case)}</p>'
            '<p class="soft">Give this reference when you call.</p>'
        )  # fmt: skip
    return (
        f'<section class="card help" aria-labelledby="help"><h2 id="help">Who can help</h2>{contact}{help_link}{case}</section>'
    )


def _details_card(visit: SinkholeVisit, text: CategoryText, now_s: float) -> str:
    rows = [
        ("Blocked website", visit.name),
        ("Kind", text.label),
        ("On the list", visit.feed if visit.feed != visit.category else "of your administrators"),
        ("Listed as", visit.rule if visit.rule != visit.name else ""),
        ("Listed since", _day(visit.since_s) if visit.since_s else ""),
        ("Time of your visit", f"{_day(now_s)}, {time.strftime('%H:%M', time.gmtime(now_s))} UTC"),
    ]
    shown = "".join(f"<dt>{escape(term)}</dt><dd>{escape(value)}</dd>" for term, value in rows if value)
    heading = f'<h2 id="details">Details for {escape(HELP)}</h2>'
    return f'<section class="card details" aria-labelledby="details">{heading}<dl>{shown}</dl></section>'


def _report_card(form: ReportForm) -> str:
    whole = f'<div class="alarm" role="alert"><p>{escape(form.errors[""])}</p></div>' if "" in form.errors else ""
    is_open = " open" if form.errors else ""
    fields = "".join((
        _input(form, "name", "Website", "", form.name, 'required maxlength="1000" autocomplete="off" spellcheck="false"'),
        _textarea(form),
        _input(
            form, "contact", "Your e-mail address (optional)", "Only if you would like an answer.", form.contact,
            f'type="email" maxlength="{MAX_CONTACT_CHARACTERS}" autocomplete="email"',
        ),
    ))  # fmt: skip
    return (
        '<section class="card report" aria-labelledby="report"><h2 id="report">Is this a mistake?</h2>'
        '<p>If this website is safe and you need it for your work, tell us.</p>'
        f'<details{is_open}><summary>Report a mistake</summary>'
        f'<form method="post" action="{REPORT_PATH}" accept-charset="utf-8">{whole}{fields}'
        f'<input type="hidden" name="token" value="{escape(form.token)}">'
        '<button type="submit">Send report</button></form></details></section>'
    )  # fmt: skip


def _input(form: ReportForm, field: str, label: str, hint: str, value: str, attributes: str) -> str:
    notes, described = _notes(form, field, hint)
    return (
        f'<label for="{field}">{escape(label)}</label>{notes}'
        f'<input id="{field}" name="{field}" value="{escape(value)}" {attributes}{described}>'
    )  # fmt: skip


def _textarea(form: ReportForm) -> str:
    notes, described = _notes(form, "comment", "What is the website for? Please do not write passwords or personal details.")
    return (
        f'<label for="comment">Why do you need it?</label>{notes}'
        f'<textarea id="comment" name="comment" required maxlength="{MAX_COMMENT_CHARACTERS}"{described}>'
        f"{escape(form.comment)}</textarea>"
    )


def _notes(form: ReportForm, field: str, hint: str) -> tuple[str, str]:
    """Hint and error of a field, and the attributes that refer to them."""
    notes, ids = "", []
    if hint:
        notes += f'<p class="hint" id="{field}-hint">{escape(hint)}</p>'
        ids.append(f"{field}-hint")
    if field in form.errors:
        notes += f'<p class="wrong" id="{field}-error">{escape(form.errors[field])}</p>'
        ids.append(f"{field}-error")
    invalid = ' aria-invalid="true"' if field in form.errors else ""
    return notes, (f' aria-describedby="{" ".join(ids)}"' if ids else "") + invalid


def _contact(uri: str, visit: SinkholeVisit) -> str:
    """A link to a person or a page; plain text for a URI of another kind."""
    scheme, _, rest = uri.partition(":")
    if scheme == "mailto" and visit.name and "?" not in rest:
        case = f" ({visit.case})" if visit.case else ""
        return _link(f"{uri}?subject={quote(f'Blocked website {visit.name}{case}')}", unquote(rest), "mailto")
    if scheme in ("tel", "sips"):
        return _link(uri, unquote(rest).replace("-", " "), scheme)
    if scheme in ("http", "https"):
        return _link(uri, _host(uri), scheme)
    return escape(uri)


def _link(uri: str, text: str, scheme: str) -> str:
    if uri.partition(":")[0].lower() not in _SCHEMES:
        return escape(uri)
    return f'{escape(_SCHEMES.get(scheme, ""))}<a href="{escape(uri)}" rel="noreferrer">{escape(text)}</a>'


def _host(uri: str) -> str:
    try:
        return urlsplit(uri).hostname or uri
    except ValueError:
        return uri


def _page_text(texts: PageTexts) -> str:
    language = f' lang="{escape(texts.language)}"' if texts.language not in ("", "en") else ""
    paragraphs = (" ".join(part.split()) for part in texts.page_text.replace("\r\n", "\n").split("\n\n"))
    return "".join(f"<p{language}>{escape(paragraph)}</p>" for paragraph in paragraphs if paragraph)


def _document(texts: PageTexts, title: str, body: str, *, urgent: bool = False) -> str:
    organisation = texts.organisation or "Your network"
    kind = ' class="urgent"' if urgent else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)} - {escape(organisation)}</title><style>{CSS}</style></head>"
        f'<body{kind}><div class="wrap"><header>{_SHIELD}<span>{escape(organisation)}</span></header>'
        f'<main>{body}</main><footer><p>This page comes from the network protection of '
        f"{escape(texts.organisation or 'your organisation')}. It loads nothing from other websites and sets no cookies."
        "</p></footer></div></body></html>\n"
    )  # fmt: skip


def _grid(*cards: str) -> str:
    """In this order on a narrow screen, in two columns on a wide one."""
    return f'<div class="grid{" two" if len(cards) > 1 else ""}">{"".join(cards)}</div>'


def _card(*parts: str, main: bool = False) -> str:
    return f'<div class="card{" main" if main else ""}">{"".join(parts)}</div>'


def _h1(text: str) -> str:
    return f"<h1>{escape(text)}</h1>"


def _h2(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def _p(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _site(name: str) -> str:
    return f'<p class="site" translate="no">{escape(name)}</p>'


def _list(items: Iterable[str]) -> str:
    return f"<ol>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ol>"


def _day(at_s: float) -> str:
    moment = time.gmtime(min(max(at_s, 0.0), 253_402_300_799.0))
    return f"{moment.tm_mday} {time.strftime('%B %Y', moment)}"
