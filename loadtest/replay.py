"""`python -m loadtest replay`: asks two servers the same questions and tells where they differ."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import dns.exception
import dns.message
import dns.rdatatype
import msgspec
from rich.console import Console

from loadtest.client import Client
from loadtest.loopback import Address
from loadtest.packets import query
from pdns.errors import InvalidName
from pdns.wire import names
from pdns.wire import protocol as p

_IN_FLIGHT = 32
_MAX_EXAMPLES = 5
_TYPE_NAMES = {"*": p.ANY, "NBSTAT": 33}  # as Zeek's logs call them; NetBIOS node status has the number of SRV

# Names that a resolver answers by itself: RFC 6761, 6303, 7686, 7793, 8375, 9462 and Mozilla's canary.
_LOCAL_ZONES = tuple(
    names.from_text(text)
    for text in (
        *("localhost", "invalid", "test", "example", "local", "onion", "alt", "internal", "home.arpa", "resolver.arpa"),
        *("use-application-dns.net", "10.in-addr.arpa", "168.192.in-addr.arpa", "0.in-addr.arpa", "127.in-addr.arpa"),
        *("254.169.in-addr.arpa", "2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa"),
        *("255.255.255.255.in-addr.arpa", "d.f.ip6.arpa", "8.b.d.0.1.0.0.2.ip6.arpa", "0.0.0.0.0.0.0.0.ip6.arpa"),
        *(f"{byte}.172.in-addr.arpa" for byte in range(16, 32)),
        *(f"{byte}.100.in-addr.arpa" for byte in range(64, 128)),
        *(f"{nibble}.e.f.ip6.arpa" for nibble in "89ab"),
    )
)
_META_TYPES = frozenset({p.ANY, p.AXFR, p.IXFR, p.MAILA, p.MAILB, p.TKEY, p.TSIG, p.OPT})


class Question(NamedTuple):
    """`name` is in wire form, lower case."""

    name: bytes
    qtype: int

    def __str__(self) -> str:
        return f"{names.to_text(self.name)} {dns.rdatatype.to_text(dns.rdatatype.RdataType.make(self.qtype))}"


class Difference(NamedTuple):
    """`kind` is one of a short vocabulary, `detail` shows it."""

    kind: str
    detail: str


class Kind(msgspec.Struct):
    """How often one kind of difference was seen."""

    count: int = 0
    examples: list[str] = []

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.examples) < _MAX_EXAMPLES and text not in self.examples:
            self.examples.append(text)


class Report(msgspec.Struct):
    """What a replay found. `by_rule`: differences that a resolver is bound to have."""

    asked: int = 0
    same: int = 0
    rcodes: dict[str, int] = {}
    differences: dict[str, Kind] = {}
    by_rule: dict[str, Kind] = {}

    @property
    def different(self) -> int:
        """How many answers differ without a rule that says so."""
        return sum(kind.count for kind in self.differences.values())


class _Content(NamedTuple):
    rcode: int
    answer: frozenset[tuple[bytes, int, int, bytes]]
    soa: frozenset[str]


def read_questions(file: Path) -> tuple[list[Question], list[str]]:
    """The (name, type) pairs of a file with tabs between its columns, and the invalid lines."""
    questions, odd = [], []
    for line in file.read_text(errors="surrogateescape").splitlines():
        columns = line.split("\t")
        try:
            qtype = _TYPE_NAMES.get(columns[1]) or dns.rdatatype.from_text(columns[1])
            name = names.ROOT if columns[0] == "(empty)" else names.from_text(columns[0])
        except (IndexError, InvalidName, dns.exception.DNSException):
            odd.append(line)
        else:
            questions.append(Question(name, int(qtype)))
    return questions, odd


async def replay(questions: Sequence[Question], to: Address, compare: Address) -> Report:
    """Asks both servers every question, in order, 32 at a time."""
    report = Report()
    todo = iter(questions)
    rng = random.Random(1)

    async with Client(to) as server, Client(compare) as other:

        async def take_turns() -> None:
            for question in todo:
                wire = query(_random_case(question.name, rng), question.qtype)
                ours, theirs = await asyncio.gather(server.ask(wire), other.ask(wire))
                _note(report, question, difference(wire, ours, theirs), ours)

        await asyncio.gather(*(take_turns() for _ in range(_IN_FLIGHT)))
    return report


def difference(wire: bytes, ours: bytes | None, theirs: bytes | None) -> Difference | None:
    """How `ours` differs from `theirs` as an answer to the query `wire`; None when it does not.

    Compared: whether there is an answer, the echo of the question, the rcode, the answer section without TTLs and
    order, the SOA of a negative answer.
    """
    if ours is None or theirs is None:
        return None if ours is theirs else Difference("no answer" if ours is None else "an answer where the other is silent", "")
    question = wire[p.HEADER_BYTES : len(wire) - 11]
    if ours[p.HEADER_BYTES : p.HEADER_BYTES + len(question)] != question:
        return Difference("question not echoed byte for byte", ours[p.HEADER_BYTES :][:60].hex())
    try:
        mine = _content(ours)
    except (dns.exception.DNSException, ValueError) as error:
        return Difference("an answer that cannot be read", repr(error))
    try:
        other = _content(theirs)
    except (dns.exception.DNSException, ValueError) as error:
        return Difference("the other's answer cannot be read", repr(error))
    if mine.rcode != other.rcode:
        return Difference(f"rcode {_rcode(mine.rcode)}, not {_rcode(other.rcode)}", "")
    if mine.answer != other.answer:
        missing, added = len(other.answer - mine.answer), len(mine.answer - other.answer)
        return Difference("answer section", f"{missing} records missing, {added} added")
    if mine.soa != other.soa:
        kind = "SOA of a negative answer is missing" if not mine.soa else "SOA of a negative answer"
        return Difference(kind, f"{', '.join(mine.soa) or 'none'}, not {', '.join(other.soa) or 'none'}")
    return None


def rule_for(question: Question) -> str | None:
    """Why a resolver may answer `question` otherwise than its upstream does; None when it may not."""
    if question.qtype in _META_TYPES:
        return "meta type"
    if any(names.is_at_or_below(question.name, zone) for zone in _LOCAL_ZONES):
        return "special-use name"
    return None


def show(report: Report, console: Console) -> None:
    """Prints the counts and the examples."""
    console.print(
        f"{report.asked:,} asked, {report.same:,} the same; our rcodes: {report.rcodes}", highlight=False, soft_wrap=True
    )
    for title, kinds in (("different", report.differences), ("different by rule", report.by_rule)):
        for name, kind in sorted(kinds.items(), key=lambda item: -item[1].count):
            console.print(f"{title}: {name}: {kind.count:,}", highlight=False, markup=False, soft_wrap=True)
            for example in kind.examples:
                console.print(f"    {example}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{report.different:,} differences to explain", style="red" if report.different else "green", highlight=False)


def _note(report: Report, question: Question, found: Difference | None, ours: bytes | None) -> None:
    report.asked += 1
    rcode = _rcode(ours[3] & p.RCODE_MASK) if ours is not None else "none"
    report.rcodes[rcode] = report.rcodes.get(rcode, 0) + 1
    if found is None:
        report.same += 1
        return
    rule = rule_for(question)
    kinds = report.differences if rule is None else report.by_rule
    kind = found.kind if rule is None else f"{rule}: {found.kind}"
    kinds.setdefault(kind, Kind()).add(f"{question}  {found.detail}".rstrip())


def _content(wire: bytes) -> _Content:
    message = dns.message.from_wire(wire)
    answer = frozenset(
        (rrset.name.to_digestable(), int(rrset.rdclass), int(rrset.rdtype), rdata.to_digestable())
        for rrset in message.answer
        for rdata in rrset
    )
    soa: frozenset[str] = frozenset()
    if not any(rdtype != p.CNAME for _, _, rdtype, _ in answer):
        soa = frozenset(
            f"{rrset.name.to_text()} {rdata.to_text()}".lower()
            for rrset in message.authority
            if rrset.rdtype == dns.rdatatype.SOA
            for rdata in rrset
        )
    return _Content(int(message.rcode()), answer, soa)


def _random_case(name: bytes, rng: random.Random) -> bytes:
    """The same name with letters in random case. Length bytes are below the letters, so they stay."""
    return bytes(byte ^ 0x20 if 0x61 <= byte <= 0x7A and rng.random() < 0.5 else byte for byte in name)


def _rcode(rcode: int) -> str:
    return p.RCODE_NAMES.get(rcode, str(rcode))
