"""A resolver with some of everything, from tenants to a published zone, and clients that use all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.message
import dns.query

from loadtest.loopback import free_port
from tests.fakes import upstream as fake
from tests.fakes.upstream import Handler
from tests.integration import pagevisits
from tests.integration.running_pdns import ROOT, RunningPdns, UpstreamThread, feed
from tests.integration.secondaries import ORIGIN, transferred

TENANTS = {"coventry": "127.0.0.2", "leeds": "127.0.0.3", "default": "127.0.0.1"}
LISTED = ("malware.test", "phish.test", "bot.test", "monitored.example")


def handler() -> Handler:
    """Answers, NXDOMAIN, SERVFAIL; and a name whose answer expires, and whose servers are gone then."""
    dying = fake.then(fake.answer("192.0.2.80", ttl_s=1), fake.rcode(fake.SERVFAIL))
    names = {"missing.example": fake.negative(), "broken.example": fake.rcode(fake.SERVFAIL), "dying.example": dying}
    return fake.by_name(names, fake.answer("192.0.2.80"))


def config(directory: Path, upstream: UpstreamThread, publish_port: int = 0) -> dict[str, Any]:
    """Two workers, two upstreams (one is not there), and all that has metrics."""
    page = pagevisits.config()
    return {
        "upstream": {"servers": [upstream.address], "fallback": "second", "timeout_s": 3.0},
        "group": [{"name": "second", "servers": [upstream.address]}],
        "zone": [{"name": "corp.example", "servers": [upstream.address]}],
        "feed": [
            feed(directory, "urlhaus", "malware.test", "both.test", "no name at all!", "malware2.test"),
            feed(directory, "phish", "phish.test", "both.test", category="phishing"),
            feed(directory, "bots", "bot.test", category="c2"),
            feed(directory, "trial", "monitored.example", "malware.test", mode="monitor"),
        ],
        "tenant": [{"name": name, "networks": [f"{address}/32"]} for name, address in TENANTS.items() if name != "default"],
        "feeds": {"publish_listen": [f"127.0.0.1:{publish_port or free_port()}"]},
        "sink": [{"name": "siem", "kind": "file", "path": str(directory / "events.jsonl")}],
        "publish": [{"zone": ORIGIN, "allow_transfer": ["127.0.0.1"]}],
        **page,
    }


def ask(pdns: RunningPdns, name: str, source: str = "127.0.0.1", qtype: str = "A", *, tcp: bool = False) -> None:
    """A question whose answer does not matter."""
    query = dns.message.make_query(name, qtype, use_edns=0)
    send = dns.query.tcp if tcp else dns.query.udp
    send(query, "127.0.0.1", timeout=60, port=pdns.dns_port, source=source)


def use(pdns: RunningPdns, settled: Callable[[], None]) -> None:
    """Clients ask for everything, twice; `settled` is called in between, when counters have to be seen to grow."""
    ask(pdns, "dying.example")
    for last in (False, True):
        for source in TENANTS.values():
            for name in (*LISTED, "both.test", "www.example", "missing.example", "broken.example", "www.corp.example"):
                ask(pdns, name, source)
            ask(pdns, "www.example", source, "AAAA", tcp=True)
        if last:
            ask(pdns, "dying.example")
        for name in ("malware.test", "phish.test"):
            pagevisits.visit(pagevisits.page_port(pdns), name, source=TENANTS["coventry"])
        settled()


def transfer(pdns: RunningPdns, port: int) -> None:
    """A secondary takes the published zone."""
    pdns.wait_for(lambda: pdns.value("publish_serial", zone=ORIGIN), "the published zone")
    transferred(port)


def command(pdns: RunningPdns, *words: str) -> None:
    """A command of an administrator."""
    run = [sys.executable, "-m", "pdns", *words, "-c", str(pdns.config_path)]
    subprocess.run(run, check=True, capture_output=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)})
