"""Rules for the keys about fetching a feed, checked together. Paths and URLs are returned in canonical spelling."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from msgspec.structs import replace

from pdns.config import addresses
from pdns.config.credentials import secret_path
from pdns.config.schema import Feed
from pdns.config.shape import Report, show
from pdns.files.safe_files import open_regular

T = TypeVar("T")
_WEB_KEYS: Final = (
    "ca_file", "client_cert_file", "client_key_file", "proxy", "internal_networks", "token_file", "token_env", "token_header",
    "token_query",
    "checksum_url", "minisign_key", "signature_url", "minisign_file", "minisign_prehashed",
)  # fmt: skip
_ZONE_KEYS: Final = ("tsig_name", "tsig_secret_file")
# of one list that is fetched whole
_PLAIN_WEB_KEYS: Final = ("checksum_url", "minisign_key", "signature_url", "minisign_file", "minisign_prehashed")
_PATHS: Final = ("ca_file", "client_cert_file", "client_key_file", "token_file", "tsig_secret_file")
_NEEDS: Final = {
    "client_key_file": "client_cert_file",
    "signature_url": "minisign_key",
    "minisign_file": "minisign_key",
    "minisign_prehashed": "minisign_key",
    "tsig_name": "tsig_secret_file",
    "tsig_secret_file": "tsig_name",
}


class FeedRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report
    directory: Path

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...


def settle_source(feed: Feed, at: str, around: FeedRuleContext) -> Feed:
    """`feed`, from the key `at`, in canonical form. Broken rules are reported."""
    url = _url(feed.url, f"{at}.url", around)
    settled: dict[str, Any] = {"url": url, **_paths(feed, at, around)}
    zone = url.startswith("axfr:")
    web = addresses.source_path(url) is None and not url.startswith(("axfr:", "fleet:"))
    _only(feed, at, around, _WEB_KEYS, web, "is for http and https")
    _only(feed, at, around, _PLAIN_WEB_KEYS, not web or not addresses.web_kind(url), "is for a list that is one file")
    _only(feed, at, around, _ZONE_KEYS, zone, "is for axfr")
    for key, needed in _NEEDS.items():
        if getattr(feed, key) and not getattr(feed, needed):
            around.report.add(f"{at}.{key}", f"needs {needed} beside it")
    if feed.token_file and feed.token_env:
        around.report.add(f"{at}.token_env", "expected one of token_file and token_env")
    if feed.token_header and feed.token_query:
        around.report.add(f"{at}.token_query", "expected one of token_header and token_query")
    for key in ("token_header", "token_query"):
        if getattr(feed, key) and not (feed.token_file or feed.token_env):
            around.report.add(f"{at}.{key}", "needs token_file or token_env beside it")
    if addresses.web_kind(url) == "misp-api+" and not (feed.token_file or feed.token_env):
        around.report.add(f"{at}.url", "needs token_file or token_env beside it: MISP knows its users by their key")
    if feed.proxy:
        around.parse(f"{at}.proxy", feed.proxy, lambda text: addresses.parse_web(text, "http"))
    for key in ("checksum_url", "signature_url"):
        if getattr(feed, key):
            around.parse(f"{at}.{key}", getattr(feed, key), addresses.parse_web)
    settled["internal_networks"] = around.canonical(f"{at}.internal_networks", feed.internal_networks, addresses.parse_network)
    if feed.tsig_name:
        around.parse(f"{at}.tsig_name", feed.tsig_name, addresses.parse_allowed)
    if feed.rpz_action != "policy" and feed.format not in ("auto", "rpz"):
        around.report.add(f"{at}.rpz_action", f'is for format = "rpz" only, got {show(feed.format)}')
    if zone and feed.format not in ("auto", "rpz"):
        around.report.add(f"{at}.format", f'expected "rpz", the format of a transferred zone, got {show(feed.format)}')
    if zone:
        settled["format"] = "rpz"
    return replace(feed, **settled)


def _url(text: str, key: str, around: FeedRuleContext) -> str:
    meant = addresses.meant_url(text)
    if meant and not (around.directory / text.partition("/")[0]).is_dir():
        expected = "expected https:// or http:// before a host, or file: before a path"
        around.report.add(key, f"{expected}; did you mean {show(meant)}?")
        return meant
    return around.parse(key, text, lambda text: addresses.parse_source(text, around.directory)) or text


def _paths(feed: Feed, at: str, around: FeedRuleContext) -> dict[str, str]:
    settled = {}
    for key in _PATHS:
        text = getattr(feed, key)
        if not text:
            continue
        path = around.parse(f"{at}.{key}", text, lambda text: secret_path(text, around.directory))
        if path is not None:
            settled[key] = str(path)
    if settled.get("ca_file"):
        check_authority(settled["ca_file"], f"{at}.ca_file", settled["ca_file"], around)
    return settled


def check_authority(path: str, key: str, spelt: str, around: FeedRuleContext) -> None:
    """Report an invalid file of certificates; `spelt` is its name in the configuration."""
    try:
        os.close(open_regular(Path(path), follow_links=True))  # OpenSSL would wait for the writer of a pipe
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        around.report.add(key, f"expected a file of PEM certificates, got {show(spelt)}")
    except OSError as error:
        around.report.add(key, f"cannot be read: {path}: {error.strerror or os.strerror(error.errno or 0)}")


def _only(feed: Feed, at: str, around: FeedRuleContext, keys: tuple[str, ...], allowed: bool, why: str) -> None:
    for key in keys:
        if getattr(feed, key) and not allowed:
            around.report.add(f"{at}.{key}", f"{why} only")
