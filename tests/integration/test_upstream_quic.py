"""Upstreams over QUIC: one connection for many questions, and every stream that brings no answer."""

from __future__ import annotations

import asyncio

import pytest

from pdns.upstream import UpstreamAnswer, UpstreamFailure, quic, streams
from tests.fakes.edges import until
from tests.fakes.forwarding import forwarding
from tests.fakes.identity import NAME, Identity, pin
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.quic_upstream import QuicRequest, QuicUpstream, Script, answered
from tests.fakes.upstream import FakeUpstream, answer, wrong_id, wrong_question


def url(upstream: QuicUpstream, proof: str = NAME) -> str:
    return f"quic://127.0.0.1:{upstream.port}#{proof}"


@on_both_loops
def test_one_connection_carries_many_questions(loop: str, identity: Identity) -> None:
    """Each question is a stream of its own, padded, with the id 0 (RFC 9250, 4.2.1)."""

    async def main() -> None:
        async with QuicUpstream(identity.pair) as upstream, forwarding(url(upstream), ca_file=identity.ca_file) as asker:
            outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(80)])
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
            assert await asker.addresses("later.test") == ["192.0.2.7"]
            assert upstream.connections == 1
            assert {(one.query.id, len(one.query.wire)) for one in upstream.requests} == {(0, 128)}
            assert {one.stream & 3 for one in upstream.requests} == {0}
            assert asker.stats.results == {"ok": 81}
            assert asker.stats.handshakes == {"new": 1}
            asker.forwarder.close()
            await until(lambda: upstream.ended == [quic.DoqError.NO_ERROR])

    run_on(loop, main())


@on_both_loops
def test_sessions_are_resumed_without_early_data(loop: str, identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection after an idle one needs no certificate; nothing is sent before the handshake is over."""
    monkeypatch.setattr(streams, "IDLE_S", 0.1)

    async def main() -> None:
        async with QuicUpstream(identity.pair) as upstream, forwarding(url(upstream), ca_file=identity.ca_file) as asker:
            for _ in range(3):
                assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)
                await until(lambda: len(upstream.ended) == upstream.connections)
            assert (upstream.connections, upstream.resumed, upstream.early) == (3, 2, 0)
            assert asker.stats.handshakes == {"new": 1, "resumed": 2}

    run_on(loop, main())


BAD: dict[str, tuple[Script, str, str]] = {
    "no length": (lambda one: one.respond(b""), "malformed", "without one whole message"),
    "cut": (lambda one: one.respond(one.framed()[:-1]), "malformed", "without one whole message"),
    "two messages": (lambda one: one.respond(one.framed() * 2), "malformed", "without one whole message"),
    "long": (lambda one: one.respond(b"\xff\xff" + bytes(65_536)), "malformed", "more than 65535 bytes"),
    "id": (lambda one: one.respond(one.framed(wrong_id(answer()))), "malformed", "an id that is not 0"),
    "question": (lambda one: one.respond(one.framed(wrong_question(answer()))), "malformed", "another question"),
    "reset": (lambda one: one.reset(quic.DoqError.EXCESSIVE_LOAD), "error", "the stream was reset: DOQ_EXCESSIVE_LOAD"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_answer_leads_elsewhere_at_once(case: str, identity: Identity) -> None:
    """The next upstream is asked without waiting, and the reason is kept."""
    script, kind, why = BAD[case]

    async def main() -> None:
        bad, good = QuicUpstream(identity.pair, script), FakeUpstream()
        async with bad, good, forwarding(url(bad), good, ca_file=identity.ca_file) as asker:
            asker.forwarder._default.servers[1].health.sampled(1.0)  # so that the bad one is asked first
            assert await asker.addresses("www.example.test") == ["192.0.2.7"]
            assert asker.stats.by_upstream[url(bad), kind] == 1
            assert why in asker.why(url(bad))

    run_on("asyncio", main())


def test_a_server_that_opens_streams(identity: Identity) -> None:
    """Only clients open streams: the connection ends with DOQ_PROTOCOL_ERROR (RFC 9250, 4.3.3)."""

    def script(request: QuicRequest) -> None:
        connection = request.connection._quic
        connection.send_stream_data(connection.get_next_available_stream_id(), b"unasked")
        request.connection.transmit()

    async def main() -> None:
        bad, good = QuicUpstream(identity.pair, script), FakeUpstream()
        async with bad, good, forwarding(url(bad), good, ca_file=identity.ca_file) as asker:
            asker.forwarder._default.servers[1].health.sampled(1.0)
            assert await asker.addresses("www.example.test") == ["192.0.2.7"]
            await until(lambda: quic.DoqError.PROTOCOL_ERROR in bad.ended)

    run_on("asyncio", main())


def test_a_stream_that_never_ends(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stalled stream costs its question a wait, and is given up when its answer would be too late."""
    monkeypatch.setattr(quic, "LATE_S", 0.1)

    async def main() -> None:
        upstream = QuicUpstream(identity.pair, lambda one: one.respond(one.framed()[:20], end=False))
        async with upstream, forwarding(url(upstream), ca_file=identity.ca_file, timeout_s=0.5, impatient=True) as asker:
            assert isinstance(await asker.ask("www.example.test"), UpstreamFailure)
            await until(lambda: quic.DoqError.REQUEST_CANCELLED in upstream.stopped)
            upstream.script = answered()
            assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)

    run_on("asyncio", main())


@on_both_loops
def test_who_the_server_is(loop: str, identity: Identity) -> None:
    """Names, dates and pins are checked as over TLS, before a question is sent."""

    async def main() -> None:
        proven, other = pin(identity.server), pin(identity.authority)
        async with QuicUpstream(identity.pair) as upstream, QuicUpstream(identity.expired) as expired:
            for proof in (f"{NAME};{other};{proven}", proven):
                async with forwarding(url(upstream, proof), ca_file=identity.ca_file) as asker:
                    assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer), proof
            upstream.requests.clear()
            bad = {
                url(upstream, f"{NAME};{other}"): f"the key of its certificate is not pinned: {proven}",
                url(upstream, other): f"the key of its certificate is not pinned: {proven}",
                url(upstream, f"other.example;{proven}"): "doesn't match",
                url(expired): "no longer valid",
            }
            for server, why in bad.items():
                async with forwarding(server, ca_file=identity.ca_file, timeout_s=0.2) as asker:
                    while asker.stats.up[server]:  # three failures; a handshake slower than a question does not count
                        assert isinstance(await asker.ask("www.example.test"), UpstreamFailure)
                    assert why in asker.why(server)
            assert not upstream.requests
            assert not expired.requests

    run_on(loop, main())


@pytest.mark.parametrize("how", ["stop", "vanish"])
@on_both_loops
def test_a_restart_under_load_loses_no_question(loop: str, how: str, identity: Identity) -> None:
    """Every question that was out when the server went away, with a word or without, is asked again."""

    def soon(request: QuicRequest) -> None:
        asyncio.get_running_loop().call_later(0.01, answered(), request)

    async def main() -> None:
        upstream, other = QuicUpstream(identity.pair, soon), FakeUpstream()
        async with (
            upstream,
            other,
            forwarding(url(upstream), other, ca_file=identity.ca_file, impatient=True, timeout_s=10) as asker,
        ):
            asker.forwarder._default.servers[1].health.sampled(1.0)
            futures = []
            for number in range(150):
                futures.append(asker.start(f"host-{number}.test"))
                await asyncio.sleep(0.001)
                if number == 100:
                    await getattr(upstream, how)()
                elif number == 120:
                    await upstream.start()
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in await asyncio.gather(*futures))

    run_on(loop, main())
