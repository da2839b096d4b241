"""What our queries look like, and how we come to terms with upstreams that dislike them: 0x20, EDNS, truncation."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest

from pdns.upstream import UpstreamAnswer, UpstreamFailure
from tests.fakes.edges import until
from tests.fakes.forwarding import Asker, forwarding
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.patience import PATIENCE_S
from tests.fakes.upstream import (
    BADVERS_OPT,
    FORMERR,
    NOTIMP,
    Action,
    FakeUpstream,
    Handler,
    SeenQuery,
    Send,
    a_records,
    answer,
    by_transport,
    delayed,
    drop,
    hang_up,
    lower_casing,
    over_tcp_only,
    rcode,
    reply,
    then,
    without_edns,
)

NAME = "a-rather-long-name-with-many-letters.example.test"
FORGED = answer("203.0.113.66")
Test = Callable[[FakeUpstream, Asker], Awaitable[None]]


def with_one(
    loop: str,
    handler: Handler,
    test: Test,
    *,
    tcp: bool = True,
    case: bool = True,
    timeout_s: float = PATIENCE_S,
    impatient: bool = False,
) -> None:
    """Run `test` with one upstream and a forwarder to it."""

    async def main() -> None:
        async with (
            FakeUpstream(handler, tcp=tcp) as upstream,
            forwarding(upstream, timeout_s=timeout_s, case_randomisation=case, impatient=impatient) as asker,
        ):
            await test(upstream, asker)

    run_on(loop, main())


# The query


@on_both_loops
@pytest.mark.parametrize("do", [False, True])
@pytest.mark.parametrize("cd", [False, True])
def test_a_query_is_ours_alone(loop: str, do: bool, cd: bool) -> None:
    """RD and AD set, DO and CD as asked, 1232 bytes of EDNS and not one option: no client subnet, no cookie, no padding."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        outcome = await asker.ask(NAME, 28, do=do, cd=cd)
        assert isinstance(outcome, UpstreamAnswer)
        (query,) = upstream.queries
        assert query.wire[2:4] == bytes((0x01, 0x20 | (0x10 if cd else 0)))
        assert query.wire[4:12] == b"\0\1\0\0\0\0\0\1"
        assert query.opt == b"\0\0\x29\x04\xd0\0\0" + (b"\x80\0" if do else b"\0\0") + b"\0\0"
        assert (query.name, query.qtype) == (NAME, 28)

    with_one(loop, answer(), test)


# 0x20


def upper_share(query: SeenQuery) -> float:
    letters = [code for code in query.qname if chr(code).isalpha() and code < 128]
    return sum(chr(code).isupper() for code in letters) / len(letters)


@on_both_loops
def test_the_case_of_questions_is_random(loop: str) -> None:
    """Each query spells the name in its own way, about half in capitals; the answer is for the name asked."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        for _ in range(20):
            outcome = await asker.ask(NAME)
            assert isinstance(outcome, UpstreamAnswer)
            assert outcome.message.answer[0].owner == upstream.queries[-1].qname.lower()
        assert len({query.qname for query in upstream.queries}) == 20
        assert 0.3 < sum(map(upper_share, upstream.queries)) / 20 < 0.7

    with_one(loop, answer(), test)


@on_both_loops
def test_case_can_be_left_alone(loop: str) -> None:
    """With case_randomisation off, questions are in lower case, and an answer in any case is taken."""

    def capitals(query: SeenQuery) -> list[Action]:
        return [Send(reply(query, a_records("192.0.2.7"), question=query.qname.upper() + query.question[-4:]))]

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses(NAME) == ["192.0.2.7"]
        assert upstream.queries[0].qname.islower()

    with_one(loop, capitals, test, case=False)


@on_both_loops
def test_an_answer_in_another_case_is_never_accepted(loop: str) -> None:
    """A forgery right in all but the case leads to a query over TCP, and the truth; the upstream is not suspected for it."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses(NAME) == ["192.0.2.7"]
        assert [query.transport for query in upstream.queries] == ["udp", "tcp"]
        assert asker.stats.results["unmatched"] == 1
        await asker.ask("a-second-name-with-letters.test")
        assert upper_share(upstream.queries[-1]) > 0, "0x20 is still on"

    with_one(loop, by_transport(lower_casing(FORGED), answer()), test)


