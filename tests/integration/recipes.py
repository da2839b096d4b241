"""The recipes of docs/recipes.md, as tests run them: addresses of this machine are in the place of those of the page."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.integration.running_pdns import ROOT, feed

PAGE = ROOT / "docs/recipes.md"
LISTED = ("malware.example", "listed.test")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Recipe(NamedTuple):
    """A section of the page: its configuration, and what it shows for other programs."""

    toml: str
    texts: tuple[str, ...]  # files of other programs
    consoles: tuple[str, ...]

    def text(self, word: str) -> str:
        """The one file that has `word` in it."""
        (found,) = [text for text in self.texts if word in text]
        return found

    def config(self, directory: Path, addresses: Mapping[str, int]) -> dict[str, Any]:
        """The configuration with ports of this machine for the addresses of its servers, and a list of names for its feeds."""
        tables = tomllib.loads(self.toml)
        sections = [tables["upstream"], *tables.get("group", ()), *tables.get("zone", ())]
        for section in sections:
            if isinstance(servers := section.get("servers"), list):
                ports = [addresses[server] for server in servers]
                section["servers"] = [f"udp://127.0.0.1:{port}" for port in dict.fromkeys(ports)]
        _replace_networks(tables)
        tables["feed"] = [feed(directory, "listed", *LISTED)]
        tables["server"]["listen"] = ["[::1]:0" if "dns64" in tables else "127.0.0.1:0"]
        return tables


def _replace_networks(tables: dict[str, Any]) -> None:
    """Clients are at ::1 where there is a DNS64, else at 127.0.0.1; a load balancer is there too, and its client at 127.0.0.7."""
    if "proxy_protocol_from" in tables["server"]:
        tables["server"]["proxy_protocol_from"] = ["127.0.0.1/32"]
        tables["access"]["networks"] = ["127.0.0.0/8"]
        tables["tenant"][0]["networks"] = ["127.0.0.7/32"]
    if "dns64" in tables:
        tables["dns64"]["networks"] = tables["access"]["networks"] = ["::1/128"]


def recipes() -> dict[str, Recipe]:
    """All recipes, by their headings."""
    sections = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for heading, body in zip(sections[::2], sections[1::2], strict=True):
        blocks = _FENCE.findall(body)
        (toml,) = [text for kind, text in blocks if kind == "toml"]
        texts, consoles = (tuple(text for kind, text in blocks if kind == wanted) for wanted in ("text", "console"))
        found[heading] = Recipe(toml, texts, consoles)
    return found
