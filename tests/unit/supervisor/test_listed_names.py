"""The names that a node's gate gets."""

from __future__ import annotations

import msgspec

from pdns.ipc.channel import MAX_MESSAGE_BYTES
from pdns.ipc.messages import Traffic
from pdns.supervisor.listed_names import MOST_BYTES, MOST_SENT, NameCounts


def test_the_longest_names_fit_into_a_message() -> None:
    """A message that is too long would not arrive, and the gate would see nothing."""
    counts = NameCounts([])
    for number in range(MOST_SENT + 10):
        counts._recorded[b"%05d" % number + b"\xff" * 250] = 1000 - number
    names = counts.most([])
    assert sum(len(name.listed) for name in names) <= MOST_BYTES
    assert names[0].queries == 1000
    assert len(msgspec.json.encode(Traffic(2**62, 2**62, 2**62, names))) < MAX_MESSAGE_BYTES
