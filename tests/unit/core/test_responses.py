"""What clients get of an upstream's message: names that can be read, in whose letter case, in which order, with which errors."""

from __future__ import annotations

from typing import Any

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.schema import Cache
from pdns.core.cacheable import cacheable
from pdns.core.chain import follow
from pdns.core.entry import Entry
from pdns.core.outcome import Answer, Forward
from pdns.errors import WireError
from pdns.upstream.matching import ReplyQuality, quality_of
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from pdns.wire.names import from_labels
from tests.effort import examples
from tests.unit.core.conftest import Standstill
from tests.wire import query, read

QNAME = b"\3www\7example\0"
POINTER = b"\xc0\x0c"


def resource_record(owner: bytes, rtype: int, rdata: bytes, ttl_s: int = 300) -> bytes:
    return owner + rtype.to_bytes(2) + b"\0\1" + ttl_s.to_bytes(4) + len(rdata).to_bytes(2) + rdata


def message(
    qtype: int, *answer: bytes, qname: bytes = QNAME, authority: tuple[bytes, ...] = (), rcode: int = 0, options: bytes = b""
) -> bytes:
    """A response, byte by byte as an upstream may write it."""
    opt = b"\0\0\x29\4\xd0\0\0\0\0" + len(options).to_bytes(2) + options
    counts = b"\0\1" + len(answer).to_bytes(2) + len(authority).to_bytes(2) + b"\0\1"
    return (
        b"\x12\x34\x81"
        + bytes([0x80 | rcode])
        + counts
        + qname
        + qtype.to_bytes(2)
        + b"\0\1"
        + b"".join((*answer, *authority))
        + opt
    )


def received(wire: bytes, name: str = "www.example", *, do: bool = False, **sections: Any) -> tuple[Standstill, Entry]:
    """The entry that is made of `wire`, which answers its own question."""
    world = Standstill(**sections)
    qtype = int.from_bytes(parse_message(wire).question[-4:-2])
    forward = world.ask(name, f"TYPE{qtype}", do=do)
    assert isinstance(forward, Forward)
    return world, world.resolver.on_answer(forward, parse_message(wire), 1000.0)


def rendered(entry: Entry, qtype: int, *, query_id: int = 7, name: str = "www.example", **options: Any) -> bytes:
    return entry.render(query(name, f"TYPE{qtype}", query_id=query_id, **options), 1000.0, 65535)


def options(*errors: tuple[int, bytes]) -> bytes:
    """Extended DNS Errors as EDNS options."""
    return b"".join(b"\0\x0f" + (2 + len(text)).to_bytes(2) + code.to_bytes(2) + text for code, text in errors)


def errors_in(wire: bytes) -> list[tuple[int, str]]:
    opt = read(wire).ar[0]
    return [(int.from_bytes(option.data[:2]), option.data[2:].decode()) for option in opt.rdata if option.code == 15]


# Names in RDATA.

# Fields of RDATA: an int for as many fixed bytes, "s" for a character string, "n" for a name, or bytes as they are.
Fields = list[int | str | bytes]
SHAPES: dict[str, tuple[int, Fields]] = {
    "NS": (2, ["n"]), "MD": (3, ["n"]), "MF": (4, ["n"]), "SOA": (6, ["n", "n", 20]), "MB": (7, ["n"]), "MG": (8, ["n"]),
    "MR": (9, ["n"]), "PTR": (12, ["n"]), "MINFO": (14, ["n", "n"]), "MX": (15, [2, "n"]), "RP": (17, ["n", "n"]),
    "AFSDB": (18, [2, "n"]), "RT": (21, [2, "n"]), "NSAP-PTR": (23, ["n"]), "SIG": (24, [18, "n", 8]), "PX": (26, [2, "n", "n"]),
    "NXT": (30, ["n", b"\x60"]), "SRV": (33, [6, "n"]), "NAPTR": (35, [4, "s", "s", "s", "n"]), "KX": (36, [2, "n"]),
    "A6": (38, [b"\x40", 8, "n"]), "DNAME": (39, ["n"]), "IPSECKEY": (45, [b"\x0a\3\2", "n", 8]), "RRSIG": (46, [18, "n", 8]),
    "NSEC": (47, ["n", b"\0\1\x40"]), "HIP": (55, [b"\4\2\0\2", 6, "n", "n"]), "TALINK": (58, ["n", "n"]),
    "SVCB": (64, [b"\0\1", "n"]), "HTTPS": (65, [b"\0\1", "n"]), "DSYNC": (66, [b"\0\x3b\1\0\x35", "n"]), "LP": (107, [2, "n"]),
    "AMTRELAY": (260, [b"\x0a\x83", "n"]),
}  # fmt: skip
LABELS = st.binary(min_size=1, max_size=12).filter(lambda label: label == label.lower())
OTHER = from_labels([b"other", b"name", b"test"])


