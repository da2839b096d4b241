"""What fetching needs from around it: whom to ask for addresses, and whom to trust."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self

from pdns.config.schema import Config, Feed
from pdns.config.upstream_address import UpstreamAddress, parse_upstream
from pdns.core.embedded import Embeddings
from pdns.errors import FeedError
from pdns.files.safe_files import open_regular
from pdns.net.tls import client_context


class Network(NamedTuple):
    """Shared by all feeds of one process. `trusted` is what this machine trusts, `upstream_tls` is for upstreams over TLS."""

    upstreams: tuple[UpstreamAddress, ...]
    trusted: ssl.SSLContext
    upstream_tls: ssl.SSLContext
    embeddings: Embeddings = Embeddings(())  # IPv4 addresses inside IPv6 ones, by what is configured of NAT64
    upstream_ca_file: str = ""
    texts: Mapping[str, Path] = MappingProxyType({})  # of the feeds of a fleet's release

    @classmethod
    def of(cls, config: Config) -> Self:
        """As configured. Raises `OSError` when `upstream.ca_file` can no longer be read."""
        trusted = client_context()
        ca_file = config.upstream.ca_file
        return cls(
            tuple(map(parse_upstream, config.upstream.servers)),
            trusted,
            client_context(ca_file) if ca_file else trusted,
            Embeddings.of(config),
            ca_file,
        )

    def tls(self, feed: Feed, *, identify: bool) -> ssl.SSLContext:
        """For a connection to fetch `feed`: its own authority if it has one, and its certificate when it may be shown there.

        Raises `FeedError`.
        """
        if not feed.ca_file and not (identify and feed.client_cert_file):
            return self.trusted
        for key in ("ca_file", "client_cert_file", "client_key_file"):
            _check_regular(feed, key, getattr(feed, key))
        try:
            context = client_context(feed.ca_file)
        except OSError as exc:
            raise FeedError(feed.name, f"ca_file = {feed.ca_file}: {exc.strerror}") from None
        if identify and feed.client_cert_file:
            try:
                context.load_cert_chain(feed.client_cert_file, feed.client_key_file or None, _no_password)
            except (OSError, ValueError) as exc:
                reason = exc.strerror if isinstance(exc, OSError) and not isinstance(exc, ssl.SSLError) else "not a PEM pair"
                raise FeedError(feed.name, f"client_cert_file = {feed.client_cert_file}: {reason}") from None
        return context


def _check_regular(feed: Feed, key: str, path: str) -> None:
    """Raise `FeedError` unless `path`, if any, is a regular file: OpenSSL would wait for the writer of a pipe."""
    try:
        if path:
            os.close(open_regular(Path(path), follow_links=True))
    except OSError as exc:
        raise FeedError(feed.name, f"{key} = {path}: {exc.strerror}") from None


def _no_password() -> str:
    """A key that is encrypted must not make a daemon ask on a terminal."""
    raise ValueError
