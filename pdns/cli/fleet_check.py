"""`pdns fleet check`: what a node sees when it asks the store now. Nothing is used, and nothing is kept."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from feeds.fetch.network import Network
from feeds.fleet.object_store import open_store
from feeds.fleet.stored import Denied, NotFound, ObjectStoreError, Unreachable
from feeds.fleet.trusted import Found, TrustedStore, UntrustedError
from pdns.cli.feed_table import age, aligned
from pdns.config.fleet_rules import ring_of
from pdns.config.schema import Config
from pdns.errors import PdnsError

_NEXT: Final = {
    Unreachable: "check fleet.store and fleet.endpoint, the route, the firewall and fleet.ca_file",
    Denied: "check fleet.credentials_file, and that these credentials may read the bucket",
    NotFound: "has the publisher published yet? `pdns fleet status` there; check fleet.store",
    UntrustedError: "compare fleet.root_file with root.json of the publisher, and the clocks of both; see docs/fleet.md",
}


def check(config: Config, console: Console, errors: Console) -> int:
    """Prints what was found. Returns 0, or 1 where a node could not follow its publisher, with what to do."""
    fleet = config.fleet
    root_file = Path(fleet.root_file or Path(fleet.keys_dir) / "root.json")
    ring = ring_of(fleet) if fleet.role == "node" else "all"
    try:
        with tempfile.TemporaryDirectory(prefix="pdns-fleet-check-") as directory:
            found, took_s = asyncio.run(_look(config, root_file, Path(directory), ring))
    except PdnsError as exc:
        advice = next((text for kind, text in _NEXT.items() if isinstance(exc, kind)), "see docs/fleet.md")
        errors.print(Text(f"{fleet.store}: {exc}", "red"), soft_wrap=True)
        errors.print(Text(advice), soft_wrap=True)
        return 1
    now_s, release, urgent = time.time(), found.release, found.urgent
    expires = age(found.pointer.expires_s - now_s).removesuffix(" ago")
    made = f"{release.number} for ring {ring}, made {age(now_s - release.created_s)}" if release else f"none for ring {ring}"
    rows = [
        ("store", f"{fleet.store}: answers, {took_s:.2f} s for everything"),
        ("signatures", f"verified from {root_file}"),
        ("pointer", f"sequence {found.pointer.sequence}, expires in {expires}"),
        ("release", made),
        ("urgent", f"{len(urgent.disabled)} feeds switched off, {len(urgent.indicators)} local entries" if urgent else "none"),
    ]  # fmt: skip
    rows += [
        ("feed", f"{feed.name}: {feed.entries:,} entries, {feed.full.bytes:,} bytes whole, {len(feed.deltas)} deltas")
        for feed in (release.feeds if release else ())
    ]
    aligned(console, rows)
    return 0


async def _look(config: Config, root_file: Path, directory: Path, ring: str) -> tuple[Found, float]:
    fleet = config.fleet
    network = Network.of(config) if fleet.store.startswith("http") else None
    store = open_store(fleet.store, fleet.endpoint, fleet.region, fleet.credentials_file, fleet.ca_file, network=network)
    began_s = time.monotonic()
    try:
        found = await TrustedStore(store, root_file, directory).look(ring, "", "")
    finally:
        await store.close()
    if found is None:
        raise ObjectStoreError("the store says that nothing has changed, and was not asked that")
    return found, time.monotonic() - began_s
