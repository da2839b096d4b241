"""A resolver with local records, for tests that ask it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dns.message

from pdns.config.load import from_tables
from pdns.config.schema import Config
from pdns.core.outcome import Answer, Forward
from pdns.core.resolver import Resolver
from pdns.core.ruleset import RuleSet
from pdns.reference.cache import ReferenceCache
from pdns.reference.first_stages import FirstStages
from pdns.wire import names
from pdns.wire.message import parse_message
from tests.blocksets import make_blockset
from tests.wire import query, response_wire

FEEDS = {"alpha": "malware.test listed.corp.example 203.0.113.0/24"}
RECORDS: list[dict[str, Any]] = [
    {"name": "intranet.corp.example", "a": ["10.0.0.5", "10.0.0.6"], "aaaa": ["fd00::5"], "txt": ["hello"]},
    {"name": "www.corp.example", "cname": "intranet.corp.example", "ttl_s": 60},
    {"name": "far.corp.example", "cname": "www.example.net"},
    {"name": "bad.corp.example", "cname": "malware.test"},
    {"name": "gone.corp.example", "cname": "nothing.internal"},
    {"name": "listed.corp.example", "a": ["203.0.113.7"]},
    {"name": "a.b.corp.example", "a": ["10.0.0.7"]},
    {"name": "*.wild.example", "a": ["10.0.0.8"]},
    {"name": "x.y.wild.example", "a": ["10.0.0.9"]},
    {"name": "host.deep.internal", "a": ["10.0.0.10"]},
    {"name": "zero.example", "a": ["10.0.0.11"], "ttl_s": 0},
]


def settled(records: list[dict[str, Any]], **sections: Any) -> Config:
    tables = {
        "upstream": {"servers": ["udp://127.0.0.1:53"]},
        "feed": [{"name": "alpha", "url": "file:a"}],
        "record": records,
        **sections,
    }
    return from_tables(tables, "pdns.toml", Path("/nonexistent"))


class Local:
    """A resolver with local records."""

    def __init__(self, records: list[dict[str, Any]] = RECORDS, *, ready: bool = True, **sections: Any) -> None:
        self.rules = RuleSet.of(settled(records, **sections), blockset=make_blockset(FEEDS), ready=ready)
        self.resolver = Resolver(self.rules, ReferenceCache(1_000_000))
        self.first = FirstStages(self.resolver)

    def reload(self, records: list[dict[str, Any]]) -> None:
        self.rules = self.rules.with_config(settled(records))
        self.resolver.adopt(self.rules)
        self.first.adopt(self.rules)

    def ask(self, name: str, qtype: str = "A", *, now: float = 1000.0, **options: Any) -> Any:
        return self.first.handle(query(name, qtype, **options), self.first.client("127.0.0.1"), "127.0.0.1", now)

    def forward(self, name: str, qtype: str = "A", **options: Any) -> Forward:
        outcome = self.ask(name, qtype, **options)
        assert isinstance(outcome, Forward), outcome
        return outcome

    def text(self, name: str, qtype: str = "A", *, now: float = 1000.0, **options: Any) -> list[str]:
        """The records of the answer, and the response code if it is an error."""
        outcome = self.ask(name, qtype, now=now, **options)
        assert isinstance(outcome, Answer), outcome
        return self.records(outcome, name, qtype, now=now, **options)

    @staticmethod
    def records(answer: Answer, name: str, qtype: str, *, now: float = 1000.0, **options: Any) -> list[str]:
        wire = answer.entry.render(query(name, qtype, **options), now, 4096)
        message = dns.message.from_wire(wire)
        assert not message.flags & dns.flags.AA
        assert not message.flags & dns.flags.AD
        records = [str(record) for rrset in message.answer for record in sorted(str(rrset).splitlines())]
        code = [message.rcode().name] * bool(message.rcode())
        soa = ["NODATA"] * (not message.rcode() and any(rrset.rdtype == 6 for rrset in message.authority))
        return records + code + soa

    def said(self, forward: Forward, *zones: str, now: float = 1000.0, **response: Any) -> Any:
        """What becomes of an upstream's answer: the further question, or the entry."""
        name, qtype = names.to_text(forward.asked_name), dns.rdatatype.to_text(dns.rdatatype.RdataType(forward.qtype))
        message = parse_message(response_wire(name, qtype, *zones, **response))
        return self.resolver.further(forward, message) or self.resolver.on_answer(forward, message, now)
