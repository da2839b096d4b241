"""What canaries ask, and what answers prove."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from pdns.config.canary_schema import CanarySection
from pdns.upstream.canary_checks import RANDOM_BYTES, findings_of, questions_of
from pdns.upstream.honesty import CanaryKind, CanaryResult
from pdns.wire import names
from pdns.wire.message import Message, parse_message

SECTION = CanarySection(
    signed=("signed.example", "second.example"),
    bogus=("bogus.example",),
    resolves=("www.example",),
    empty_zone="empty.example",
    known=("known.example 192.0.2.7 2001:db8::7", "six.example 2001:db8::6"),
)
RANDOM = bytes(range(RANDOM_BYTES))
HONEST, LIE, NOTHING = CanaryResult.HONEST, CanaryResult.LIE, CanaryResult.NOTHING


def answer(rcode: str = "NOERROR", *addresses: str, ad: bool = False, ede: int = -1) -> Message:
    """An answer to `x.example A`, or AAAA."""
    qtype = "AAAA" if addresses and ":" in addresses[0] else "A"
    message = dns.message.make_response(dns.message.make_query("x.example", qtype, use_edns=0))
    message.set_rcode(dns.rcode.from_text(rcode))
    message.flags |= dns.flags.AD if ad else 0
    if addresses:
        message.answer.append(dns.rrset.from_text("x.example.", 60, "IN", qtype, *addresses))
    if ede >= 0:
        message.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode(ede))])
    return parse_message(message.to_wire())


def asked(turn: int = 0, section: CanarySection = SECTION, *, validates: bool = True) -> dict[str, str]:
    """The names and types of one round, by role."""
    return {
        one.role: f"{names.to_text(one.question.qname)} {one.question.qtype}"
        for one in questions_of(section, turn, RANDOM, validates=validates)
    }


def test_names_take_turns() -> None:
    """Each round has one name of each list, and a random one; signed and bogus names are asked with DO."""
    assert asked(0) == {
        "signed": "signed.example 1",
        "bogus": "bogus.example 1",
        "known": "known.example 1",
        "empty_zone": f"{RANDOM.hex()}.empty.example 1",
        "resolves": "www.example 1",
    }
    assert (asked(1)["signed"], asked(1)["known"]) == ("second.example 1", "six.example 28")
    assert {one.role for one in questions_of(SECTION, 0, RANDOM, validates=True) if one.question.do} == {"signed", "bogus"}


def test_what_is_not_configured_is_not_asked() -> None:
    """Without names a kind is left out, and validation where it is not expected or one half of it is missing."""
    assert set(asked(validates=False)) == {"known", "empty_zone", "resolves"}
    assert set(asked(section=CanarySection(bogus=(), known=(), empty_zone=""))) == {"resolves"}
    assert asked(section=CanarySection(signed=(), resolves=(), known=(), empty_zone="")) == {}


@pytest.mark.parametrize(
    ("role", "message", "expected"),
    [
        ("signed", answer("NOERROR", "192.0.2.1", ad=True), HONEST),
        ("signed", answer("NOERROR", "192.0.2.1"), LIE),
        ("signed", answer("NOERROR", ad=True), NOTHING),
        ("signed", answer("SERVFAIL"), NOTHING),
        ("signed", answer("NXDOMAIN"), NOTHING),
        ("bogus", answer("SERVFAIL"), HONEST),
        ("bogus", answer("NOERROR", "192.0.2.1"), LIE),
        ("bogus", answer("NXDOMAIN"), NOTHING),
        ("bogus", answer("REFUSED"), NOTHING),
        ("known", answer("NOERROR", "192.0.2.7"), HONEST),
        ("known", answer("NOERROR", "192.0.2.7", "192.0.2.8"), LIE),
        ("known", answer("NOERROR", "192.0.2.8"), LIE),
        ("known", answer("NXDOMAIN"), NOTHING),
        ("empty_zone", answer("NXDOMAIN"), HONEST),
        ("empty_zone", answer("NOERROR"), HONEST),  # RFC 9824
        ("empty_zone", answer("NOERROR", "192.0.2.1"), LIE),
        ("empty_zone", answer("SERVFAIL"), NOTHING),
        ("resolves", answer("NOERROR", "192.0.2.1"), HONEST),
        ("resolves", answer("NOERROR", "0.0.0.0"), LIE),
        ("resolves", answer("NOERROR", "127.0.0.1"), LIE),
        ("resolves", answer("NOERROR"), LIE),
        ("resolves", answer("NXDOMAIN"), LIE),
        ("resolves", answer("REFUSED", ede=15), LIE),
        ("resolves", answer("REFUSED"), NOTHING),
        ("resolves", answer("SERVFAIL"), NOTHING),
    ],
)
def test_what_an_answer_proves(role: str, message: Message, expected: CanaryResult) -> None:
    """Only an answer that a resolver of this kind gives on purpose is a lie; failures prove nothing."""
    (canary,) = (one for one in questions_of(SECTION, 0, RANDOM, validates=True) if one.role == role)
    assert canary.check(message) is expected


@pytest.mark.parametrize(
    ("found", "validation", "rewriting", "filtering"),
    [
        ("hhhhh", HONEST, HONEST, HONEST),
        ("lhhhh", LIE, HONEST, HONEST),
        ("hlhhh", LIE, HONEST, HONEST),
        (".lhhh", LIE, HONEST, HONEST),
        (".hhhh", NOTHING, HONEST, HONEST),  # whoever fails everything does not validate
        ("hhlhl", HONEST, LIE, LIE),
        ("hhhl.", HONEST, LIE, NOTHING),
        ("hh.hl", HONEST, HONEST, NOTHING),  # a network of its own: it knows no public name
        ("hh...", HONEST, NOTHING, NOTHING),
    ],
)
def test_what_a_round_says(found: str, validation: CanaryResult, rewriting: CanaryResult, filtering: CanaryResult) -> None:
    """One lie is enough; a filtering lie needs a name that resolves beside it."""
    results = {"h": HONEST, "l": LIE, ".": NOTHING}
    by_role = dict(zip(("signed", "bogus", "known", "empty_zone", "resolves"), (results[one] for one in found), strict=True))
    assert findings_of(by_role, set(CanaryKind)) == {
        CanaryKind.VALIDATION: validation,
        CanaryKind.REWRITING: rewriting,
        CanaryKind.FILTERING: filtering,
    }


def test_the_default() -> None:
    """Each round of the names that are built in has five questions."""
    assert len(asked(section=CanarySection())) == 5
