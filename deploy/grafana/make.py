"""Writes the dashboards: `python -m deploy.grafana.make`. A test fails while the files differ from what this makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana import events, feeds, fleet, internals, overview, tenant

DIRECTORY: Final = Path(__file__).parent / "dashboards"
BOARDS: Final = (overview, tenant, feeds, fleet, internals, events)


def texts() -> dict[str, str]:
    """The text of each file in `DIRECTORY`, by name."""
    made = {}
    for module in BOARDS:
        board = module.board()
        made[f"{board.uid}.json"] = json.dumps(_numbered(board.made()), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
    return made


def _numbered(dashboard: Any) -> Any:
    """Each query of a panel needs a name: A, B, C ..."""
    for panel in dashboard.panels or ():
        for at, target in enumerate(getattr(panel, "targets", None) or ()):
            if not target.ref_id:
                target.ref_id = chr(ord("A") + at)
    return dashboard


def main() -> None:
    DIRECTORY.mkdir(exist_ok=True)
    for name, text in texts().items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
