"""Counts queries by the listed name that blocks them, for as long as a release of a fleet is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from pdns.config.rules import RESERVED_FEED
from pdns.core.client_identity import NOTHING
from pdns.ipc.messages import TrafficName
from pdns.telemetry.block_labels import BlockLabels, labels_of
from pdns.telemetry.event_repeats import waiting_repeats
from pdns.telemetry.event_ring import RawEvent
from pdns.telemetry.worker_memory import WorkerMemory

MOST_NAMES: Final = 5000
MOST_SENT: Final = 300
MOST_BYTES: Final = 20_000  # of these names
_TOLD_APART: Final = 3  # clients of one name


class NameCounts:
    """Since it was made. Blocks of local entries are left out."""

    def __init__(self, memories: Iterable[WorkerMemory]) -> None:
        self._recorded: Counter[bytes] = Counter()
        self._clients: dict[bytes, set[bytes]] = {}
        self._before = self._waiting(memories)

    def saw(self, event: RawEvent, labels: BlockLabels) -> None:
        """A record of a worker."""
        if labels.feed != RESERVED_FEED and (event.listed in self._recorded or len(self._recorded) < MOST_NAMES):
            self._recorded[event.listed] += event.n
            clients = self._clients.setdefault(event.listed, set())
            if event.client_kind != NOTHING and len(clients) < _TOLD_APART:
                clients.add(event.client)

    def most(self, memories: Iterable[WorkerMemory]) -> tuple[TrafficName, ...]:
        """The names with the most queries, repeats that are no records yet included: as many as fit into a message."""
        counts = self._recorded + self._waiting(memories)
        counts.subtract(self._before)
        sizes = accumulate(len(listed) for listed, _ in counts.most_common(MOST_SENT))
        return tuple(
            TrafficName(listed, queries, len(self._clients.get(listed, ())))
            for (listed, queries), size in zip(counts.most_common(MOST_SENT), sizes, strict=True)
            if queries > 0 and size <= MOST_BYTES
        )

    def _waiting(self, memories: Iterable[WorkerMemory]) -> Counter[bytes]:
        counts: Counter[bytes] = Counter()
        for memory in memories:
            for repeats, event in waiting_repeats(memory.event_ring):
                labels = labels_of(event, memory.counters) if event.is_blocked else None
                if labels is not None and labels.feed != RESERVED_FEED:
                    counts[event.listed] += repeats
        return counts
