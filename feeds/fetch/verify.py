"""Whether a list is what its publisher says it is: a published checksum, a signature. What fails changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from pathlib import Path

from yarl import URL

from feeds.fetch import OUTDATED, SIGNATURE, SourceError, Validators
from feeds.fetch.client import FetchClient
from feeds.fetch.minisign import MAX_BYTES, BadSignature, Statement, verify_file
from pdns.config.schema import Feed

MAX_CHECKSUMS_BYTES = 1024 * 1024
_CLOCK_S = 86400.0  # how far ahead of ours a publisher's clock may be
_GNU = re.compile(r"([0-9a-f]{64})(?:[ \t]+\*?(\S.*))?", re.IGNORECASE).fullmatch
_BSD = re.compile(r"SHA2?-?256 \((.+)\) = ([0-9a-f]{64})", re.IGNORECASE).fullmatch


def demanded(feed: Feed) -> str:
    """What a list of `feed` must be verified by, as one word that changes with it; "" for nothing."""
    parts = [feed.checksum_url, feed.minisign_key, feed.signature_url]
    parts += [f"file {feed.minisign_file}"] * bool(feed.minisign_file) + ["prehashed"] * feed.minisign_prehashed
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32] if feed.checksum_url or feed.minisign_key else ""


async def verify(feed: Feed, asking: FetchClient, path: Path, sha256: str, known: Validators | None) -> float:
    """Return if everything that `feed` demands vouches for the list in `path`, whose hash is `sha256`. Raises `FeedError`.

    What is returned is the newest time of a signature by its key, which `known` may remember; 0 when none says one.
    """
    if feed.checksum_url:
        sums = await asking.document(feed.checksum_url, "checksum_url", MAX_CHECKSUMS_BYTES)
        published = published_checksum(sums, URL(feed.url).name)
        if published is None:
            raise SourceError(feed.name, "checksum_url has no SHA-256 for this list", result=SIGNATURE)
        if published != sha256:
            reason = (
                f"not what checksum_url says: expected {published[:16]}…, got {sha256[:16]}…: altered, or still being published"
            )
            raise SourceError(feed.name, reason, result=SIGNATURE)
    if feed.minisign_key:
        url = feed.signature_url or signature_url(feed.url)
        signature = await asking.document(url, "signature", MAX_BYTES)
        try:
            statement = await asyncio.to_thread(verify_file, path, signature, feed.minisign_key)
            _check_form(feed, statement)
        except BadSignature as exc:
            raise SourceError(feed.name, f"signature refused: {exc}", result=SIGNATURE) from None
        return _newest(feed, statement, known)
    return 0.0


def _check_form(feed: Feed, statement: Statement) -> None:
    """Raises `BadSignature` for one that is over another list, or in a form that `feed` does not take."""
    if feed.minisign_prehashed and not statement.prehashed:
        raise BadSignature("it is of the older form, not prehashed, which minisign_prehashed demands")
    expected = feed.minisign_file or URL(feed.url).name
    if statement.file is not None and expected and statement.file != expected:
        shown = ascii(statement.file[:100])
        raise BadSignature(f"it is for the file {shown}, not for {expected!r}: if that is right, set minisign_file")


def _newest(feed: Feed, statement: Statement, known: Validators | None) -> float:
    """The newest time that the key of `feed` has signed. Raises `SourceError` when `statement` is older than that.

    A time in the future is remembered as tomorrow: a publisher whose clock was wrong once is not locked out for good.
    """
    newest_s = known.signed_s if known is not None and known.signed_by == feed.minisign_key else 0.0
    made_s = min(statement.timestamp_s, time.time() + _CLOCK_S)
    if made_s < newest_s:
        made = f"made at {_clock(made_s)}" if made_s else "without a time"
        reason = (
            f"signature refused: {made}, older than one of {_clock(newest_s)} that was here before: "
            "an old list, sent again; if its publisher means it, it must be signed anew"
        )
        raise SourceError(feed.name, reason, result=OUTDATED)
    return made_s


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at_s)) + " UTC"


def signature_url(url: str) -> str:
    """Where a signature is unless somebody says otherwise: beside the list, a query kept as it is."""
    path, mark, query = url.partition("?")
    return f"{path}.minisig{mark}{query}"


def published_checksum(document: bytes, name: str) -> str | None:
    """The SHA-256 of the file `name` in `document`: lines `HASH  name`, `SHA256 (name) = HASH`, or one bare hash."""
    nameless = []
    named: dict[str, str] = {}
    for line in document.decode("utf-8", "replace").splitlines():
        if match := _BSD(line.strip()):
            named[match[1].rpartition("/")[2]] = match[2].lower()
        elif match := _GNU(line.strip()):
            if match[2]:
                named[match[2].rpartition("/")[2]] = match[1].lower()
            else:
                nameless.append(match[1].lower())
    if name in named:
        return named[name]
    every = [*nameless, *named.values()]
    return every[0] if len(every) == 1 else None