@pytest.mark.parametrize("kind", SHAPES)
@examples(20)
@given(data=st.data())
def test_compressed_names_are_written_out(kind: str, data: st.DataObject) -> None:
    """Where an answer is written anew no pointer of its RDATA is left, whatever the type: dnspython reads the same record."""
    rtype, fields = SHAPES[kind]
    first = resource_record(OTHER, p.A, bytes(4))  # belongs to no answer, so what follows it is written anew
    name_at = p.HEADER_BYTES + len(QNAME) + 4
    whole = sent = b""
    for field in fields:
        if isinstance(field, bytes):
            part = short = field
        elif isinstance(field, int):
            part = short = data.draw(st.binary(min_size=field, max_size=field))
        elif field == "s":
            text = data.draw(st.binary(max_size=20))
            part = short = bytes([len(text)]) + text
        else:
            head = b"".join(bytes([len(label)]) + label for label in data.draw(st.lists(LABELS, max_size=2)))
            suffix, to = data.draw(st.sampled_from([(OTHER, name_at), (OTHER[6:], name_at + 6), (QNAME, p.HEADER_BYTES)]))
            part = head + suffix
            short = head + (0xC000 | to).to_bytes(2) if data.draw(st.booleans()) else part
        whole, sent = whole + part, sent + short
    response = parse_message(message(rtype, first, resource_record(POINTER, rtype, sent)))
    chain = follow(response, QNAME, rtype, do=True)
    entry = cacheable(response, chain, Cache(), do=True, now=1000.0, rules_epoch=1)
    parsed = dns.message.from_wire(rendered(entry, rtype))
    assert [rdata.to_wire() for rrset in parsed.answer for rdata in rrset] == [whole]


def test_rdata_that_is_cut_short_is_refused() -> None:
    """RDATA whose names cannot be found makes no answer."""
    for rtype, rdata in ((p.NAPTR, b"\0\1\0\1\5ab"), (45, b"\x0a"), (55, b"\4\2\0\2xx"), (38, b"\x81" + bytes(20)), (260, b"\1")):
        with pytest.raises(WireError):
            parse_message(message(rtype, resource_record(POINTER, rtype, rdata)))


def test_rdata_of_unknown_types_stays_as_it_is() -> None:
    """Names in types that are not known must not be compressed (RFC 3597, 4): what looks like a pointer is data."""
    _, entry = received(message(0xFF00, resource_record(OTHER, p.A, bytes(4)), resource_record(POINTER, 0xFF00, b"\xc0\x0c\xff")))
    assert entry.body.endswith(b"\0\3\xc0\x0c\xff")


# Letter case.

ASKED = b"\3wWw\7eXaMpLe\0"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([resource_record(ASKED, p.A, bytes(4))], id="owner in full"),
        pytest.param([resource_record(b"\3wWw\xc0\x10", p.A, bytes(4))], id="owner in part"),
        pytest.param(
            [
                resource_record(b"\xc0\x10", p.DNAME, b"\6target\4test\0"),
                resource_record(POINTER, p.CNAME, b"\3wWw\6target\4test\0", 0),
                resource_record(b"\xc0\x42", p.A, bytes(4)),
            ],
            id="CNAME made of a DNAME",
        ),
        pytest.param(
            [resource_record(POINTER, p.CNAME, b"\1a" + ASKED), resource_record(b"\1a" + ASKED, p.A, bytes(4))],
            id="CNAME below the question",
        ),
    ],
)
def test_the_letter_case_of_our_question_is_not_passed_on(answer: list[bytes]) -> None:
    """What an upstream copies out of our question comes in the client's letter case, or in lower case."""
    _, entry = received(message(p.A, *answer, qname=ASKED))
    assert entry.source == "upstream"
    for made in (entry.body, rendered(entry, p.A, name="WWW.example")[12:]):
        assert b"wWw" not in made
        assert b"eXaMpLe" not in made