@on_both_loops
def test_the_right_case_wins_without_tcp(loop: str) -> None:
    """After a forgery in another case the wait for the right answer goes on, whether or not TCP works."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses(NAME) == ["192.0.2.7"]
        await asker.ask("a-second-name-with-letters.test")
        assert upper_share(upstream.asked()[-1]) > 0, "0x20 is still on"

    handler = then(lower_casing(FORGED), delayed(answer(), 0.02))
    with_one(loop, by_transport(handler, drop), test)


@on_both_loops
def test_an_upstream_that_lower_cases_works(loop: str) -> None:
    """TCP shows that it keeps no case: one detour, then plain questions over UDP."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses(NAME) == ["192.0.2.7"]
        assert [query.transport for query in upstream.queries] == ["udp", "tcp"]
        upstream.clear()
        for number in range(5):
            assert await asker.addresses(f"host-{number}.test") == ["192.0.2.7"]
        assert [query.transport for query in upstream.queries] == ["udp"] * 5
        assert all(query.qname.islower() for query in upstream.queries)

    with_one(loop, lower_casing(answer()), test)


@on_both_loops
def test_an_upstream_that_lower_cases_and_has_no_tcp_works(loop: str) -> None:
    """Three answers in a row that were right in all but the case, and no TCP to ask: believed, within the first question."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        started_s = time.monotonic()
        assert await asker.addresses(NAME) == ["192.0.2.7"]
        assert time.monotonic() - started_s < PATIENCE_S
        assert len(upstream.queries) == 4
        upstream.clear()
        assert await asker.addresses("another.test") == ["192.0.2.7"]
        assert [query.qname.islower() for query in upstream.queries] == [True]

    with_one(loop, lower_casing(answer()), test, tcp=False)


@on_both_loops
@pytest.mark.parametrize("tcp", [drop, hang_up], ids=["silent", "hangs up"])
def test_an_upstream_that_lower_cases_and_whose_tcp_is_broken_works(loop: str, tcp: Handler) -> None:
    """TCP that connects but answers nothing delays the first question, and no other."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses(NAME) == ["192.0.2.7"]
        assert len(upstream.asked()) <= 8
        upstream.clear()
        assert await asker.addresses("another.test") == ["192.0.2.7"]
        assert [query.transport for query in upstream.asked()] == ["udp"]

    with_one(loop, by_transport(lower_casing(answer()), tcp), test, impatient=True)


@on_both_loops
def test_names_without_letters_are_no_problem(loop: str) -> None:
    """The root and numeric names have no case to mix."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        for name in (".", "1.0", "_"):
            assert isinstance(await asker.ask(name), UpstreamAnswer)
        assert len(upstream.queries) == 3

    with_one(loop, lower_casing(answer()), test)


# Truncation and size


@on_both_loops
def test_truncation_leads_to_tcp(loop: str) -> None:
    """TC=1 over UDP: the same upstream is asked over TCP, under another id, and that answer counts."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses(NAME) == ["192.0.2.7"]
        udp, tcp = upstream.queries
        assert (udp.transport, tcp.transport) == ("udp", "tcp")
        assert asker.stats.results == {"truncated": 1, "ok": 1}

    with_one(loop, over_tcp_only(answer()), test)


def cut_within_a_record(query: SeenQuery) -> list[Action]:
    whole = reply(query, a_records("203.0.113.66"), flags=0x8380)
    return [Send(whole[: 12 + len(query.question) + 7])]


