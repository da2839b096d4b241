from typing import Any

from pdns.core.client_identity import Views
from pdns.telemetry.event_ring import EventRing
from pdns.wire.transport import Transport

class EventWriter:
    def __init__(self, ring: EventRing, key: bytes, cache: Any) -> None: ...
    def configure(self, views: Views) -> None: ...
    def note(
        self,
        key: bytes,
        tenant: str,
        address: str,
        transport: Transport,
        qname: bytes,
        qtype: int,
        listed: bytes,
        text: bytes,
        slots: tuple[int, ...],
        now: float,
    ) -> None: ...
    def note_hashed(
        self,
        key_hash: int,
        tenant: str,
        address: str,
        transport: Transport,
        qname: bytes,
        qtype: int,
        listed: bytes,
        text: bytes,
        slots: tuple[int, ...],
        now: float,
    ) -> None: ...
    def sweep(self, now: float) -> None: ...
    def flush(self, now: float) -> None: ...