@pytest.mark.parametrize("owner", [b"\7eXaMpLe\0", b"\xc0\x10"])
def test_the_owner_of_an_soa_is_not_in_our_letter_case(owner: bytes) -> None:
    """Nor is the SOA of a negative answer."""
    soa = resource_record(owner, p.SOA, b"\2ns\7eXaMpLe\0\1h\xc0\x10" + bytes(16) + b"\0\0\1\0")
    _, entry = received(message(p.A, qname=ASKED, authority=(soa,), rcode=p.NXDOMAIN))
    assert entry.rcode == p.NXDOMAIN
    assert b"eXaMpLe" not in entry.body


def test_the_letter_case_of_a_zone_stays() -> None:
    """Names that an upstream has not from our question are passed on as they are."""
    _, entry = received(message(p.MX, resource_record(POINTER, p.MX, b"\0\1\4Mail\7Example\0"), qname=ASKED))
    assert b"\4Mail\7Example" in entry.body


# The order of records.


def test_cnames_come_first_in_the_order_of_the_chain() -> None:
    """However an upstream mixes them, a client reads the chain from its own name to the addresses."""
    hops = [
        resource_record(
            from_labels([b"h%d" % n, b"example"]) if n else QNAME, p.CNAME, from_labels([b"h%d" % (n + 1), b"example"])
        )
        for n in range(3)
    ]
    address = resource_record(from_labels([b"h3", b"example"]), p.A, b"\1\2\3\4")
    for order in ((3, 2, 1, 0), (0, 3, 1, 2), (1, 0, 3, 2)):
        _, entry = received(message(p.A, *[(*hops, address)[n] for n in order]))
        lines = read(rendered(entry, p.A)).rr
        assert [str(line.rname) for line in lines] == ["www.example.", "h1.example.", "h2.example.", "h3.example."], order
        assert [line.rtype for line in lines] == [p.CNAME] * 3 + [p.A]


def test_a_dname_stands_before_the_cname_that_it_made() -> None:
    """As validators expect it, each with its signature behind it."""
    signature = b"%s" + b"\x0d\2" + bytes(14) + b"\0" + bytes(8)
    dname = resource_record(b"\7example\0", p.DNAME, OTHER)
    signed = resource_record(b"\7example\0", p.RRSIG, signature % p.DNAME.to_bytes(2))
    cname = resource_record(POINTER, p.CNAME, b"\3www" + OTHER)
    address = resource_record(b"\3www" + OTHER, p.A, bytes(4))
    _, entry = received(message(p.A, address, cname, signed, dname), do=True)
    assert [line.rtype for line in read(rendered(entry, p.A)).rr] == [p.DNAME, p.RRSIG, p.CNAME, p.A]


