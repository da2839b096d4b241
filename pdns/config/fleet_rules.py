"""Rules for `[fleet]`: which keys each role needs, and what the policy bundle of a node may hold."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from msgspec.structs import replace

from pdns.config import addresses
from pdns.config.feed_rules import check_authority
from pdns.config.fleet_schema import FleetSection
from pdns.config.shape import Report, show
from pdns.errors import InvalidAddress

T = TypeVar("T")
FLEET_FEED: Final = "fleet:"  # begins the url of a feed that a release brings
DIRECTORY: Final = "fleet"  # below the state directory
BUNDLE_FILE: Final = "bundle.toml"  # in it: the policy bundle in force
OFFERED_BUNDLE_FILE: Final = "bundle.new.toml"  # likewise: one that waits to be tried
BUNDLE_SECTIONS: Final = ("block", "feed", "policy", "tenant", "record", "rebinding")
BUNDLE_FEED_KEYS: Final = ("name", "url", "category", "required", "mode", "rpz_action", "addresses")  # of `[[feed]]` in it
_STORES: Final = {"publisher": ("file", "s3"), "node": ("file", "s3", "https", "http")}
_SPELT: Final = {"file": "file:///PATH", "s3": "s3://BUCKET/PREFIX", "https": "https://HOST/PATH"}
_S3: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,62}(?:/[A-Za-z0-9!_.*'()/-]*)?")
_FILES: Final = ("credentials_file", "ca_file", "root_file", "heartbeat_credentials_file")


class FleetRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report
    directory: Path

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def file(self, key: str, text: str) -> Path | None: ...
    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...


def settle_fleet(fleet: FleetSection, around: FleetRuleContext) -> FleetSection:
    """`fleet` in canonical form. Broken rules are reported. A standalone server's other keys are not checked: it may have been a
    node, or become one.
    """
    if fleet.role == "standalone":
        return fleet
    report, settled = around.report, dict[str, Any]()
    for key in ("store", "keys_dir" if fleet.role == "publisher" else "root_file"):
        if not getattr(fleet, key):
            report.add(f"fleet.{key}", f'required with role = "{fleet.role}"')
    if fleet.keys_dir:
        path = around.parse("fleet.keys_dir", fleet.keys_dir, lambda text: addresses.absolute_path(text, around.directory))
        if path is not None and fleet.role == "publisher" and not os.path.isdir(path):  # noqa: PTH112 (Path's raises on EACCES)
            report.add("fleet.keys_dir", f"expected a directory, got {show(fleet.keys_dir)}")
        settled["keys_dir"] = str(path or "")
    for key in _FILES:
        if text := getattr(fleet, key):
            settled[key] = str(around.file(f"fleet.{key}", text) or text)
    if fleet.ca_file and os.path.isfile(settled["ca_file"]):  # noqa: PTH113 (Path's raises on EACCES)
        check_authority(settled["ca_file"], "fleet.ca_file", fleet.ca_file, around)
    for key, kinds in (("store", _STORES[fleet.role]), ("heartbeat_store", _STORES["publisher"])):
        if text := getattr(fleet, key):
            settled[key] = around.parse(f"fleet.{key}", text, _store(kinds, around.directory)) or text
    if fleet.endpoint:
        around.parse("fleet.endpoint", fleet.endpoint, addresses.parse_web)
    return replace(fleet, **settled)


def node_name(fleet: FleetSection) -> str:
    """The name of this server in the fleet: as configured, or the host name with other characters replaced by `-`."""
    return fleet.node or re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "node"


def ring_of(fleet: FleetSection) -> str:
    """The ring of this node: `first`, `early` or `all`. Without `fleet.ring`, the hash of its name decides."""
    if fleet.ring:
        return fleet.ring
    share = int.from_bytes(hashlib.sha256(node_name(fleet).encode()).digest()[:8], "big") / 2**64
    return "early" if share < fleet.early_share else "all"


def fleet_feed(url: str) -> str:
    """The name of the feed of a release that `url` stands for; "" for any other URL."""
    return url.removeprefix(FLEET_FEED) if url.startswith(FLEET_FEED) else ""


def is_node(tables: Mapping[str, Any]) -> bool:
    """Whether `tables`, of one file, make this server a node."""
    fleet = tables.get("fleet")
    return isinstance(fleet, Mapping) and fleet.get("role") == "node"


def check_feeds(tables: Mapping[str, Any], bundle_rows: frozenset[int], report: Report) -> None:
    """Report feeds of a node that are not of its bundle, and feeds of a release elsewhere.

    `bundle_rows` are the positions of the bundle's feeds among all.
    """
    feeds, node = tables.get("feed"), is_node(tables)
    for index, feed in enumerate(feeds if isinstance(feeds, list | tuple) else ()):
        url = feed.get("url", "") if isinstance(feed, Mapping) else ""
        if node and index not in bundle_rows:
            report.add(f"feed[{index}]", "a node has no feeds of its own: its publisher configures them; see fleet.role")
        elif node and isinstance(feed, Mapping):
            for key, reason in foreign_keys(feed):
                report.add(f"feed[{index}].{key}", reason)
        elif not node and isinstance(url, str) and url.startswith(FLEET_FEED):
            report.add(f"feed[{index}].url", 'fleet: is for the policy bundle of a server with fleet.role = "node"')


def foreign_keys(feed: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a feed of a policy bundle must not say, with the reason of each: whoever signs bundles does not decide what a node
    fetches, from where, and which of its files it reads or sends for that.
    """
    expected = f"{FLEET_FEED}{feed.get('name')}"
    url = [] if feed.get("url") == expected else [("url", f"expected {expected} in a policy bundle, got {show(feed.get('url'))}")]
    others = [(key, "is for the publisher, not for a policy bundle") for key in feed if key not in BUNDLE_FEED_KEYS]
    return [*url, *others]


def _store(kinds: tuple[str, ...], directory: Path) -> Callable[[str], str]:
    expected = f"expected {' or '.join(_SPELT[kind] for kind in kinds if kind in _SPELT)}"

    def parse(text: str) -> str:
        kind = text.partition(":")[0].lower()
        if kind not in kinds:
            raise InvalidAddress(expected)
        if kind == "file":
            return addresses.parse_source(text, directory)
        if kind == "s3":
            if not _S3.fullmatch(text):
                raise InvalidAddress("expected s3://BUCKET/PREFIX")
            return text
        addresses.parse_web(text)
        return text.rstrip("/")

    return parse
