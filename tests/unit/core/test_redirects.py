"""Names that a feed leads to other names, or answers over TCP alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import dns.rdatatype
import msgspec
import pytest

from pdns.blockset.reader import Blockset
from pdns.config.load import from_tables
from pdns.core.outcome import Answer, Forward
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from pdns.wire.names import from_text, to_text
from tests.rpz import compiled
from tests.unit.core.conftest import Standstill
from tests.wire import query, response_wire

TOO_LONG = ".".join(["a" * 60] * 4)
ZONE = f"""
plain.example CNAME garden.example.
wild.example CNAME *.garden.example.
own.example CNAME intranet.example.
special.example CNAME localhost.
tcp.example CNAME rpz-tcp-only.
local.example A 192.0.2.1
local.example TXT "given"
long.example CNAME *.{TOO_LONG}.
32.1.100.51.198.rpz-ip CNAME garden.example.
32.2.100.51.198.rpz-ip CNAME rpz-tcp-only.
32.3.100.51.198.rpz-ip A 192.0.2.3
"""
BLOCKSET = compiled({"zone": ZONE})
SECTIONS: dict[str, Any] = {
    "feed": [{"name": "zone", "url": "file:///zone", "format": "rpz", "rpz_action": "given", "addresses": True}],
    "block": {"ttl_s": 60},
}
NEGATIVE = "example 900 IN SOA ns.example. host.example. 1 2 3 4 300"


def given(blockset: Blockset = BLOCKSET, **sections: Any) -> Standstill:
    return Standstill(blockset, **{**SECTIONS, **sections})


def led(here: Standstill, name: str, qtype: str = "A", **options: Any) -> Forward:
    forward = here.ask(name, qtype, **options)
    assert isinstance(forward, Forward)
    return forward


def answered(here: Standstill, forward: Forward, *records: str, now: float = 1000.0, **response: Any) -> Any:
    """The entry that follows when the upstream is asked what `forward` says, and answers with `records`."""
    wire = response_wire(to_text(forward.asked_name), dns.rdatatype.RdataType(forward.asked_type).name, *records, **response)
    message = parse_message(wire)
    further = here.resolver.further(forward, message)
    return further if further is not None else here.resolver.on_answer(forward, message, now)


def shown(entry: Any, name: str, qtype: str = "A") -> tuple[str, list[str]]:
    message = dns.message.from_wire(entry.render(query(name, qtype), 1000.0, 4096))
    return dns.rcode.to_text(message.rcode()), [str(rrset) for rrset in message.answer]


def test_a_redirect_is_asked_and_answered() -> None:
    """The answer is the alias and what it leads to, for no longer than a block; it counts as one."""
    here = given()
    forward = led(here, "plain.example")
    assert forward.asked_name == from_text("garden.example")
    entry = answered(here, forward, "garden.example 900 IN A 203.0.113.9")
    assert shown(entry, "plain.example") == (
        "NOERROR",
        ["plain.example. 60 IN CNAME garden.example.", "garden.example. 900 IN A 203.0.113.9"],
    )
    assert (entry.source, entry.verdict.action, entry.verdict.feed) == ("blocked", "local-data", "zone")
    assert entry.ede == (p.EDE_BLOCKED, b"malware: plain.example is listed by zone (case JNXJ-NTFJ)")
    assert entry.expires_s == 1060.0
    again = here.answer("plain.example", now=1001.0)
    assert again.source == "blocked"
    assert again.entry.verdict == entry.verdict


def test_the_name_takes_the_place_of_the_asterisk() -> None:
    """The queried name stands before the rest of the target."""
    here = given()
    assert led(here, "wild.example").asked_name == from_text("wild.example.garden.example")


@pytest.mark.parametrize("qtype", ["CNAME", "ANY"])
def test_types_that_are_answered_by_the_alias(qtype: str) -> None:
    """Nothing is asked for them."""
    assert shown(given().answer("plain.example", qtype).entry, "plain.example", qtype) == (
        "NOERROR",
        ["plain.example. 60 IN CNAME garden.example."],
    )


def test_without_recursion_the_alias_is_all() -> None:
    """A client that does not want recursion gets none."""
    assert shown(given().answer("plain.example", rd=0).entry, "plain.example")[1] == [
        "plain.example. 60 IN CNAME garden.example."
    ]


def test_a_target_that_is_not_there() -> None:
    """NXDOMAIN of the target is NXDOMAIN of the alias; an upstream that fails is SERVFAIL. Both count as blocks."""
    here = given()
    entry = answered(here, led(here, "plain.example"), authority=NEGATIVE, rcode=3)
    assert shown(entry, "plain.example") == ("NXDOMAIN", ["plain.example. 60 IN CNAME garden.example."])
    assert entry.verdict is not None
    here = given()
    answer = here.resolver.on_failure(led(here, "plain.example"), 22, "no upstream", None, 1000.0)
    assert (answer.source, answer.entry.rcode) == ("blocked", p.SERVFAIL)
    assert answer.entry.verdict is not None
    assert answer.entry.more_ede == ((22, b"no upstream"),)


def test_a_target_that_loops() -> None:
    """A chain that leads back to the redirected name ends in SERVFAIL, not in another question."""
    here = given()
    entry = answered(here, led(here, "plain.example"), "garden.example 60 IN CNAME plain.example.")
    while isinstance(entry, Forward):
        assert entry.head is not None
        assert entry.head.crossings <= 8
        entry = answered(here, entry, "plain.example 60 IN CNAME garden.example.")
    assert entry.rcode == p.SERVFAIL


def test_a_target_that_would_be_too_long() -> None:
    """There is no such name."""
    assert shown(given().answer("long.example").entry, "long.example") == ("NXDOMAIN", [])


def test_a_target_of_ours() -> None:
    """Local records and special names answer at once."""
    here = given(loaded_records=records("intranet.example", "10.0.0.1"))
    assert shown(here.answer("own.example").entry, "own.example")[1] == [
        "own.example. 60 IN CNAME intranet.example.",
        "intranet.example. 300 IN A 10.0.0.1",
    ]
    assert shown(here.answer("special.example").entry, "special.example")[1][1].endswith("IN A 127.0.0.1")


def records(name: str, address: str) -> Any:
    raw = {"upstream": {"servers": ["192.0.2.1"]}, "record": [{"name": name, "a": [address], "ttl_s": 300}]}
    return msgspec.to_builtins(from_tables(raw, "", Path("/nonexistent")).loaded_records)


def test_an_alias_that_leads_to_a_redirect() -> None:
    """The aliases stay in front of it."""
    here = given()
    further = answered(here, led(here, "a.example.net"), "a.example.net 9 IN CNAME plain.example.")
    assert further.asked_name == from_text("garden.example")
    entry = answered(here, further, "garden.example 900 IN A 203.0.113.9")
    assert shown(entry, "a.example.net")[1] == [
        "a.example.net. 60 IN CNAME plain.example.",
        "plain.example. 60 IN CNAME garden.example.",
        "garden.example. 900 IN A 203.0.113.9",
    ]


def test_an_address_that_leads_to_a_redirect() -> None:
    """It takes the place of the answer with the address, whose rule is named."""
    here = given()
    further = answered(here, led(here, "a.example.net"), "a.example.net 9 IN A 198.51.100.1")
    assert further.asked_name == from_text("garden.example")
    entry = answered(here, further, "garden.example 900 IN A 203.0.113.9")
    assert entry.ede == (p.EDE_BLOCKED, b"malware: 198.51.100.1 is listed by zone (case 8CGG-MHBR)")
    assert entry.verdict.action == "local-data"


def test_local_data() -> None:
    """Its own types; NODATA for others; the first RRset for ANY."""
    here = given()
    assert shown(here.answer("local.example").entry, "local.example")[1] == ["local.example. 60 IN A 192.0.2.1"]
    assert shown(here.answer("local.example", "TXT").entry, "local.example", "TXT")[1] == ['local.example. 60 IN TXT "given"']
    assert shown(here.answer("local.example", "AAAA").entry, "local.example", "AAAA") == ("NOERROR", [])
    assert shown(here.answer("local.example", "ANY").entry, "local.example", "ANY")[1] == ["local.example. 60 IN A 192.0.2.1"]
    said = "a.example.net 9 IN CNAME b.example.net.", "b.example.net 9 IN A 198.51.100.3"
    entry = answered(here, led(here, "a.example.net"), *said)
    assert shown(entry, "a.example.net")[1] == ["a.example.net. 60 IN CNAME b.example.net.", "b.example.net. 60 IN A 192.0.2.3"]


def over_tcp(here: Standstill, name: str, now: float = 1000.0) -> Any:
    asked = query(name)
    asked.stream = True
    return here.first.handle(asked, here.first.client("127.0.0.1"), "127.0.0.1", now)


def test_over_tcp_alone() -> None:
    """Over UDP nothing but TC, also from the cache, also once the answer over TCP is known."""
    here = given()
    truncated = bytes.fromhex("8380")
    for _ in range(2):
        assert here.wire("tcp.example")[2:4] == truncated
        forward = over_tcp(here, "tcp.example")
        if isinstance(forward, Forward):
            entry = answered(here, forward, "tcp.example 60 IN A 203.0.113.1")
            assert (entry.source, entry.verdict) == ("upstream", None)
        else:
            assert shown(forward.entry, "tcp.example")[1] == ["tcp.example. 60 IN A 203.0.113.1"]
    assert isinstance(over_tcp(here, "tcp.example", 1030.0), Answer)


def test_over_tcp_alone_for_an_address() -> None:
    """The answer that is refused over UDP is kept for TCP."""
    here = given()
    entry = answered(here, led(here, "a.example.net"), "a.example.net 60 IN A 198.51.100.2")
    assert entry.tcp_only
    assert entry.over_tcp.body.endswith(b"\xc6\x33\x64\2")
    answer = over_tcp(here, "a.example.net")
    assert shown(answer.entry, "a.example.net")[1] == ["a.example.net. 60 IN A 198.51.100.2"]


def test_a_cached_answer_that_is_listed_later() -> None:
    """An answer from before the feed is decided again: it is asked anew where the feed has data for it."""
    here = given(compiled({"zone": "other.example CNAME .\n"}))
    answered(here, led(here, "tcp.example"), "tcp.example 60 IN A 203.0.113.1")
    answered(here, led(here, "plain.example"), "plain.example 60 IN A 203.0.113.2")
    here.resolver.adopt(here.resolver.rules.with_blockset(BLOCKSET))
    assert here.answer("tcp.example").entry.tcp_only
    assert shown(over_tcp(here, "tcp.example").entry, "tcp.example")[1] == ["tcp.example. 60 IN A 203.0.113.1"]
    assert led(here, "plain.example").redirect is not None


def test_a_redirect_of_earlier_rules() -> None:
    """The answer is given to whoever waits, and decided again for the next query."""
    here = given()
    forward = led(here, "plain.example")
    here.resolver.adopt(here.resolver.rules.with_blockset(compiled({"zone": "other.example CNAME .\n"})))
    assert answered(here, forward, "garden.example 900 IN A 203.0.113.9").verdict is not None
    assert led(here, "plain.example").redirect is None


def test_a_redirect_lives_no_longer_than_a_block() -> None:
    """Whatever the least TTL of answers of upstreams is."""
    here = given(cache={"min_ttl_s": 900})
    assert answered(here, led(here, "plain.example"), "garden.example 900 IN A 203.0.113.9").expires_s == 1060.0
