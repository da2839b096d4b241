"""Upstreams over HTTPS: one connection for many questions, and every response that is no answer."""

from __future__ import annotations

import asyncio

import pytest
from h2.errors import ErrorCodes

from pdns.upstream import UpstreamAnswer, UpstreamFailure, https, streams, tls
from tests.fakes.edges import until
from tests.fakes.forwarding import forwarding
from tests.fakes.https_upstream import HttpsUpstream, Request, Script, answered
from tests.fakes.identity import NAME, Identity, pin, signed_part
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.upstream import FakeUpstream, answer, lower_casing, wrong_id, wrong_question


def url(upstream: HttpsUpstream, proof: str = NAME) -> str:
    return f"https://127.0.0.1:{upstream.port}/dns-query#{proof}"


@on_both_loops
def test_one_connection_carries_many_questions(loop: str, identity: Identity) -> None:
    """Each question is a request of its own, padded, without an id and without a header that tells who asks."""

    async def main() -> None:
        async with HttpsUpstream(identity.pair) as upstream, forwarding(url(upstream), ca_file=identity.ca_file) as asker:
            outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(80)])
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
            assert await asker.addresses("later.test") == ["192.0.2.7"]
            assert upstream.connections == 1
            for request in upstream.requests:
                assert request.query.id == 0
                assert len(request.query.wire) == 128
                assert dict(request.headers) == {
                    ":method": "POST",
                    ":scheme": "https",
                    ":authority": f"{NAME}:{upstream.port}",
                    ":path": "/dns-query",
                    "accept": "application/dns-message",
                    "content-type": "application/dns-message",
                    "content-length": "128",
                }
            assert asker.stats.results == {"ok": 81}
            assert asker.stats.handshakes == {"new": 1}

    run_on(loop, main())


