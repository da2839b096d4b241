"""Draws docs/images/block-page-*.png: the block page as a council's staff see it, in Chromium, from the server's own code.

    python -m tests.integration.blockpagepicture

Needs what the tests of pages need, and pngquant, which makes the pictures small.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import threading
from pathlib import Path

from pdns.config.addresses import Endpoint
from pdns.config.schema import Config, State
from pdns.core.case import reference
from pdns.net.sockets import bind_tcp
from pdns.page.lookup import Lookup, SinkholeVisit
from pdns.page.report_queue import ReportQueue
from pdns.page.server import BlockPages, BlockPageServer
from pdns.page.texts import PageTexts
from pdns.state import reports
from pdns.telemetry.counters import Counters
from pdns.wire.names import from_text
from tests.integration.browser import SIZES, chromium, opened, violations
from tests.integration.pagevisits import ADDRESS
from tests.integration.running_pdns import ROOT

IMAGES = ROOT / "docs/images"
_TEXTS = PageTexts(
    organisation="Leeds City Council",
    contact=("mailto:it.help@leeds.example", "tel:+44-113-496-0000"),
    help_url="https://intranet.leeds.example/security",
)
_NAMES = {"phishing": "www.parcel-fee.example", "urgent": "update.cdn-sync.example"}
_VISITS = {
    _NAMES["phishing"]: SinkholeVisit(
        "leeds", _TEXTS, _NAMES["phishing"], "urlhaus", "phishing",
        rule="parcel-fee.example", since_s=1_795_400_000.0, case=reference(from_text("parcel-fee.example"), "urlhaus"),
    ),
    _NAMES["urgent"]: SinkholeVisit(
        "leeds", _TEXTS, _NAMES["urgent"], "threatfox", "c2",
        rule=_NAMES["urgent"], since_s=1_795_000_000.0, case=reference(from_text(_NAMES["urgent"]), "threatfox"),
    ),
}  # fmt: skip


_PHONE, _DESKTOP = SIZES
SHOWN = (
    ("phishing", _DESKTOP, "light"), ("urgent", _DESKTOP, "dark"), ("phishing", _PHONE, "dark"), ("urgent", _PHONE, "light"),
)  # fmt: skip


class _Examples(Lookup):
    def visit(self, _client: str, host: str) -> SinkholeVisit:
        return _VISITS.get(host, SinkholeVisit("leeds", _TEXTS, host))


class _Served:
    """The server, in a thread of its own."""

    def __init__(self, state_dir: Path) -> None:
        (state_dir / reports.DIRECTORY).mkdir()
        self._config = Config(state=State(dir=str(state_dir)))
        self._socket = bind_tcp(Endpoint(ADDRESS, 0))
        self.port: int = self._socket.getsockname()[1]
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True).start()
        self._ready.wait()

    async def _serve(self) -> None:
        state_dir = Path(self._config.state.dir)
        queue = ReportQueue(state_dir, 10)
        pages = BlockPages(self._config, _Examples(self._config, 0.0), queue, Counters.create(64), b"secret")
        await BlockPageServer(pages, 64).serve(self._socket)
        self._ready.set()
        await asyncio.Event().wait()


def draw(directory: Path) -> list[str]:
    """Draw every picture into `directory`; returns what axe found."""
    found = []
    with tempfile.TemporaryDirectory() as state, chromium(ADDRESS, _Served(Path(state)).port) as browser:
        for kind, size, scheme in SHOWN:
            with opened(browser, size, scheme, checked=True) as page:
                page.goto(f"http://{_NAMES[kind]}/")
                found += violations(page)
                page.screenshot(path=directory / f"block-page-{kind}-{scheme}-{size[0]}.png", full_page=True)
        with opened(browser, SIZES[1], "light", checked=True) as page:
            page.goto(f"http://{_NAMES['phishing']}/")
            page.click("summary")
            page.fill("#comment", "Our supplier sends its delivery notes from this website.")
            page.locator(".report").screenshot(path=directory / "block-page-report.png")
    return found


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    assert draw(IMAGES) == []
    pictures = sorted(IMAGES.glob("block-page-*.png"))
    subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", "48", *pictures], check=True)
