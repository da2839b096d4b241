"""What identifies the source of a feed."""

from __future__ import annotations

import hashlib

import msgspec

from pdns.config.schema import Feed

_ADDED_LATER = ("top_level_domains", "active_until")


def source_fingerprint(feed: Feed) -> str:
    """A hash of every setting that decides a feed's content: with the same hash, the same bytes parse to the same names.

    A setting that is added here changes the fingerprint of every feed. `has_source` must then accept the earlier one as well. If
    not, an upgrade finds no required feed in the loaded blockset, and answers SERVFAIL until the feeds are compiled again.
    """
    given = ("given",) if feed.rpz_action == "given" else ()  # so that the fingerprints of other feeds stay
    return _hash(
        feed.url, feed.format, feed.wildcard_includes_apex, feed.addresses,
        feed.url_hosts, feed.top_level_domains, feed.column, feed.delimiter, feed.json_path, feed.active_until, *given,
    )  # fmt: skip


def has_source(feed: Feed, fingerprint: str) -> bool:
    """Whether `fingerprint` is that of `feed`, computed by this version or by an earlier one."""
    if fingerprint == source_fingerprint(feed):
        return True
    if feed.rpz_action == "given" or any(getattr(feed, name) for name in _ADDED_LATER):
        return False
    apex = feed.wildcard_includes_apex is True  # the default was False, where it is "auto" now
    return fingerprint == _hash(
        feed.url, feed.format, apex, feed.addresses,
        feed.url_hosts, feed.column, feed.delimiter, feed.json_path,
    )  # fmt: skip


def _hash(*settings: object) -> str:
    return hashlib.sha256(msgspec.json.encode(settings)).hexdigest()[:32]