@on_both_loops
def test_sessions_are_resumed(loop: str, identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection after an idle one needs no certificate."""
    monkeypatch.setattr(streams, "IDLE_S", 0.1)

    async def main() -> None:
        async with HttpsUpstream(identity.pair) as upstream, forwarding(url(upstream), ca_file=identity.ca_file) as asker:
            for _ in range(3):
                assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)
                await until(lambda: not upstream.open)
            assert (upstream.connections, upstream.resumed) == (3, 2)
            assert asker.stats.handshakes == {"new": 1, "resumed": 2}

    run_on(loop, main())


def redirect(request: Request) -> None:
    request.respond(b"", status=301, more=(("location", f"https://127.0.0.1:{request.server.upstream.port}/"),))


def too_long(request: Request) -> None:
    request.head()
    request.data(bytes(65_536), end=True)


def says_too_long(request: Request) -> None:
    request.head(more=(("content-length", "65536"),))
    request.data(b"\0")


def reset(code: ErrorCodes) -> Script:
    return lambda request: request.reset(code)


BAD: dict[str, tuple[Script, str, str]] = {
    "status 404": (lambda one: one.respond(one.message(), status=404), "http_error", "HTTP status '404'"),
    "status 503": (lambda one: one.respond(b"", status=503, content_type="text/html"), "http_error", "HTTP status '503'"),
    "redirect": (redirect, "http_error", "HTTP status '301'"),
    "type": (lambda one: one.respond(one.message(), content_type="text/html"), "malformed", "content-type 'text/html'"),
    "long": (too_long, "malformed", "more than 65535 bytes"),
    "says long": (says_too_long, "malformed", "content-length '65536'"),
    "packed": (
        lambda one: one.respond(one.message(), more=(("content-encoding", "gzip"),)),
        "malformed",
        "content-encoding 'gzip'",
    ),
    "empty": (lambda one: one.respond(b""), "malformed", "an empty answer"),
    "id": (lambda one: one.respond(one.message(wrong_id(answer()))), "malformed", "an id that is not 0"),
    "question": (lambda one: one.respond(one.message(wrong_question(answer()))), "malformed", "another question"),
    "cut": (lambda one: one.respond(one.message()[:-14]), "malformed", ""),
    "reset": (reset(ErrorCodes.INTERNAL_ERROR), "error", "the stream was reset: INTERNAL_ERROR"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_answer_leads_elsewhere_at_once(case: str, identity: Identity, caplog: pytest.LogCaptureFixture) -> None:
    """The next upstream is asked without waiting; alone, the upstream is found useless, and the log says why."""
    script, kind, why = BAD[case]

    async def main() -> None:
        async with HttpsUpstream(identity.pair, script) as bad, FakeUpstream() as good:
            async with forwarding(url(bad), good, ca_file=identity.ca_file) as asker:
                asker.forwarder._default.servers[1].health.sampled(1.0)  # so that the bad one is asked first
                assert await asker.addresses("www.example.test") == ["192.0.2.7"]
                assert asker.stats.by_upstream[url(bad), kind] == 1
                assert why in asker.why(url(bad))
            async with forwarding(url(bad), ca_file=identity.ca_file) as asker:
                for number in range(12):
                    assert isinstance(await asker.ask(f"www.n{number}.test"), UpstreamFailure)
                assert not asker.stats.useful[url(bad)]
                assert asker.stats.up[url(bad)]

    run_on("asyncio", main())
    assert f"answers, but is of no use: {kind}" in caplog.text
    assert why in caplog.text


def test_a_refused_stream_is_asked_again(identity: Identity) -> None:
    """REFUSED_STREAM says that the server has done nothing (RFC 9113, 8.7)."""

    def script(request: Request) -> None:
        if len(request.server.upstream.asked()) == 1:
            request.reset(ErrorCodes.REFUSED_STREAM)
        else:
            request.respond(request.message())

    async def main() -> None:
        upstream = HttpsUpstream(identity.pair, script)
        async with upstream, forwarding(url(upstream), ca_file=identity.ca_file) as asker:
            assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)
            assert asker.stats.results == {"error": 1, "ok": 1}
            assert upstream.connections == 1

    run_on("asyncio", main())


def test_goaway(identity: Identity) -> None:
    """Streams up to the last one of GOAWAY are still answered; the others are asked again on a new connection."""
    waiting: list[Request] = []

    def script(request: Request) -> None:
        if request.server.upstream.connections == 2:
            request.respond(request.message())
            return
        waiting.append(request)
        if len(waiting) == 3:
            first, second, _ = waiting
            connection = first.server
            second.respond(second.message())
            # as a frame of its own: h2 would end the connection
            connection.transport.write(b"\0\0\x08\x07\0\0\0\0\0" + second.stream.to_bytes(4) + bytes(4))
            first.respond(first.message(answer("192.0.2.99")))

    async def main() -> None:
        async with HttpsUpstream(identity.pair, script) as upstream, forwarding(url(upstream), ca_file=identity.ca_file) as asker:
            outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(3)])
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
            assert [request.query.name for request in upstream.requests] == [f"host-{number}.test" for number in (0, 1, 2, 2)]
            await until(lambda: len(upstream.open) == 1)

    run_on("asyncio", main())


def test_streams_are_limited(identity: Identity) -> None:
    """No more streams are open than the server allows; the other questions wait for one."""

    async def main() -> None:
        upstream = HttpsUpstream(identity.pair, max_streams=5)
        async with upstream, forwarding(url(upstream), ca_file=identity.ca_file) as asker:
            assert isinstance(await asker.ask("first.test"), UpstreamAnswer)  # the limit is known from now on
            outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(60)])
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
            assert upstream.most_open <= 5

    run_on("asyncio", main())


def test_a_body_that_never_ends(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stalled stream costs its question a wait, and is reset when its answer would be too late."""
    monkeypatch.setattr(https, "LATE_S", 0.1)

    def stall(request: Request) -> None:
        request.head()
        request.data(request.message()[:20])

    async def main() -> None:
        async with HttpsUpstream(identity.pair, stall) as upstream:
            server = url(upstream)
            async with forwarding(server, ca_file=identity.ca_file, timeout_s=0.5, impatient=True) as asker:
                assert isinstance(await asker.ask("www.example.test"), UpstreamFailure)
                await until(lambda: len(upstream.resets) >= len(upstream.asked()))
                assert asker.stats.by_upstream[server, "timeout"] >= 1
                upstream.script = answered()
                assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)

    run_on("asyncio", main())


def test_a_cached_answer_is_older(identity: Identity) -> None:
    """The time that an answer was in an HTTP cache counts (RFC 8484, 5.1)."""

    async def main() -> None:
        upstream = HttpsUpstream(identity.pair, lambda one: one.respond(one.message(), more=(("age", "100"),)))
        async with upstream, forwarding(url(upstream), ca_file=identity.ca_file) as asker:
            outcome = await asker.ask("www.example.test")
            assert isinstance(outcome, UpstreamAnswer)
            assert [record.ttl_s for record in outcome.message.answer] == [200]

    run_on("asyncio", main())


def test_an_upstream_that_keeps_no_case(identity: Identity) -> None:
    """An answer in lower case is believed, as over TCP."""

    async def main() -> None:
        upstream = HttpsUpstream(identity.pair, answered(lower_casing(answer())))
        async with upstream, forwarding(url(upstream), ca_file=identity.ca_file) as asker:
            assert await asker.addresses("www.example.test") == ["192.0.2.7"]

    run_on("asyncio", main())


