"""Replay: what counts as a difference, on answers made for it and on two real servers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from loadtest import replay, zone, zoneserver
from loadtest.packets import query
from loadtest.replay import Question
from pdns.wire import names
from pdns.wire import protocol as p

WIRE = query(names.from_text("www.example.com"))
SOA = "ns.example.com. admin.example.com. 1 2 3 4 5"


def answer(*records: str, rcode: int = p.NOERROR, soa: str = "", ttl_s: int = 60) -> bytes:
    message = dns.message.make_response(dns.message.from_wire(WIRE))
    message.set_rcode(dns.rcode.Rcode(rcode))
    for record in records:
        owner, rdtype, rdata = record.split(" ", 2)
        message.answer.append(dns.rrset.from_text(owner, ttl_s, "IN", rdtype, rdata))
    if soa:
        message.authority.append(dns.rrset.from_text("example.com.", ttl_s, "IN", "SOA", soa))
    return message.to_wire()


ONE, TWO = "www.example.com. A 192.0.2.1", "www.example.com. A 192.0.2.2"


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        (answer(ONE, TWO), answer(TWO, ONE, ttl_s=5), None),
        (answer(soa=SOA, rcode=p.NXDOMAIN), answer(soa=SOA, rcode=p.NXDOMAIN, ttl_s=9), None),
        (None, None, None),
        (None, answer(ONE), "no answer"),
        (answer(ONE), None, "an answer where the other is silent"),
        (answer(ONE), answer(soa=SOA, rcode=p.NXDOMAIN), "rcode NOERROR, not NXDOMAIN"),
        (answer(ONE), answer(ONE, TWO), "answer section"),
        (answer(), answer(soa=SOA), "SOA of a negative answer is missing"),
        (answer(soa=SOA.replace("5", "6")), answer(soa=SOA), "SOA of a negative answer"),
        (answer(ONE).replace(b"\3www", b"\3wWw"), answer(ONE), "question not echoed byte for byte"),
        (answer(ONE)[:-3], answer(ONE), "an answer that cannot be read"),
        (answer(ONE), answer(ONE)[:-3], "the other's answer cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_difference(ours: bytes | None, theirs: bytes | None, kind: str | None) -> None:
    """TTLs and order make no difference; all else does, and each kind has its name."""
    found = replay.difference(WIRE, ours, theirs)
    assert (found.kind if found else None) == kind


@pytest.mark.parametrize(
    ("name", "qtype", "rule"),
    [
        ("1.0.0.10.in-addr.arpa", p.PTR, "special-use name"),
        ("x.localhost", p.A, "special-use name"),
        ("www.example.com", p.ANY, "meta type"),
        ("www.example.com", p.A, None),
        ("1.0.0.11.in-addr.arpa", p.PTR, None),
    ],
)
def test_rules(name: str, qtype: int, rule: str | None) -> None:
    """Only special-use names and meta types may differ by rule."""
    assert replay.rule_for(Question(names.from_text(name), qtype)) == rule


def test_questions_are_read_as_logs_write_them(tmp_path: Path) -> None:
    """`(empty)` is the root, `*` is ANY, further columns do not matter, and lines that are no question are returned."""
    file = tmp_path / "q.tsv"
    file.write_text("a.example.\tA\tx\n(empty)\tNS\n*\tNBSTAT\nb\t*\nb\tTYPE65534\nno type\nc\tNOSUCH\n")
    questions, odd = replay.read_questions(file)
    assert questions == [
        Question(names.from_text("a.example"), p.A),
        Question(names.ROOT, p.NS),
        Question(names.from_text("*"), 33),
        Question(names.from_text("b"), p.ANY),
        Question(names.from_text("b"), 65534),
    ]
    assert odd == ["no type", "c\tNOSUCH"]


def questions_of_every_kind() -> list[Question]:
    types = (p.A, p.AAAA, p.TXT, p.PTR, p.SRV, p.HTTPS, p.MX)
    return [Question(names.from_text(f"host{number}.sub{number % 7}.example-zone"), types[number % 7]) for number in range(300)]


def test_zone_holds_every_kind_of_name() -> None:
    """A zone of 300 names has aliases, names without the data, long text, and leaves some names out."""
    questions = questions_of_every_kind()
    lines = list(zone.lines(questions))
    owners = {line.split()[0] for line in lines}
    missing = [question for question in questions if names.to_text(question.name) + "." not in owners]
    assert 5 < len(missing) < 60
    assert sum(" CNAME target-" in line for line in lines) > 20
    assert sum(" HINFO " in line for line in lines) > 5
    assert sum("x" * 200 in line for line in lines) >= 9


def test_a_server_does_not_differ_from_itself(tmp_path: Path) -> None:
    """Every question to the same server twice, truncated answers over TCP included: no difference, and no loss."""
    questions = questions_of_every_kind()

    async def run() -> replay.Report:
        async with zoneserver.serving("\n".join(zone.lines(questions)) + "\n", tmp_path, python=True) as address:
            return await replay.replay(questions, address, address)

    report = asyncio.run(run())
    assert (report.asked, report.same, report.different) == (300, 300, 0)
    assert set(report.rcodes) == {"NOERROR", "NXDOMAIN"}


def test_two_zones_differ_where_they_differ(tmp_path: Path) -> None:
    """One record changed in a copy of the zone is one kind of difference, with the question as its example."""
    question = Question(names.from_text("here.example-zone"), p.A)
    text = "\n".join([*zone.lines([]), "here.example-zone. 60 IN A 192.0.2.{}"]) + "\n"

    async def run() -> replay.Report:
        async with (
            zoneserver.serving(text.format(1), tmp_path, python=True) as one,
            zoneserver.serving(text.format(2), tmp_path, python=True) as two,
        ):
            return await replay.replay([question], one, two)

    report = asyncio.run(run())
    assert report.different == 1
    assert report.differences["answer section"].examples == ["here.example-zone A  1 records missing, 1 added"]
