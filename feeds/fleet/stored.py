"""What comes of asking an object store."""

from __future__ import annotations

from pdns.errors import PdnsError


class NotModified:
    """The object is still the one that is known."""


class ObjectStoreError(PdnsError):
    """The store did not do what was asked. The message says why; it has no secrets."""


class Unreachable(ObjectStoreError):
    """No connection, no answer in time, or an answer that says nothing."""


class Denied(ObjectStoreError):
    """The store refuses these credentials."""


class NotFound(ObjectStoreError):
    """There is no such object."""


class Existing(ObjectStoreError):
    """There is such an object already, and it was not to be replaced."""


class TooLarge(ObjectStoreError):
    """The object is larger than it may be."""


class BadRequest(ObjectStoreError):
    """Something that this store does not do."""
