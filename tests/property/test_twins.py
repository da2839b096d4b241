"""Compiled and Python: the same value or the same error, the same bytes, the same counts, whatever comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st
from xxhash import xxh128_digest

from pdns.blockset.reader import Blockset
from pdns.config.groups import server_groups
from pdns.config.load import from_tables
from pdns.config.policy_schema import Tenant
from pdns.config.schema import Access, Config, RateLimit
from pdns.core import clients as core_clients
from pdns.core import query as core_query
from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.core.rate_limit import MEMORY_BYTES
from pdns.core.ruleset import RuleSet
from pdns.errors import WireError
from pdns.fast import clients as fast_clients
from pdns.fast import matcher
from pdns.fast import query as fast_query
from pdns.reference import query as reference_query
from pdns.reference import rate_limit as reference_limit
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.upstream.exchange import Done, UpstreamAnswer, UpstreamFailure, UpstreamQuestion
from pdns.upstream.forwarder import Forwarder
from pdns.wire.message import parse_message
from pdns.wire.names import filter_key, from_labels, from_text, reversed_key
from pdns.wire.transport import Transport
from pdns.worker.kernels import COMPILED
from tests.blocksets import make_blockset
from tests.effort import examples
from tests.fakes.services import new_service
from tests.fuzz.corpus import QUERIES, RESPONSES
from tests.fuzz.test_packets import mutated
from tests.wire import query_wire, response_wire

PACKETS = st.one_of(mutated(QUERIES), mutated([*QUERIES, *RESPONSES]), st.binary(max_size=300))
FIELDS = (
    "id", "flags", "question", "qname", "qtype", "qclass", "edns", "do", "cd",
    "rd", "udp_bytes", "cookie", "keepalive", "nsid", "structured", "key", "filter_key", "reversed_key"
)  # fmt: skip


def outcome_of(parse: Callable[[bytes], core_query.Query], wire: bytes) -> tuple[object, ...]:
    """Every field of the query, or everything that the error says."""
    try:
        parsed = parse(wire)
    except WireError as error:
        return "error", error.reason, error.rcode, error.question
    return tuple(getattr(parsed, field) for field in FIELDS)


@given(PACKETS)
@example(QUERIES[0])
@example(b"")
@example(QUERIES[0][:12] + b"\x3fa" * 150)
def test_queries_are_read_alike(wire: bytes) -> None:
    """Both parsers make the same query of a packet, or refuse it for the same reason with the same reply."""
    said = outcome_of(reference_query.parse_query, wire)
    assert outcome_of(fast_query.parse_query, wire) == said
    if said[0] == "error":
        assert fast_query.error_reply(wire) == core_query.error_reply(wire, WireError(said[1], said[2], said[3]))  # type: ignore[arg-type]


TENANTS = (
    Tenant(name="wide", networks=("198.51.0.0/16", "2001:db8::/32")),
    Tenant(name="narrow", networks=("198.51.100.0/24", "203.0.113.7/32")),
)
ADDRESSES = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    st.ip_addresses(network="198.51.0.0/16"),
    st.ip_addresses(network="203.0.113.0/28"),
    st.ip_addresses(network="2001:db8::/40"),
    st.ip_addresses(network="10.0.0.0/8"),
).map(str)


@given(st.lists(ADDRESSES, max_size=50))
def test_clients_are_told_apart_alike(addresses: list[str]) -> None:
    """Both tables say the same of every address, the first time and later."""
    some = core_clients.ClientTranslation(("198.51.100.0/25", "2001:db8::/36", "10.0.0.0/9"), 3)
    for translation in (core_clients.ALL_ALIKE, some):
        python = core_clients.ClientTable(Access(), TENANTS, (1, 2), translation)
        compiled = fast_clients.ClientTable(Access(), TENANTS, (1, 2), translation)
        for address in addresses * 2:
            assert compiled.lookup(address) == python.lookup(address)


LIMITS = st.builds(
    RateLimit,
    queries_per_s=st.integers(0, 50),
    verified_queries_per_s=st.integers(0, 50),
    burst=st.integers(1, 9),
    ipv4_prefix=st.integers(8, 32),
    ipv6_prefix=st.integers(16, 128),
)


@given(LIMITS, st.booleans(), st.lists(st.tuples(ADDRESSES, st.floats(0, 0.5)), max_size=60))
def test_limits_are_kept_alike(limit: RateLimit, verified: bool, asked: list[tuple[str, float]]) -> None:
    """Both limiters admit the same queries, to the last token."""
    python = reference_limit.RateLimiter(limit, verified=verified)
    compiled = fast_clients.RateLimiter(limit, verified=verified)
    now = 1000.0
    for address, later_s in asked:
        now += later_s
        assert compiled.admits(address, now) is python.admits(address, now)


@given(LIMITS, LIMITS, st.lists(st.tuples(ADDRESSES, st.floats(0, 0.5), st.integers(0, 3)), max_size=60))
def test_limits_are_shared_alike(limit: RateLimit, later: RateLimit, asked: list[tuple[str, float, int]]) -> None:
    """Limiters on one memory count together, two of one configuration and two that came with another, as one of each would."""
    memories = [memoryview(bytearray(MEMORY_BYTES)) for _ in range(2)]
    configs = (limit, limit, later, later)
    python = [reference_limit.RateLimiter(config, memories[0]) for config in configs]
    compiled = [fast_clients.RateLimiter(config, memories[1]) for config in configs]
    now = 1000.0
    for address, later_s, which in asked:
        now += later_s
        assert compiled[which].admits(address, now) is python[which].admits(address, now)


@given(st.binary(min_size=17, max_size=240))
def test_the_hash_is_that_of_the_library(data: bytes) -> None:
    """The digest that finds places in the Bloom filter is the one that `xxhash` gives."""
    assert matcher.digest128(data) == xxh128_digest(data)


LABELS = st.sampled_from([b"a", b"b", b"evil", b"test", b"com", b"\x00odd.", b"x" * 63])
NAMES = st.lists(LABELS, max_size=5).filter(lambda labels: sum(map(len, labels)) < 240).map(from_labels)
SHALLOW = make_blockset({"alpha": "test *.evil.com a.b =b.com @@a.evil.test", "beta": "evil.com b.evil.test"})
DEEP = make_blockset({"alpha": "evil.test a.b.com", "beta": "x.evil.test evil.com"})
ALONE = make_blockset({"alpha": "evil.test a.b.com"})


@given(NAMES, st.sampled_from([SHALLOW, DEEP, ALONE, make_blockset({}), make_blockset({"a": "."})]))
def test_listed_names_are_found_alike(name: bytes, blockset: Blockset) -> None:
    """Filter and table say the same of a name whether they are asked from Python or from compiled code."""
    query = fast_query.parse_query(bytes(5) + b"\1" + bytes(6) + name + b"\0\1\0\1")
    assert list(matcher.Matcher(*blockset.mapped).find(query)) == list(blockset.find(filter_key(name), reversed_key(name)))


# The whole way of a query, with time and upstreams in the hands of the test.

_SOA = "example 900 IN SOA ns.example. host.example. 1 2 3 4 300"
_QUOTED, _LONG = 'it\\"s\\\\.quoted.example', ".".join(["\\001" * 60] * 3 + ["long.example"])
_BLOCKSET = make_blockset(
    {
        "alpha": f"malware.test =exact.example *.below.example badtld 192.0.2.0/28 {_QUOTED} {_LONG}",
        "watch": "watched.example exact.example 192.0.2.0/24",
        "beta": "b.malware.test 192.0.2.64/26",
    }
)
_RAW: dict[str, Any] = {
    "upstream": {"servers": ["udp://127.0.0.1:9"], "max_in_flight_per_client": 3},
    "feed": [
        {"name": "beta", "url": "file:b", "category": "phishing"},
        {"name": "alpha", "url": "file:a"},
        {"name": "watch", "url": "file:w", "mode": "monitor", "category": "policy"},
        {"name": "zone", "url": "axfr://198.51.100.9:53/rpz.example"},
    ],
    "policy": [
        {"name": "default", "organisation": 'The "City" \\ Council \u2603' * 5, "contact": ["mailto:it@x.example", "tel:+44113"]},
        {
            "name": "strict",
            "feeds": {"watch": "block", "alpha": "monitor"},
            "actions": {"phishing": "nxdomain", "policy": "zero", "local": "refused"},
            "not_ready": "forward",
            "block": ["inside.example"],
            "allow": ["b.malware.test"],
        },
    ],
    "tenant": [
        {"name": "north", "networks": ["198.51.100.0/24"], "allow": ["malware.test"]},
        {"name": "south", "networks": ["203.0.113.0/24"], "policy": "strict"},
    ],
    "cache": {"refresh_ahead_hits": 2},
}
_RECORDS: list[dict[str, Any]] = [
    {"name": "exact.example", "a": ["10.0.0.1", "10.0.0.2"], "txt": ["x"]},
    {"name": "*.below.example", "a": ["10.0.0.3"], "ttl_s": 1},
    {"name": "big.example", "cname": "www.example"},
    {"name": "b.example", "aaaa": ["fd00::1"], "a": ["10.0.0.4"]},
    {"name": "x.no.example", "a": ["10.0.0.5"]},
]
_LOADED = from_tables({"upstream": {"servers": ["192.0.2.1"]}, "record": _RECORDS}, "", Path("/nonexistent")).loaded_records
_VARIANTS: list[dict[str, Any]] = [
    {},
    {"block": {"action": "nxdomain", "ede_code": 17}},
    {"block": {"ede_code": 16}},
    {"block": {"action": "drop"}},
    {"block": {"action": "zero", "ttl_s": 0, "ede_code": 18}},
    {"rate_limit": {"queries_per_s": 1, "burst": 3, "action": "truncate"}},
    {"rate_limit": {"queries_per_s": 1, "burst": 3, "action": "drop"}},
    {"rate_limit": {"queries_per_s": 1, "burst": 3, "action": "refuse"}},
    {"server": {"max_udp_answer_bytes": 512}},
    {"loaded_records": msgspec.to_builtins(_LOADED)},
    {"rebinding": {"block_private_answers": True}},
    {"dns64": {"prefix": "2001:db8:64::/96"}, "rebinding": {"block_private_answers": True}},
    {"dns64": {"prefix": "2001:db8:64::/96"}, "loaded_records": msgspec.to_builtins(_LOADED)},
    {"dns64": {"prefix": "64:ff9b::/96", "networks": ["198.51.100.0/24", "fd00::/64"]}},
]
_LOCAL_NAMES = ("www.example", "b.example", "example", "malware.test", "b.malware.test", "watched.example", "test")
LOCAL_ENTRIES = st.lists(
    st.builds(
        LocalEntry,
        st.sampled_from(_LOCAL_NAMES).map(from_text),
        st.booleans(),
        st.booleans(),
        st.sampled_from(["ticket 7", "r\u00e9ponse " * 20]),
    ),
    max_size=3,
)
OVERRIDES = st.builds(
    LocalRules,
    LOCAL_ENTRIES,
    st.sets(st.sampled_from(["alpha", "beta", "watch"]), max_size=2),
    st.dictionaries(st.sampled_from(["north", "south"]), LOCAL_ENTRIES.map(tuple), max_size=1),
    st.sets(st.sampled_from(["north", "south"]), max_size=1),
)
_NAMES = (
    "www.example", "b.malware.test", "MALWARE.test", "exact.example", "watched.example", "below.example", "a.below.example",
    "BadTLD", "x.badtld", "localhost", "no.example", "inside.example", "ipv4only.arpa", "big.example",
    "many.example", _QUOTED, _LONG,
)  # fmt: skip
_CLIENTS = ("127.0.0.1", "198.51.100.9", "203.0.113.9", "8.8.8.8", "fd00::1")
_ANSWERS = {
    b"www": ("www.example 40 IN CNAME b.example.\nb.example 300 IN A 198.51.100.1\nb.example 300 IN A 198.51.100.2", "", 0),
    b"watched": ("watched.example 5 IN A 192.0.2.99", "", 0),
    b"big": ("\n".join(f"big.example 30 IN TXT {'x' * 100}{n}" for n in range(12)), "", 0),
    b"many": ("\n".join(f"many.example {60 + n} IN A 198.51.100.{n}" for n in range(5)), "", 0),
    b"inside": ("inside.example 60 IN A 10.0.0.1", "", 0),
    b"no": ("", _SOA, 3),
}
_ERRORS = b"\0\x0f\0\5\0\x0fads\0\x0f\0\4\0\6\xc3\xa9\0\x0f\0\2\0\4"  # three, behind the answer to "no"


class _Upstream(Forwarder):
    """Answers what it knows, at once or when told to."""

    def __init__(self, config: Config, stats: Stats) -> None:
        super().__init__(server_groups(config), asyncio.new_event_loop(), stats, COMPILED.upstream)
        self.asked: list[tuple[UpstreamQuestion, Done]] = []

    def resolve(self, question: UpstreamQuestion, done: Done, group: str = "") -> None:
        self.asked.append((question, done))

    def answer_all(self, *, fail: bool) -> None:
        """Answer what was asked, in order."""
        waiting, self.asked = self.asked, []
        for question, done in waiting:
            label = question.qname[1 : 1 + question.qname[0]]
            if fail or label not in _ANSWERS or question.qname != from_labels([label, b"example"]):
                done(UpstreamFailure(22, "no upstream answered"))
                continue
            answer, authority, rcode = _ANSWERS[label]
            name = f"{label.decode()}.example"
            wire = response_wire(name, "A", answer, authority=authority, rcode=rcode, ad=1, edns=True)
            if rcode:
                wire = wire[:-2] + len(_ERRORS).to_bytes(2) + _ERRORS
            head, rest = wire[:12], wire[12 + len(question.qname) + 4 :]
            asked = question.qname + question.qtype.to_bytes(2) + question.qclass.to_bytes(2)
            done(UpstreamAnswer(parse_message(head + asked + rest), "udp://127.0.0.1:9"))

    def end(self) -> None:
        self.close()
        self._loop.close()


class _Side:
    """One of the two, with all that it sent and counted."""

    def __init__(self, raw: dict[str, Any], *, compiled: bool, blockset: Blockset = _BLOCKSET) -> None:
        self.config = msgspec.convert(raw, Config)
        self.counters = Counters.create(4096)
        stats = Stats(self.counters)
        self.upstream = _Upstream(self.config, stats)
        self.now = 1000.0
        self.service = new_service(
            RuleSet.of(self.config), self.upstream, stats, lambda: self.now, cookie_secret=bytes(16), compiled=compiled
        )
        self.cookies = b""  # as the last answer had them
        self.service.adopt(self.service.rules.with_blockset(blockset))
        self.sent: list[tuple[int, bytes]] = []

    def ask(self, number: int, wire: bytes, client: str, transport: str) -> None:
        self.service.on_message(
            wire, client, 4000 + number, Transport(transport), lambda reply: self.sent.append((number, reply))
        )
        if self.sent and (at := self.sent[-1][1].find(b"\0\x0a\0\x18")) > 0:
            self.cookies = self.sent[-1][1][at + 4 : at + 28]

    def ask_with(self, number: int, wire: bytes, client: str, transport: str, option: bytes, udp_bytes: int) -> None:
        """With an option; b"" is the cookies of the last answer."""
        option = option or (b"\0\x0a" + len(self.cookies).to_bytes(2) + self.cookies if self.cookies else b"")
        opt = b"\0\0\x29" + udp_bytes.to_bytes(2) + b"\0\0\0\0" + len(option).to_bytes(2) + option
        self.ask(number, wire[:10] + b"\0\1" + wire[12:] + opt, client, transport)

    def counted(self) -> dict[tuple[object, ...], int]:
        """Every count but those of time."""
        return {
            (family, *labels): value
            for family, labels, value in self.counters.items()
            if "duration" not in family and not family.startswith("cache_") and value
        }

    def end(self) -> None:
        self.upstream.end()
        self.counters.close()


def _question(name: str, qtype: str, edns: int | None, *, do: bool, cd: int, rd: int, query_id: int) -> bytes:
    return query_wire(name, qtype, edns=edns, do=do, cd=cd, rd=rd, query_id=query_id)


QUESTIONS = st.builds(
    _question,
    st.sampled_from(_NAMES),
    st.sampled_from(["A", "AAAA", "TXT", "ANY"]),
    st.sampled_from([None, 100, 1232, 4096]),
    do=st.booleans(),
    cd=st.sampled_from([0, 0, 1]),
    rd=st.sampled_from([1, 1, 1, 0]),
    query_id=st.integers(0, 65535),
)
_NOTIFY = b"\x12\x34\x24\0\0\1\0\0\0\0\0\0\3rpz\7example\0\0\6\0\1"
_COOKIE, _KEEPALIVE, _STRUCTURED = b"\0\x0a\0\x08abcdefgh", b"\0\x0b\0\0", b"\0\x1a\0\0"
_OPTIONS = [
    b"", _COOKIE, _KEEPALIVE, _KEEPALIVE + _COOKIE, b"\0\x0a\0\x09abcdefghi", _COOKIE + b"\0", _STRUCTURED,
    _STRUCTURED + _COOKIE, b"\0\x1a\0\2no", _STRUCTURED + b"\0",
]  # fmt: skip
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), QUESTIONS, st.sampled_from(_CLIENTS), st.sampled_from(["udp", "tcp"])),
        st.tuples(st.just("ask"), PACKETS, st.sampled_from(_CLIENTS), st.sampled_from(["udp", "tcp"])),
        st.tuples(
            st.just("ask_with"),
            st.sampled_from(_NAMES).map(lambda name: query_wire(name, edns=None)),
            st.sampled_from(_CLIENTS),
            st.sampled_from(["udp", "tcp"]),
            st.sampled_from(_OPTIONS),
            st.sampled_from([512, 1232, 4096]),
        ),
        st.tuples(st.just("ask"), st.just(_NOTIFY), st.sampled_from(_CLIENTS), st.sampled_from(["udp", "tcp"])),
        st.tuples(st.just("answer"), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([0.4, 1.0, 2.5, 20.0, 37.0, 61.0, 4000.0])),
        st.tuples(st.just("rules")),
        st.tuples(st.just("override"), OVERRIDES),
    ),
    max_size=30,
)  # fmt: skip


@examples(150)
@given(st.sampled_from(_VARIANTS), STEPS)
def test_a_service_is_the_same_on_both(variant: dict[str, Any], steps: list[tuple[Any, ...]]) -> None:
    """Queries, answers, failures, time, reloads and overrides in any order: every byte sent and every count is the same."""
    sides = [_Side({**_RAW, **variant}, compiled=compiled) for compiled in (False, True)]
    try:
        for number, (what, *how) in enumerate(steps):
            for side in sides:
                if what == "ask":
                    side.ask(number, *how)
                elif what == "ask_with":
                    side.ask_with(number, *how)
                elif what == "answer":
                    side.upstream.answer_all(fail=how[0])
                elif what == "wait":
                    side.now += how[0]
                    side.service.tick(side.now)
                elif what == "override":
                    side.service.adopt(side.service.rules.with_local(how[0]))
                else:
                    side.service.adopt(side.service.rules.with_config(side.config), side.upstream)
            assert sides[1].sent == sides[0].sent
        assert sides[1].counted() == sides[0].counted()
    finally:
        for side in sides:
            side.end()
