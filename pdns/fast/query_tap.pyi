from collections.abc import Callable

from pdns.core.client_identity import Views
from pdns.telemetry.ring import Ring

class QueryTap:
    def __init__(self, ring: Ring, key: bytes, tenant_slot: Callable[[str], int]) -> None: ...
    def configure(self, views: Views, tapped: frozenset[str], every: int, first: int) -> None: ...