@pytest.mark.parametrize("hops", [20, 32])
def test_long_chains_are_answered(hops: int) -> None:
    """Twice what resolvers follow."""
    names = [QNAME, *(from_labels([b"h%d" % n, b"example"]) for n in range(1, hops + 1))]
    chain = [resource_record(names[n], p.CNAME, names[n + 1]) for n in range(hops)]
    _, entry = received(message(p.A, *chain, resource_record(names[-1], p.A, b"\1\2\3\4")))
    assert (entry.rcode, entry.source, entry.counts[:2]) == (0, "upstream", (hops + 1).to_bytes(2))
    names[hops // 2] = b"\7malware\4test\0"
    chain = [resource_record(names[n], p.CNAME, names[n + 1]) for n in range(hops)]
    _, entry = received(message(p.A, *chain, resource_record(names[-1], p.A, b"\1\2\3\4")))
    assert entry.source == "blocked", "each hop is looked up"


# Several addresses.


def turns(entry: Entry, qtype: int, **options: Any) -> list[list[str]]:
    """The addresses that queries with the ids 0 to 5 get."""
    lines = [read(rendered(entry, qtype, query_id=n, **options)).rr for n in range(6)]
    return [[str(line.rdata) for line in one if line.rtype == qtype] for one in lines]


def test_addresses_take_turns() -> None:
    """Of three addresses each stands first for every third query; nothing but their order changes (RFC 1794)."""
    _, entry = received(message(p.A, *[resource_record(POINTER, p.A, bytes([1, 1, 1, n]), 60 + n) for n in range(3)]))
    a, b, c = "1.1.1.0", "1.1.1.1", "1.1.1.2"
    assert turns(entry, p.A) == [[a, b, c], [b, c, a], [c, a, b]] * 2
    later = entry.render(query("www.example", query_id=1), 1010.0, 512)
    assert [(str(line.rdata), line.ttl) for line in read(later).rr] == [(b, 51), (c, 52), (a, 50)], "each keeps its own TTL"


@pytest.mark.parametrize("owners", [(b"\xc0\x29", b"\xc0\x29"), (b"\1b\7example\0",) * 2, (b"\1b\7example\0", b"\xc0\x34")])
def test_addresses_behind_a_chain_take_turns(owners: tuple[bytes, bytes]) -> None:
    """The chain keeps its place, however the upstream writes the name at its end."""
    cname = resource_record(POINTER, p.CNAME, b"\1b\7example\0")
    both = [resource_record(owner, p.AAAA, bytes(15) + bytes([n + 1])) for n, owner in enumerate(owners)]
    _, entry = received(message(p.AAAA, cname, *both))
    for query_id in (0, 1):
        lines = read(rendered(entry, p.AAAA, query_id=query_id)).rr
        assert [line.rtype for line in lines] == [p.CNAME, p.AAAA, p.AAAA]
        assert [str(line.rname) for line in lines[1:]] == ["b.example."] * 2
    assert turns(entry, p.AAAA)[:2] == [["::1", "::2"], ["::2", "::1"]]


def test_signatures_stay_behind_their_addresses() -> None:
    """With DO the signature follows the set, whoever is first in it."""
    signature = resource_record(b"\xc0\x1d", p.RRSIG, p.A.to_bytes(2) + bytes(16) + QNAME + bytes(8))
    _, entry = received(message(p.A, *[resource_record(POINTER, p.A, bytes([1, 1, 1, n])) for n in range(2)], signature), do=True)
    assert turns(entry, p.A, do=True)[:2] == [["1.1.1.0", "1.1.1.1"], ["1.1.1.1", "1.1.1.0"]]
    for query_id in (0, 1):
        lines = read(rendered(entry, p.A, query_id=query_id, do=True)).rr
        assert [line.rtype for line in lines] == [p.A, p.A, p.RRSIG]
        assert {str(line.rname) for line in lines} == {"www.example."}


def test_no_pointer_is_led_astray() -> None:
    """A name that is read out of an address keeps the addresses where they are."""
    addresses = [resource_record(POINTER, p.A, one) for one in (b"\2ab\0", bytes(4))]
    for signer, count in ((b"\xc0\x29", 0), (b"\xc0\x1d", 2)):
        signature = resource_record(POINTER, p.RRSIG, p.A.to_bytes(2) + bytes(16) + signer + bytes(8))
        _, entry = received(message(p.A, *addresses, signature), do=True)
        assert (entry.counts[:2], entry.rotation[2]) == (b"\0\3", count)


@pytest.mark.parametrize(("qtype", "rdata"), [(p.MX, b"\0\1\0"), (p.TXT, b"\1x")])
def test_other_sets_keep_their_order(qtype: int, rdata: bytes) -> None:
    """Only addresses take turns."""
    _, entry = received(message(qtype, *[resource_record(POINTER, qtype, rdata)] * 2))
    assert entry.rotation[2] == 0


# Signatures that were not asked for.

SIGNED = p.A.to_bytes(2) + bytes(16) + b"\0" + bytes(8)


def test_signatures_reach_only_those_who_ask() -> None:
    """RRSIGs that an upstream adds unasked stop here without DO (RFC 4035, 3.2.1); asked for by type they are the answer."""
    wire = message(p.A, resource_record(POINTER, p.A, bytes(4)), resource_record(POINTER, p.RRSIG, SIGNED))
    assert [line.rtype for line in read(rendered(received(wire)[1], p.A)).rr] == [p.A]
    assert [line.rtype for line in read(rendered(received(wire, do=True)[1], p.A)).rr] == [p.A, p.RRSIG]
    _, entry = received(message(p.RRSIG, resource_record(POINTER, p.RRSIG, SIGNED), resource_record(POINTER, p.RRSIG, SIGNED)))
    assert entry.counts[:2] == b"\0\2"
    proof = resource_record(POINTER, p.NSEC, b"\0\0\1\x40")
    _, entry = received(message(p.NSEC, proof, resource_record(POINTER, p.RRSIG, p.NSEC.to_bytes(2) + SIGNED[2:])))
    assert [line.rtype for line in read(rendered(entry, p.NSEC)).rr] == [p.NSEC]


# YXDOMAIN.

LONG = from_labels([b"x" * 63] * 3 + [b"y" * 50])


def test_a_substitution_that_is_too_long_is_passed_on() -> None:
    """YXDOMAIN with the DNAME that explains it is a result, not a failure, and is kept as long as the DNAME."""
    wire = message(p.A, resource_record(b"\xc0\x30", p.DNAME, LONG), rcode=p.YXDOMAIN, qname=b"\x23" + b"w" * 35 + b"\7example\0")
    assert quality_of(parse_message(wire)) is ReplyQuality.OK
    name = "w" * 35 + ".example"
    world, entry = received(wire, name)
    assert (entry.rcode, entry.source, entry.expires_s) == (p.YXDOMAIN, "upstream", 1300.0)
    cached = world.answer(name, now=1100.0)
    assert read(cached.entry.render(query(name), 1100.0, 1232)).header.rcode == p.YXDOMAIN
    assert cached.source == "cache"


@pytest.mark.parametrize(
    "answer", [[], [resource_record(b"\xc0\x10", p.DNAME, OTHER)], [resource_record(POINTER, p.DNAME, LONG)]]
)
def test_a_yxdomain_without_reason_is_a_failure(answer: list[bytes]) -> None:
    """No DNAME, one whose substitution fits, or one that is not above the name: an upstream that does not know."""
    assert quality_of(parse_message(message(p.A, *answer, rcode=p.YXDOMAIN))) is ReplyQuality.ERROR


# Extended DNS Errors.


def test_an_upstreams_errors_are_passed_on() -> None:
    """Beside an answer, from the cache too, but to those with EDNS only; within bounds, and readable."""
    sent = options((6, b"bogus\n"), (22, b"\xff\xc3\xa9" * 200), (9, b""), (10, b"one too many"))
    world, entry = received(message(p.A, resource_record(POINTER, p.A, bytes(4)), options=sent))
    expected = [(6, "bogus"), (22, "\u00e9" * 40), (9, "")]
    assert errors_in(rendered(entry, p.A)) == expected
    cached = world.answer("www.example", now=1001.0)
    assert isinstance(cached, Answer)
    assert errors_in(cached.entry.render(query("www.example"), 1001.0, 1232)) == expected
    assert not read(cached.entry.render(query("www.example", edns=None), 1001.0, 1232)).ar
    assert errors_in(cached.entry.render(query("www.example"), 1001.0, 60)) == [], "the answer has precedence"


@pytest.mark.parametrize(("theirs", "ours"), [(15, 35), (16, 35), (17, 35), (18, 18), (4, 4), (35, 35)])
def test_what_is_blocked_upstream_is_said_to_be(theirs: int, ours: int) -> None:
    """A client that reads "Blocked" would look for the reason here."""
    soa = resource_record(b"\7example\0", p.SOA, b"\0\0" + bytes(16) + b"\0\0\1\0")
    _, entry = received(message(p.A, authority=(soa,), rcode=p.NXDOMAIN, options=options((theirs, b"why"))))
    assert (entry.rcode, entry.ede) == (p.NXDOMAIN, (ours, b"why"))
