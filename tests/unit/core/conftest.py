"""A resolver at a standstill: time is whatever a test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from pdns.blockset.reader import Blockset
from pdns.config.schema import Config
from pdns.core.entry import Entry
from pdns.core.outcome import Answer, Forward, Outcome
from pdns.core.resolver import Resolver
from pdns.core.ruleset import RuleSet
from pdns.reference.cache import ReferenceCache
from pdns.reference.first_stages import FirstStages
from pdns.wire.message import parse_message
from tests.blocksets import make_blockset
from tests.wire import query, response_wire

FEEDS = {
    "alpha": "malware.test =exact.example *.below.example bad.example @@good.bad.example 203.0.113.0/24 2001:db8:bad::/48",
    "beta": "malware.test only-beta.example",
    "watch": "monitored.example 198.51.100.0/24",
}
SOA = "example 900 IN SOA ns.example. host.example. 1 2 3 4 300"


def make_config(**sections: Any) -> Config:
    """The configuration of `FEEDS`; `sections` as in a TOML file."""
    raw: dict[str, Any] = {
        "upstream": {"servers": ["udp://127.0.0.1:53"]},
        "feed": [
            {"name": "beta", "url": "file:b", "category": "phishing"},
            {"name": "alpha", "url": "file:a"},
            {"name": "watch", "url": "file:w", "mode": "monitor", "category": "policy"},
        ],
        **sections,
    }
    return msgspec.convert(raw, Config)


class Standstill:
    """A resolver, its cache, and words for asking it."""

    def __init__(self, blockset: Blockset | None = None, *, ready: bool = True, **sections: Any) -> None:
        self.config = make_config(**sections)
        self.cache = ReferenceCache(1_000_000)
        self.resolver = Resolver(
            RuleSet.of(self.config, blockset=blockset if blockset is not None else make_blockset(FEEDS), ready=ready), self.cache
        )
        self.first = FirstStages(self.resolver)

    def ask(self, name: str, qtype: str = "A", *, now: float = 1000.0, address: str = "127.0.0.1", **options: Any) -> Outcome:
        return self.first.handle(query(name, qtype, **options), self.first.client(address), address, now)

    def answer(self, name: str, qtype: str = "A", **options: Any) -> Answer:
        outcome = self.ask(name, qtype, **options)
        assert isinstance(outcome, Answer)
        return outcome

    def wire(
        self,
        name: str,
        qtype: str = "A",
        *,
        now: float = 1000.0,
        max_bytes: int = 1232,
        address: str = "127.0.0.1",
        **options: Any,
    ) -> bytes:
        asked = query(name, qtype, **options)
        outcome = self.first.handle(asked, self.first.client(address), address, now)
        assert isinstance(outcome, Answer)
        return outcome.entry.render(asked, now, max_bytes)

    def forwarded(
        self,
        name: str,
        qtype: str = "A",
        *zones: str,
        now: float = 1000.0,
        options: dict[str, Any] | None = None,
        **response: Any,
    ) -> Entry:
        """Ask, forward, and let the upstream answer with `zones`."""
        forward = self.ask(name, qtype, now=now, **(options or {}))
        assert isinstance(forward, Forward)
        return self.resolver.on_answer(forward, parse_message(response_wire(name, qtype, *zones, **response)), now)


@pytest.fixture
def standstill() -> Callable[..., Standstill]:
    return Standstill
