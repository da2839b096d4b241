"""The policy of a fleet, as TOML: the part of the publisher's configuration that makes sense on every node.

It has no secrets, and names no files: what feeds come from, credentials, addresses to listen at and files with local records stay
on the publisher.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import tomli_w

from pdns.config.fleet_rules import BUNDLE_FEED_KEYS, BUNDLE_SECTIONS, FLEET_FEED
from pdns.config.schema import Config, Feed

HEAD: Final = "# The policy of the fleet, made by its publisher. Changes here are lost.\n"


def bundle_of(config: Config) -> bytes:
    """The policy bundle of `config`, which is settled: equal configurations give equal bytes."""
    tables: dict[str, Any] = {}
    for name in BUNDLE_SECTIONS:
        section = getattr(config, name)
        if name == "feed":
            rows = [_feed(feed) for feed in section]
            tables |= {name: rows} if rows else {}
        elif said := _said(section):
            tables[name] = said
    return (HEAD + tomli_w.dumps(tables)).encode()


def _feed(feed: Feed) -> dict[str, Any]:
    said = _said(feed)
    said |= {"name": feed.name, "url": FLEET_FEED + feed.name}
    return {key: said[key] for key in BUNDLE_FEED_KEYS if key in said}  # what matters where a feed is already compiled


def _said(value: Any) -> Any:
    """`value` as TOML has it; of a section, what is not the default."""
    if isinstance(value, msgspec.Struct):
        fields = ((field, getattr(value, field.name)) for field in msgspec.structs.fields(value))
        return {field.name: _said(said) for field, said in fields if field.required or said != _default(field)}
    if isinstance(value, tuple | list):
        return [_said(one) for one in value]
    if isinstance(value, dict):
        return {key: _said(value[key]) for key in sorted(value)}
    return value


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
