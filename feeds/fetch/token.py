"""The secret that a publisher knows a subscriber by. It is read anew for each attempt, and shown to that publisher alone."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote, quote_plus

from yarl import URL

from pdns.config.schema import Feed
from pdns.errors import FeedError
from pdns.files.safe_files import TooLongError, read_bounded

MAX_BYTES = 16 * 1024
_SHOWN = "***"


class Token:
    """How `feed` proves who asks; of a feed without a token, nothing."""

    def __init__(self, feed: Feed) -> None:
        """Raises `FeedError` when it cannot be read."""
        self._feed = feed
        self._secret = _read(feed)
        self._default = "Authorization" if feed.url.startswith("misp-api+") else "Authorization: Bearer"

    def headers(self) -> dict[str, str]:
        """The header field that carries it."""
        if not self._secret or self._feed.token_query:
            return {}
        name, _, scheme = (self._feed.token_header or self._default).partition(":")
        return {name.strip(): f"{scheme.strip()} {self._secret}".strip()}

    def added_to(self, url: URL) -> URL:
        """`url` with it in the query, where that is its place."""
        return url.update_query({self._feed.token_query: self._secret}) if self._secret and self._feed.token_query else url

    def taken_from(self, url: URL) -> URL:
        """`url` for somebody else: a server that redirects may copy the query it was asked with."""
        if self._feed.token_query in url.query:
            url = url.without_query_params(self._feed.token_query)
        copied = self._secret and any(self._secret in value for value in url.query.values())
        return url.with_query(None) if copied else url

    def hidden(self, text: str) -> str:
        """`text` without it, however it got there."""
        in_query = URL("/").with_query({"k": self._secret}).raw_query_string.removeprefix("k=")
        for secret in {self._secret, in_query, quote(self._secret), quote(self._secret, safe=""), quote_plus(self._secret)} - {
            ""
        }:
            text = text.replace(secret, _SHOWN)
        return text


def _read(feed: Feed) -> str:
    if feed.token_env:
        secret = os.environ.get(feed.token_env, "").strip()
        if not secret:
            raise FeedError(feed.name, f"token_env: {feed.token_env} is not set where pdns serve was started")
    elif feed.token_file:
        secret = read_secret(feed, "token_file", feed.token_file)
    else:
        return ""
    if not secret.isprintable() or not secret.isascii():
        raise FeedError(feed.name, "the token has characters that no header may carry: one line of ASCII is expected")
    return secret


def read_secret(feed: Feed, key: str, path: str) -> str:
    """What the file `path` holds, without the space around it. Raises `FeedError`, which names `key` and never the content."""
    try:
        text = read_bounded(Path(path), MAX_BYTES, follow_links=True).decode().strip()
    except TooLongError:
        raise FeedError(feed.name, f"{key} = {path}: too long for a secret") from None
    except OSError as exc:
        raise FeedError(feed.name, f"{key} = {path}: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise FeedError(feed.name, f"{key} = {path}: not text") from None
    if not text:
        raise FeedError(feed.name, f"{key} = {path}: empty")
    return text
