"""What a publisher says of a name beside listing it."""

from __future__ import annotations

import msgspec


class Detail(msgspec.Struct, frozen=True):
    """Facts that names share: few different ones, each held once. Times are seconds since the epoch, 0 for not said."""

    threat: str = ""  # what the publisher calls it
    reference: str = ""  # where to read more
    first_seen_s: float = 0.0  # as the publisher says
    expires_s: float = 0.0  # the name is no longer listed after this
