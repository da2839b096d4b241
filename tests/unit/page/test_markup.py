"""The pages: what they say, and that no text becomes markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.value_types import CATEGORIES
from pdns.core.local_rules import LOCAL
from pdns.page import markup
from pdns.page.lookup import SinkholeVisit
from pdns.page.markup import ReportForm
from pdns.page.style import CSS
from pdns.page.texts import CATEGORY_TEXTS, PageTexts, category_text

TEXTS = PageTexts(
    organisation="Leeds City Council",
    contact=("mailto:it@leeds.example", "tel:+44-113-496-0000", "https://help.leeds.example/x"),
    page_text="First paragraph.\n\nSecond\nparagraph.",
    help_url="https://intranet.leeds.example/security",
)
VISIT = SinkholeVisit("leeds", TEXTS, "www.a.example", "urlhaus", "malware", rule="a.example", since_s=86400.0, case="K7F2-9QXM")
FORM = ReportForm("1.token", "www.a.example")


class Reader(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def every_page(visit: SinkholeVisit, form: ReportForm) -> list[str]:
    return [
        markup.blocked_page(visit, form, 1_796_000_000.0), markup.not_blocked_page(visit, form), markup.no_name_page(visit.texts),
        markup.thanks_page(visit, visit.name, 7), markup.refused_page(visit, form.name, form.comment),
    ]  # fmt: skip


def test_the_page_says_what_a_reader_needs() -> None:
    """Who blocks, what, why, since when, on which list, whom to ask, and the case reference."""
    text = " ".join(Reader(markup.blocked_page(VISIT, FORM, 1_796_000_000.0)).text.split())
    for part in (
        "Leeds City Council", "www.a.example", "It is known to spread harmful software", "You have probably done nothing wrong",
        "it@leeds.example", "+44 113 496 0000", "help.leeds.example", "K7F2-9QXM", "urlhaus", "2 January 1970",
        "First paragraph.", "Second paragraph.", "Report a mistake", "Listed as", "UTC",
    ):  # fmt: skip
        assert part in text, part


def test_without_texts_of_a_tenant() -> None:
    """The page is whole without any of them; no reference is shown where there is none."""
    page = Reader(markup.blocked_page(VISIT._replace(texts=PageTexts(), case=""), FORM, 0.0))
    assert "Contact your IT help desk" in page.text
    assert "Case reference" not in page.text


@pytest.mark.parametrize("category", [*CATEGORIES, LOCAL])
def test_each_category_has_words(category: str) -> None:
    """Every category of the configuration is explained, with steps."""
    assert category in CATEGORY_TEXTS
    text = category_text(category)
    assert text.steps
    assert "{" not in markup.blocked_page(VISIT._replace(category=category), FORM, 0.0).replace(CSS, "")


def test_an_unknown_category_has_words() -> None:
    """A category of a later version is explained in general terms."""
    assert category_text("quantum").steps


def test_the_reason_of_an_administrator() -> None:
    """It is shown."""
    visit = VISIT._replace(feed=LOCAL, category=LOCAL, reason="Ticket 4711 <b>")
    assert "Reason given: Ticket 4711 <b>" in Reader(markup.blocked_page(visit, FORM, 0.0)).text


def test_errors_are_beside_their_fields() -> None:
    """The form is open, keeps what was typed, and each error belongs to its field (WCAG 3.3.1)."""
    form = FORM._replace(comment="needed", contact="x", errors={"contact": "Enter an e-mail address", "": "Send it again"})
    page = Reader(markup.blocked_page(VISIT, form, 0.0))
    (contact,) = [field for field in page.all("input") if field.get("name") == "contact"]
    assert contact["aria-invalid"] == "true"
    assert "contact-error" in (contact["aria-describedby"] or "")
    assert "open" in page.all("details")[0]
    for part in ("Enter an e-mail address", "Send it again", "needed"):
        assert part in page.text


ATTACKS = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'><svg/onload=alert(1)>", "</textarea><script>",
    "</style><b>",
    "javascript:alert(1)", "&lt;script&gt;", "\u202egnp.exe", "a\x00b", "\ud800", "--><script>", "{{7*7}}", "</title><script>",
)  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_becomes_markup(attack: str) -> None:
    """Whatever a text is, the elements and attributes of each page are the same as for a plain text."""
    _same_structure(attack)


@given(st.text(st.characters(codec=None), max_size=60))
def test_no_text_at_all_becomes_markup(text: str) -> None:
    """The same for any text."""
    _same_structure(text)


def _same_structure(text: str) -> None:
    def pages(value: str) -> list[Reader]:
        texts = PageTexts(organisation=value, contact=(f"mailto:{value}?", f"x{value}"), help_url=f"x{value}")
        visit = SinkholeVisit(value, texts, value, value, "malware", reason=value, rule=f"{value}.", since_s=1.0, case=value)
        form = ReportForm(value, value, value, value, {"name": value, "comment": value, "": value})
        return [Reader(page) for page in every_page(visit, form)]

    for plain, attacked in zip(pages("plain"), pages(text or "plain"), strict=True):
        assert [(tag, sorted(attributes)) for tag, attributes in attacked.elements] == [
            (tag, sorted(attributes)) for tag, attributes in plain.elements
        ]
        for tag, attributes in attacked.elements:
            assert tag not in ("script", "img", "iframe", "object", "link", "base")
            for name, value in attributes.items():
                assert not name.startswith("on")
                if name in ("href", "src", "action"):
                    assert (value or "").startswith(("mailto:", "/.pdns/report")), value


@pytest.mark.parametrize("uri", ["javascript:alert(1)", "data:text/html,x", "JAVASCRIPT:x", "vbscript:x", " javascript:x", ""])
def test_only_known_schemes_become_links(uri: str) -> None:
    """Contacts and links of other kinds are shown as text."""
    page = Reader(markup.blocked_page(VISIT._replace(texts=PageTexts(contact=(uri,), help_url=uri)), FORM, 0.0))
    assert page.all("a") == []


def test_nothing_is_loaded_from_elsewhere() -> None:
    """No page refers to a script, a style, a font or an image; only links that people follow."""
    for page in every_page(VISIT, FORM):
        assert not {"script", "link", "img", "iframe", "object", "embed", "video", "audio", "base"} & {
            tag for tag, _ in Reader(page).elements
        }
        assert "url(" not in page
        assert "@import" not in page
        assert "http-equiv" not in page
