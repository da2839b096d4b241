"""The block page in Chromium: on a phone and a desktop, light and dark, without obstacles, and from a report to an answer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from pdns.core.case import reference
from pdns.wire.names import from_text
from tests.fakes.upstream import answer
from tests.integration.pagevisits import ADDRESS, config, page_port, visit
from tests.integration.running_pdns import ROOT, RunningPdns, UpstreamThread, feed

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed: pip install -e '.[dev]'")
if shutil.which("chromium") is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

from playwright.sync_api import Browser

from tests.integration.browser import SCHEMES, SIZES, chromium, opened, violations


@pytest.fixture(scope="module")
def pdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    directory = tmp_path_factory.mktemp("browser")
    feeds = [
        feed(directory, "phish", "login-council.example", f"{'long-' * 12}name.example", category="phishing"),
        feed(directory, "bots", "bot.example", category="c2"),
    ]
    policies = [{"name": "default", "contact": ["mailto:desk@council.example"]}]
    with UpstreamThread(answer()) as upstream:
        sections = {"upstream": {"servers": [upstream.address]}, "feed": feeds, "policy": policies, **config()}
        with RunningPdns(directory, sections) as running:
            port = page_port(running)
            running.wait_for(
                lambda: {visit(port, name).status for name in ("login-council.example", "bot.example")} == {403}, "both feeds"
            )
            yield running


@pytest.fixture(scope="module")
def browser(pdns: RunningPdns) -> Iterator[Browser]:
    with chromium(ADDRESS, page_port(pdns)) as running:
        yield running


PAGES = {
    "blocked": "http://www.login-council.example/login",
    "urgent": "http://bot.example/",
    "long": f"http://www.{'long-' * 12}name.example/",
    "not blocked": "http://fine.example/",
    "no name": "http://192.0.2.1/",
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", SIZES, ids=["phone", "desktop"])
def test_nothing_hinders_a_reader(browser: Browser, size: tuple[int, int], scheme: str) -> None:
    """Axe finds nothing on any page, with the form closed and open; nothing is wider than the screen."""
    with opened(browser, size, scheme, checked=True) as page:
        for name, url in PAGES.items():
            page.goto(url)
            assert violations(page) == [], name
            assert page.evaluate("document.documentElement.scrollWidth") == size[0], name
            if page.locator("summary").count():
                page.click("summary")
                assert violations(page) == [], name
        page.goto(PAGES["blocked"])
        page.click("summary")
        page.fill("#comment", "x")
        page.evaluate("document.querySelector('[name=token]').value = 'forged'")
        page.click("button")
        assert page.locator("[role=alert]").count() == 1
        assert violations(page) == []


def test_the_case_reference_is_shown(browser: Browser) -> None:
    """To read it out: in one line also on a phone; and in the subject of a message."""
    case = reference(from_text("login-council.example"), "phish")
    with opened(browser, SIZES[0], "light") as page:
        page.goto(PAGES["blocked"])
        assert page.locator(".case").all_inner_texts() == [case]
        lines = "(e => e.clientHeight / parseFloat(getComputedStyle(e).lineHeight))(document.querySelector('.case'))"
        assert page.evaluate(lines) < 1.5
        assert case in unquote(page.locator(".help a[href^=mailto]").get_attribute("href") or "")


def test_the_policy_allows_the_style_and_nothing_is_loaded(browser: Browser) -> None:
    """With its Content-Security-Policy in force, the page has its colours, the console no error, and no other host is asked."""
    with opened(browser, SIZES[1], "light") as page:
        problems: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(PAGES["blocked"])
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == "rgb(238, 241, 245)"
        assert [text for text in problems if "Security" in text] == []
        assert {url for url in asked if not url.startswith("http://www.login-council.example/")} == set()


def test_colours_follow_the_reader(browser: Browser) -> None:
    """Light and dark differ."""
    seen = set()
    for scheme in SCHEMES:
        with opened(browser, SIZES[0], scheme) as page:
            page.goto(PAGES["blocked"])
            seen.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(seen) == 2


@pytest.mark.realtime
def test_a_report_without_scripts_by_keyboard(browser: Browser, pdns: RunningPdns, tmp_path: Path) -> None:
    """With the keyboard alone and scripts off, a mistake is reported; an administrator sees it, allows it for a day, and the name
    is answered from then on.
    """
    name = "www.login-council.example"
    assert pdns.addresses(name) == [ADDRESS]
    with opened(browser, SIZES[0], "light", scripts=False) as page:
        page.goto(f"http://{name}/login")
        page.locator("summary").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.input_value("#name") == name
        page.keyboard.press("Tab")
        page.keyboard.type("Our supplier has its invoices there.")
        page.keyboard.press("Tab")
        page.keyboard.type("ann@council.example")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=status]")
        assert "Thank you" in page.inner_text("h1")

    def command(*words: str) -> str:
        line = [sys.executable, "-m", "pdns", "reports", *words, "-c", str(pdns.config_path)]
        return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, timeout=120, check=True).stdout

    row = next(line for line in command().splitlines() if name in line)
    assert "Our supplier has its invoices there." in row
    command("allow", row.split()[0], "--for", "24h")
    assert pdns.addresses(name) != [ADDRESS]
    assert command() == "no open reports\n"
