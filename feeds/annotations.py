"""What a publisher says of a name beside that it is bad."""

from __future__ import annotations

import msgspec


class NameAnnotation(msgspec.Struct, frozen=True):
    """The same for many names, as a rule. Times are seconds since the epoch, 0 where nothing is said."""

    threat: str = ""
    reference: str = ""
    first_seen_s: float = 0.0  # as the publisher says
    expires_s: float = 0.0
