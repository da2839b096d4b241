"""What comes of asking an object store."""

from __future__ import annotations

from pdns.errors import PdnsError


class Unchanged:
    """The object is still the one that is known."""


class StoreError(PdnsError):
    """The store did not do what was asked. The message says why; it has no secrets."""


class Unreachable(StoreError):
    """No connection, no answer in time, or an answer that says nothing."""


class Denied(StoreError):
    """The store refuses these credentials."""


class NotFound(StoreError):
    """There is no such object."""


class Existing(StoreError):
    """There is such an object already, and it was not to be replaced."""


class TooLarge(StoreError):
    """The object is larger than it may be."""


class BadRequest(StoreError):
    """Something that this store does not do."""
