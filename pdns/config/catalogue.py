"""Well-known public feeds for the configuration: `use = "urlhaus"`. They are in `feeds/catalogue.toml`."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from pdns.config.shape import Report, show

CATALOGUE: Final = Path(__file__).parents[2] / "feeds" / "catalogue.toml"
# Feeds shipped with the program. A configuration that uses one works wherever it is copied to.
SHIPPED: Final[Mapping[str, Mapping[str, Any]]] = {
    "example": {
        "url": (Path(__file__).parents[1] / "example" / "example-feed.hosts").as_uri(),
        "format": "hosts",
        "category": "malware",
    }
}
# Information for people; the other keys are keys of [[feed]].
ABOUT: Final = ("licence", "commercial", "service", "kind", "key", "mirrors", "checked", "notice", "description", "homepage")
_WITH_A_TOKEN: Final = ("token_header", "token_query")  # how a key is sent, for those who have one


@cache
def catalogue() -> Mapping[str, Mapping[str, Any]]:
    """Every entry by its name, in the order of the file."""
    with CATALOGUE.open("rb") as file:
        return tomllib.load(file)


def filled(table: Mapping[str, Any], key: str, report: Report) -> Mapping[str, Any]:
    """The table of a feed at `key`, with keys from its `use` where it has none itself. An unknown name is reported."""
    name = table.get("use")
    if not isinstance(name, str) or not name:
        return table
    entry = SHIPPED.get(name) or catalogue().get(name)
    if entry is None:
        report.add(f"{key}.use", f"{_unknown(name)}, got {show(name)}")
        entry = {"url": "file:///"}  # so that it is reported only once
    left_out = ABOUT if "token_file" in table or "token_env" in table else (*ABOUT, *_WITH_A_TOKEN)
    return {"name": name, **{setting: value for setting, value in entry.items() if setting not in left_out}, **table}


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, catalogue(), n=3) or [known for known in catalogue() if name and name in known][:3]
    advice = f"; did you mean {' or '.join(map(show, near))}?" if near else ""
    return f"expected a feed that `pdns feeds catalogue` prints{advice}"
