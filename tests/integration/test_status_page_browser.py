"""The status page in Chromium: on a phone, a desktop and a wall screen, without obstacles, and when the server goes away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.upstream import answer
from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed
from tests.integration.test_status_page import TENANTS

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed: pip install -e '.[dev]'")
if shutil.which("chromium") is None:
    pytest.skip("chromium is not installed", allow_module_level=True)

from playwright.sync_api import Browser, Page, expect

from tests.integration.browser import CHROMIUM, SCHEMES, SIZES, chromium, opened, violations

URL = "http://localhost/status"
LONG = f"{'a-long-label-of-a-name.' * 5}bad.example"
_PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def pdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    directory = tmp_path_factory.mktemp("live")
    missing = {"name": "gone", "url": "file:///nonexistent", "category": "c2"}
    with UpstreamThread(answer()) as upstream:
        config = {
            "upstream": {"servers": [upstream.address, "udp://127.0.0.1:9"]}, "tenant": TENANTS,
            "feed": [feed(directory, "urlhaus", "bad.example"), missing],
        }  # fmt: skip
        with RunningPdns(directory, config) as running:
            for name in ("www.bad.example", LONG, "fine.example"):
                running.ask(name)
            yield running


@pytest.fixture(scope="module")
def browser(pdns: RunningPdns) -> Iterator[Browser]:
    with chromium("127.0.0.1", pdns.metrics_port) as running:
        yield running


def loaded(page: Page) -> list[str]:
    """Open the page, and wait for its first event; returns what the console says from then on."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(URL)
    expect(page.locator("#pause")).to_be_visible(timeout=_PATIENCE_MS)
    return said


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("size", [*SIZES, (1920, 1080)])
def test_no_obstacles(browser: Browser, size: tuple[int, int], scheme: str) -> None:
    """Axe finds nothing, the console is silent, and nothing is wider than the screen."""
    with opened(browser, size, scheme, checked=True) as page:
        said = loaded(page)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert said == []


def test_it_follows_what_happens(browser: Browser, pdns: RunningPdns) -> None:
    """A blocked name appears without a reload; while paused the page stays as it is, and then catches up."""
    with opened(browser, SIZES[1], "light") as page:
        said = loaded(page)
        pdns.ask("first.bad.example")
        expect(page.locator("#recent")).to_contain_text("first.bad.example", timeout=_PATIENCE_MS)
        page.click("#pause")
        expect(page.locator("#connection")).to_have_text("paused")
        pdns.ask("second.bad.example")
        page.wait_for_timeout(2500)
        assert "second.bad.example" not in page.locator("#recent").inner_text()
        page.click("#pause")
        expect(page.locator("#recent")).to_contain_text("second.bad.example", timeout=_PATIENCE_MS)
        assert said == []


def test_without_scripts(browser: Browser, pdns: RunningPdns) -> None:
    """The page is whole, loads itself again, and has no button that does nothing."""
    with opened(browser, SIZES[0], "light", scripts=False) as page:
        page.goto(URL)
        expect(page.locator("#recent")).to_contain_text("bad.example")
        expect(page.locator("#pause")).to_be_hidden()
        assert re.search("loaded again every 10 seconds", page.content())
        pdns.ask("later.bad.example")
        expect(page.locator("#recent")).to_contain_text("later.bad.example", timeout=_PATIENCE_MS)


def test_a_server_that_comes_back(tmp_path: Path, browser: Browser) -> None:
    """The page says since when the connection is lost, keeps its numbers, and goes on with the next server at that port."""
    with ExitStack() as stack:
        upstream = stack.enter_context(UpstreamThread(answer()))
        config = {"upstream": {"servers": [upstream.address]}}
        running = stack.enter_context(RunningPdns(tmp_path, config))
        other = stack.enter_context(browser.browser_type.launch(executable_path=CHROMIUM, args=["--no-sandbox"]))
        page = stack.enter_context(opened(other, SIZES[1], "light"))
        page.goto(f"http://127.0.0.1:{running.metrics_port}/status")
        expect(page.locator("#pause")).to_be_visible(timeout=_PATIENCE_MS)
        assert running.stop() == 0
        expect(page.locator("#connection")).to_contain_text("connection lost since", timeout=_PATIENCE_MS)
        expect(page.locator("#state")).to_contain_text("ready")
        running.write_config({**config, "metrics": {"listen": f"127.0.0.1:{running.metrics_port}"}})
        running.start()
        expect(page.locator("#connection")).to_have_text("", timeout=_PATIENCE_MS)
        running.ask("fine.example")
        expect(page.locator("#answers")).to_contain_text("upstream", timeout=_PATIENCE_MS)
