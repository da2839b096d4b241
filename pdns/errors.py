"""Every error this program raises on purpose. Anything else that escapes is a bug."""

from __future__ import annotations


class PdnsError(Exception):
    """Base of all. `str()` of one is fit to show to a person."""


class ConfigError(PdnsError):
    """A configuration that cannot be used: which file, which key, why."""

    def __init__(self, file: str, key: str, reason: str) -> None:
        super().__init__(f"{file}: {key}: {reason}" if key else f"{file}: {reason}")
        self.file = file
        self.key = key
        self.reason = reason


class WireError(PdnsError):
    """Bytes that are not a DNS message. `rcode` is what the sender deserves; None means silence."""

    def __init__(self, reason: str, rcode: int | None = 1) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rcode = rcode


class InvalidName(PdnsError):
    """Text that is not a domain name. `reason` is one of a short fixed vocabulary, fit to count by."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FeedError(PdnsError):
    """A feed that could not be used: which feed, where in it (1-based line, 0 for the whole), why."""

    def __init__(self, feed: str, reason: str, line: int = 0) -> None:
        super().__init__(f"feed {feed}: line {line}: {reason}" if line else f"feed {feed}: {reason}")
        self.feed = feed
        self.line = line
        self.reason = reason


class BlocksetError(PdnsError):
    """A blockset directory that is missing, damaged or of another format version."""
