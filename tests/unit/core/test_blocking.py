"""Which queries are blocked: listed names, exceptions, allowlists, monitored feeds."""

from __future__ import annotations

import pytest

from pdns.core.outcome import Answer, Forward
from pdns.wire import protocol as p
from tests.blocksets import make_blockset
from tests.unit.core.conftest import Standstill
from tests.wire import answers, ede, read


@pytest.mark.parametrize("qtype", ["A", "AAAA", "HTTPS", "TXT", "MX", "ANY", "NS", "SOA", "CNAME", "DS", "TYPE65280"])
@pytest.mark.parametrize("name", ["malware.test", "Deep.Below.MALWARE.test"])
def test_a_listed_name_and_all_below_are_blocked_for_every_type(name: str, qtype: str) -> None:
    """Every type of a listed name is blocked; A and AAAA get the sinkhole, the rest NODATA with an SOA."""
    wire = Standstill().wire(name, qtype, do=True)
    expected = {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]}.get(qtype, [])
    assert (read(wire).header.rcode, answers(wire)) == (p.NOERROR, expected)
    assert [r.rtype for r in read(wire).auth] == ([] if expected else [p.SOA])
    assert (ede(wire) or (0, ""))[0] == 15
    assert read(wire).header.ad == 0


@pytest.mark.parametrize(
    ("name", "blocked"),
    [
        ("exact.example", True),
        ("x.exact.example", False),
        ("below.example", False),
        ("x.below.example", True),
        ("bad.example", True),
        ("good.bad.example", False),
        ("x.good.bad.example", False),
        ("notbad.example", False),
        (r"x\.bad.example", False),
        ("bad.example.net", False),
        ("monitored.example", False),
    ],
)
def test_rules_reach_as_far_as_they_say(name: str, *, blocked: bool) -> None:
    """Exact, below-only, subtree, exceptions and monitored feeds: each blocks what it says and nothing else."""
    outcome = Standstill().ask(name)
    assert isinstance(outcome, Answer if blocked else Forward)


def test_a_listed_onion_name_is_a_block_not_a_mere_nxdomain() -> None:
    """Names that are never forwarded are still blocked, and counted, when a feed lists them."""
    world = Standstill(make_blockset({"alpha": "c2.onion"}))
    assert world.answer("c2.onion").source == "blocked"
    assert world.answer("other.onion").entry.rcode == p.NXDOMAIN


def test_exceptions_hold_for_their_own_feed_only() -> None:
    """A feed's exception does not lift what another feed lists; within a feed the more specific listing wins."""
    blockset = make_blockset({"alpha": "bad.example @@good.bad.example evil.good.bad.example", "beta": "x.good.bad.example"})
    world = Standstill(blockset)
    assert isinstance(world.ask("good.bad.example"), Forward)
    assert isinstance(world.ask("x.good.bad.example"), Answer)
    assert isinstance(world.ask("evil.good.bad.example"), Answer)
    same = Standstill(make_blockset({"alpha": "bad.example @@bad.example"}))
    assert isinstance(same.ask("bad.example"), Forward)


def test_allowlists_beat_feeds() -> None:
    """The global allowlist holds for all, a tenant's for its own clients; `*.x` allows what is below x only."""
    world = Standstill(
        block={"allow": ["malware.test", "*.bad.example"]},
        tenant=[{"name": "t", "networks": ["10.1.0.0/16"], "allow": ["only-beta.example"]}],
    )
    assert not isinstance(world.ask("malware.test"), Forward), "answered as .test, not blocked"
    assert world.answer("malware.test").source == "local"
    assert isinstance(world.ask("x.bad.example"), Forward)
    assert world.answer("bad.example").source == "blocked"
    assert world.answer("only-beta.example").source == "blocked"
    assert isinstance(world.ask("only-beta.example", address="10.1.2.3"), Forward)
