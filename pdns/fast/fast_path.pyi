from collections.abc import Callable
from typing import Any

from pdns.core.cache import AnswerCache
from pdns.core.clients import Client
from pdns.core.credentials import Credential
from pdns.core.entry import Monitored
from pdns.core.ruleset import RuleSet
from pdns.fast.asked import AskedNames
from pdns.fast.query import Query
from pdns.fast.query_tap import QueryTap
from pdns.state.zone_changes import Primaries
from pdns.telemetry.stats import Stats
from pdns.wire.transport import Transport

class PendingQuery(Query):
    @property
    def client(self) -> Client: ...

class FastPath:
    refused: bool
    def __init__(
        self,
        cache: AnswerCache,
        stats: Stats,
        cookie_secret: bytes,
        saw: Callable[[bytes, str, str, Monitored], None] | None = None,
        limits: memoryview | None = None,
    ) -> None: ...
    def adopt(self, rules: RuleSet, primaries: Primaries, blocker: Any) -> None: ...
    def note_in(self, asked: AskedNames | None) -> None: ...
    def copy_in(self, tap: QueryTap | None) -> None: ...
    def client(self, address: str) -> Client: ...
    def send_cached(self, asked: PendingQuery, source: str, transport: Transport, now: float, began_s: float) -> bytes | None: ...
    def admits(self, address: str, credential: Credential) -> bool: ...
    def answer(
        self, wire: bytes, address: str, transport: Transport, now: float, credential: Credential = ...
    ) -> bytes | PendingQuery | None: ...