@pytest.mark.parametrize("noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0", bytes(100)])
def test_noise_instead_of_http(noise: bytes, identity: Identity) -> None:
    """A connection that breaks HTTP/2 is ended, and its questions go elsewhere."""

    async def main() -> None:
        bad = HttpsUpstream(identity.pair, lambda one: one.server.transport.write(noise))
        async with bad, FakeUpstream() as good, forwarding(url(bad), good, ca_file=identity.ca_file) as asker:
            asker.forwarder._default.servers[1].health.sampled(1.0)
            assert await asker.addresses("www.example.test") == ["192.0.2.7"]
            assert "broke HTTP/2" in asker.why(url(bad))

    run_on("asyncio", main())


@on_both_loops
def test_pins(loop: str, identity: Identity) -> None:
    """One of several pins is enough. With a name the certificate must be valid too; without one the pin alone is the proof."""

    async def main() -> None:
        proven = pin(identity.server)
        other = pin(identity.authority)
        async with HttpsUpstream(identity.pair) as upstream, HttpsUpstream(identity.expired) as expired:
            good = [f"{NAME};{other};{proven}", proven, f"{NAME};{signed_part(identity.authority)}"]
            for proof in good:
                async with forwarding(url(upstream, proof), ca_file=identity.ca_file) as asker:
                    assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer), proof
            bad = {
                url(upstream, f"{NAME};{other}"): f"the key of its certificate is not pinned: {proven}",
                url(upstream, other): f"the key of its certificate is not pinned: {proven}",
                url(upstream, f"other.example;{proven}"): "Hostname mismatch",
                url(upstream, f"{NAME};tbs=sha256/{'A' * 43}="): "no certificate of its chain has the digest",
                url(upstream, "other.example"): "Hostname mismatch",
                url(expired): "certificate has expired",
            }
            upstream.requests.clear()
            for server, why in bad.items():
                async with forwarding(server, ca_file=identity.ca_file, timeout_s=0.2) as asker:
                    while asker.stats.up[server]:  # three failures; a handshake slower than a question does not count
                        assert isinstance(await asker.ask("www.example.test"), UpstreamFailure)
                    assert why in asker.why(server)
            assert not upstream.requests
            assert not expired.requests

    run_on(loop, main())


def test_a_server_without_http_2(identity: Identity, caplog: pytest.LogCaptureFixture) -> None:
    """Without the protocol h2 (ALPN) no question is sent."""

    async def main() -> None:
        upstream = HttpsUpstream(identity.pair, alpn="http/1.1")
        async with upstream, forwarding(url(upstream), ca_file=identity.ca_file, timeout_s=0.3) as asker:
            while asker.stats.up[url(upstream)]:
                assert isinstance(await asker.ask("www.example.test"), UpstreamFailure)
            assert not upstream.requests

    run_on("asyncio", main())
    assert "is down: it does not speak HTTP/2" in caplog.text


@on_both_loops
def test_a_restart_under_load_loses_no_question(loop: str, identity: Identity) -> None:
    """Every question that was out when the server went away is asked again."""

    def soon(request: Request) -> None:
        asyncio.get_running_loop().call_later(0.01, answered(), request)

    async def main() -> None:
        upstream = HttpsUpstream(identity.pair, soon)
        async with upstream, FakeUpstream() as other, forwarding(url(upstream), other, ca_file=identity.ca_file) as asker:
            asker.forwarder._default.servers[1].health.sampled(1.0)
            futures = []
            for number in range(200):
                futures.append(asker.start(f"host-{number}.test"))
                await asyncio.sleep(0.001)
                if number == 100:
                    await upstream.stop()
                elif number == 120:
                    await upstream.start()
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in await asyncio.gather(*futures))
            assert upstream.connections >= 1

    run_on(loop, main())


def test_a_session_ends(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is resumed, the certificate is checked again after an hour."""
    monkeypatch.setattr(streams, "IDLE_S", 0.1)

    async def main() -> None:
        async with HttpsUpstream(identity.pair) as upstream, forwarding(url(upstream), ca_file=identity.ca_file) as asker:
            for resume_s, handshakes in ((60.0, {"new": 1}), (60.0, {"new": 1, "resumed": 1}), (0.0, {"new": 2, "resumed": 1})):
                monkeypatch.setattr(tls, "RESUME_S", resume_s)
                assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)
                await until(lambda: not upstream.open)
                assert asker.stats.handshakes == handshakes

    run_on("asyncio", main())
