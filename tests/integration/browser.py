"""Chromium for tests of pages: every name leads to one address, and axe looks for what hinders people (WCAG)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM: Final = shutil.which("chromium")
SIZES: Final = ((360, 740), (1280, 800))  # a phone, a desktop
SCHEMES: Final[tuple[str, ...]] = ("light", "dark")


@contextmanager
def chromium(address: str, port: int) -> Iterator[Browser]:
    """A browser in which every http URL leads to that address and port."""
    assert CHROMIUM is not None
    rules = f"--host-resolver-rules=MAP * {address}:{port}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-lcd-text", rules])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, size: tuple[int, int], scheme: str, *, scripts: bool = True, checked: bool = False
) -> Iterator[Page]:
    """A tab. `scripts`: pages may have scripts. `checked`: axe may be put into pages, whatever their policy says."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=scripts,
        bypass_csp=checked,
    )
    try:
        yield context.new_page()
    finally:
        context.close()


def violations(page: Page) -> list[str]:
    """What axe finds in the page as it is now, and what it could not decide."""
    found = Axe().run(page).response
    return [
        f"{one['id']}: {node['html']}" for kind in ("violations", "incomplete") for one in found[kind] for node in one["nodes"]
    ]
