"""Every exception that this program raises on purpose. Any other exception is a bug."""

from __future__ import annotations

from collections.abc import Sequence


class PdnsError(Exception):
    """Base class of all. `str()` of one is a message for people."""


class ConfigError(PdnsError):
    """A configuration that cannot be used: which file, which key, why."""

    def __init__(self, file: str, key: str, reason: str) -> None:
        super().__init__(f"{file}: {key}: {reason}" if key else f"{file}: {reason}")
        self.file = file
        self.key = key
        self.reason = reason


class ConfigErrors(ConfigError):
    """Everything that is wrong with one configuration. `file`, `key` and `reason` are those of the first error."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.file, first.key, first.reason)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class InvalidAddress(PdnsError):
    """Text that is not an address, endpoint, network or feed source. `reason` says what was expected."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidCertificate(PdnsError):
    """A file of a certificate, key or authority that cannot be used. `key` of the configuration names the file."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


class WireError(PdnsError):
    """Bytes that are not a DNS message we can serve. `rcode` is what the sender deserves; None means silence.

    `question` is the question section when it was sound, so that the reply can echo it.
    """

    def __init__(self, reason: str, rcode: int | None = 1, question: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.rcode = rcode
        self.question = question


class InvalidName(PdnsError):
    """Text that is not a domain name. `reason` is from a short fixed list, so it can be a metric label."""

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


class OtherFormatError(BlocksetError):
    """An undamaged blockset from another version of the program."""


class InvalidRecord(PdnsError):
    """Text that is not a DNS record that can be served. `reason` says what is wrong with it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SinkError(PdnsError):
    """A sink that has not taken records. The same records can be given to it again."""


class StoreError(PdnsError):
    """An event store that cannot be read: it is missing, damaged, or its server does not answer."""


class FrameStreamError(SinkError):
    """A collector that cannot be reached, refused the stream, or did not confirm it."""


class RelayError(PdnsError):
    """A packet between the quic process and a worker that is not made of whole frames."""
