"""What is known of a name, for `/api/explain`: which feeds list it, by which rule, and what was said of it here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from pdns import overrides
from pdns.blockset import Blockset
from pdns.config import Config
from pdns.core import names
from pdns.errors import BlocksetError
from pdns.generations import CURRENT, blocksets_directory


def explain(config: Config, name: str) -> dict[str, Any]:
    """All of it, as JSON can say it. Opens the current blockset. Raises `InvalidName`, `OSError`."""
    qname = names.from_text(name)
    state_dir = Path(config.state.dir)
    now_s = time.time()
    current = overrides.read(state_dir).at(now_s)
    entry = current.rules(now_s).find(qname)
    try:
        listings = Blockset.open(blocksets_directory(state_dir) / CURRENT).lookup(qname)
    except BlocksetError:
        listings = ()
    feeds = {feed.name: feed for feed in config.feed}
    return {
        "name": names.to_text(qname),
        "local": None
        if entry is None
        else {"name": names.to_text(entry.name), "action": "allow" if entry.allow else "block", "reason": entry.reason},
        "listings": [
            {
                "feed": listing.feed,
                "category": feeds[listing.feed].category,
                "mode": feeds[listing.feed].mode,
                "disabled": listing.feed in current.disabled,
                "listed": names.to_text(listing.name),
                "rule": listing.rule.name.lower(),
                "exception": listing.allow,
            }
            for listing in listings
            if listing.feed in feeds
        ],
    }
