"""Draws docs/images/status-page-*.png and docs/images/top.svg: the live views of a resolver that answers invented clients.

    python -m tests.integration.livepicture

Needs what the tests of pages need, and pngquant, which makes the pictures small. Takes two minutes: charts need a past.
"""

from __future__ import annotations

import io
import json
import random
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.request import urlopen

import dns.message
import msgspec
from rich.console import Console

from pdns.cli.top_view import TopLook, TopState, screen
from pdns.telemetry.live_status import LiveStatus
from tests.fakes.upstream import answer
from tests.integration.browser import chromium, opened, violations
from tests.integration.running_pdns import ROOT, RunningPdns, UpstreamThread, feed

IMAGES = ROOT / "docs/images"
LOAD_S = 120
TENANTS = ("leeds", "york", "hull", "bradford", "wakefield", "kirklees", "harrogate", "selby")
NODE = "ns1.council.example"
LOOK = TopLook(96, 28)
MALWARE = [
    f"{word}-{at}.{zone}"
    for word in ("cdn", "update", "files", "app")
    for at in range(40)
    for zone in ("invoice.example", "bad.test")
]
PHISHING = [f"{word}-council{at}.example" for word in ("login", "parcel", "refund") for at in range(60)]
SHOWN = (((1280, 800), "dark"), ((360, 740), "light"))


def sections(directory: Path, upstream: str) -> dict[str, object]:
    """The configuration."""
    return {
        "upstream": {"servers": [upstream, "udp://127.0.0.1:9"]},
        "server": {"identity": NODE},
        "events": {"clients": "prefix"},
        "log": {"level": "info"},
        "tenant": [{"name": name, "networks": [f"127.{at + 1}.0.0/16"]} for at, name in enumerate(TENANTS)],
        "feed": [
            feed(directory, "urlhaus", *MALWARE, category="malware"),
            feed(directory, "phishing-army", *PHISHING, category="phishing"),
            feed(directory, "adguard", *[f"ad{at}.ads.example" for at in range(50)], category="ads", mode="monitor"),
            {"name": "threatfox", "url": "https://127.0.0.1:1/threatfox", "category": "c2"},
        ],
    }


def ask(port: int, until_s: float) -> None:
    """Clients of each tenant: most ask for the same names, some for listed ones."""
    chance = random.Random(7)
    clients = []
    for at in range(len(TENANTS)):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.bind((f"127.{at + 1}.7.{at + 20}", 0))
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        clients.append(client)
    while time.monotonic() < until_s:
        for _ in range(max(0, int(chance.gauss(40, 9)))):
            name = f"www{int(chance.paretovariate(1))}.site{int(chance.paretovariate(0.9)) % 400}.example"
            luck = chance.random()
            if luck < 0.01:
                name = chance.choice(MALWARE)
            elif luck < 0.015:
                name = f"www.{chance.choice(PHISHING)}"
            elif luck < 0.03:
                name = f"ad{chance.randrange(50)}.ads.example"
            query = dns.message.make_query(name, chance.choice(["A", "A", "AAAA", "HTTPS"])).to_wire()
            chance.choice(clients).send(query)
        for client in clients:
            try:
                while client.recv(4096):
                    pass
            except OSError:
                pass
        time.sleep(0.1)
    for client in clients:
        client.close()


def draw_top(status: LiveStatus, path: Path) -> None:
    """The screen of `pdns top` as SVG."""
    console = Console(file=io.StringIO(), record=True, width=LOOK.width, force_terminal=True, color_system="truecolor")
    for line in screen(status, TopState(), LOOK):
        console.print(line, soft_wrap=True)
    path.write_text(console.export_svg(title="pdns top"))


def draw(directory: Path) -> list[str]:
    """Draw every picture into `directory`; returns what axe found."""
    found: list[str] = []
    with ExitStack() as stack:
        name = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = stack.enter_context(UpstreamThread(answer()))
        pdns = stack.enter_context(RunningPdns(name, sections(name, upstream.address)))
        until_s = time.monotonic() + LOAD_S
        clients = threading.Thread(target=ask, args=(pdns.dns_port, until_s + 30))
        clients.start()
        while time.monotonic() < until_s:
            pdns.get("/status.json")
            time.sleep(5)
        with urlopen(f"http://127.0.0.1:{pdns.metrics_port}/status.json") as response:
            raw = json.load(response)
        draw_top(msgspec.convert({**raw, "node": NODE}, LiveStatus), directory / "top.svg")
        browser = stack.enter_context(chromium("127.0.0.1", pdns.metrics_port))
        for size, scheme in SHOWN:
            with opened(browser, size, scheme, checked=True) as page:
                page.goto("http://localhost/status")
                page.wait_for_timeout(3000)
                found += violations(page)
                page.screenshot(path=directory / f"status-page-{scheme}-{size[0]}.png", full_page=size[0] > 1000)
        clients.join()
    return found


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    assert draw(IMAGES) == []
    pictures = sorted(IMAGES.glob("status-page-*.png"))
    subprocess.run(["pngquant", "--force", "--ext", ".png", "--strip", "48", *pictures], check=True)