@on_both_loops
def test_what_a_truncated_answer_holds_is_not_read(loop: str) -> None:
    """TC=1 with half a record, or with whole records, is the same: all comes over TCP (RFC 2181, 9)."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses(NAME) == ["192.0.2.7"]
        assert len(upstream.queries) == 2

    with_one(loop, by_transport(cut_within_a_record, answer()), test)


@on_both_loops
def test_an_answer_longer_than_we_allowed_is_asked_for_again_over_tcp(loop: str) -> None:
    """More than 1232 bytes over UDP may have come in fragments, of which all but the first are easy to forge."""
    many = [f"192.0.2.{number}" for number in range(1, 101)]

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses(NAME) == many
        assert [query.transport for query in upstream.queries] == ["udp", "tcp"]

    with_one(loop, answer(*many), test)


@on_both_loops
def test_truncation_without_tcp_goes_to_another_upstream(loop: str) -> None:
    """If the upstream that truncates has no TCP, another one is asked."""

    async def main() -> None:
        async with (
            FakeUpstream(over_tcp_only(answer()), tcp=False) as broken,
            FakeUpstream(answer("192.0.2.9")) as whole,
            forwarding(broken, whole) as asker,
        ):
            started_s = time.monotonic()
            assert await asker.addresses(NAME) == ["192.0.2.9"]
            assert time.monotonic() - started_s < PATIENCE_S

    run_on(loop, main())


@on_both_loops
def test_truncation_over_tcp_is_no_answer(loop: str) -> None:
    """TC=1 over TCP makes no loop: the question fails, after a bounded number of queries."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert isinstance(await asker.ask(NAME), UpstreamFailure)
        assert len(upstream.asked()) <= 8

    with_one(loop, lambda query: [Send(reply(query, flags=0x8380))], test, timeout_s=0.4, impatient=True)


# EDNS


def bare(query: SeenQuery) -> list[Action]:
    return [Send(query.wire[:2] + b"\x81\x81" + bytes(8))]


def badvers(query: SeenQuery) -> list[Action]:
    return [Send(reply(query, edns=False)[:11] + b"\1" + query.question + BADVERS_OPT)]


@on_both_loops
@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(rcode(FORMERR, edns=False), id="FORMERR"),
        pytest.param(rcode(NOTIMP, edns=False), id="NOTIMP"),
        pytest.param(badvers, id="BADVERS"),
        pytest.param(bare, id="FORMERR without a question"),
    ],
)
def test_an_upstream_without_edns_works(loop: str, refusal: Handler) -> None:
    """Its refusal leads to the same question without EDNS, at once, and it is not bothered with EDNS again for now."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses(NAME) == ["192.0.2.7"]
        assert [query.edns for query in upstream.queries] == [True, False]
        assert await asker.addresses("another.test") == ["192.0.2.7"]
        assert [query.edns for query in upstream.queries] == [True, False, False]

    with_one(loop, without_edns(answer(), refusal), test)


@on_both_loops
def test_an_upstream_that_refuses_everything_is_not_asked_forever(loop: str) -> None:
    """FORMERR with and without EDNS: two queries, then a failure; and nothing is concluded about EDNS."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        outcome = await asker.ask(NAME)
        assert isinstance(outcome, UpstreamFailure)
        assert outcome.message is not None
        assert outcome.message.rcode == FORMERR
        assert [query.edns for query in upstream.queries] == [True, False]
        await asker.ask("another.test")
        assert upstream.queries[2].edns

    with_one(loop, rcode(FORMERR, edns=False), test)


@on_both_loops
def test_an_upstream_that_drops_edns_is_reached_in_the_end(loop: str) -> None:
    """The last of four queries is sent without EDNS to an upstream that never answered with it."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        await asker.ask("warm.test")  # for a short retransmission time; its answer has no OPT, so nothing is known of EDNS
        upstream.handler = without_edns(answer(), drop)
        upstream.clear()
        assert await asker.addresses(NAME) == ["192.0.2.7"]
        assert [query.edns for query in upstream.asked()] == [True, True, True, False]
        upstream.clear()
        asker.start("another.test")
        await until(lambda: len(upstream.asked()) > 0)
        assert upstream.asked()[0].edns, "one silence proves nothing"

    with_one(loop, lambda query: [Send(reply(query, edns=False))], test, impatient=True)


@on_both_loops
def test_silence_alone_never_turns_edns_off(loop: str) -> None:
    """An upstream that has answered with OPT gets EDNS in every query, however many are lost."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        await asker.ask("first.test")
        upstream.handler = drop
        await asker.ask(NAME)
        assert len(upstream.asked()) >= 4
        assert all(query.edns for query in upstream.asked())

    with_one(loop, answer(), test, timeout_s=0.5, impatient=True)
