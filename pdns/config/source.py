"""What identifies the source of a feed."""

from __future__ import annotations

import hashlib

import msgspec

from pdns.config.schema import Feed


def source_fingerprint(feed: Feed) -> str:
    """A hash of every setting that decides a feed's content: with the same hash, the same bytes parse to the same names."""
    decisive = [
        feed.url, feed.format, feed.wildcard_includes_apex, feed.addresses,
        feed.url_hosts, feed.top_level_domains, feed.column, feed.delimiter, feed.json_path, feed.active_until,
    ]  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(decisive)).hexdigest()[:32]
