"""Upstreams over TCP and TLS: connections that stay, many questions on each, and what happens when they break."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pdns.config.groups import DEFAULT, ServerGroup
from pdns.config.schema import Upstream
from pdns.errors import ConfigError
from pdns.upstream import Forwarder, UpstreamAnswer, UpstreamFailure, streams
from pdns.worker.kernels import COMPILED
from tests.descriptors import open_fds
from tests.fakes.edges import until
from tests.fakes.forwarding import Recorder, forwarding, url
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.upstream import (
    Action,
    FakeUpstream,
    Handler,
    Hangup,
    SeenQuery,
    Send,
    answer,
    by_name,
    delayed,
    drop,
    hang_up,
    hang_up_mid_message,
    in_turn,
    lower_casing,
    then,
    wrong_id,
    wrong_question,
)  # fmt: skip

FORGED = answer("203.0.113.66")


@on_both_loops
def test_one_connection_carries_many_questions(loop: str) -> None:
    """A tcp:// upstream is asked over TCP alone; questions are pipelined on one connection, under ids of their own."""

    async def main() -> None:
        async with FakeUpstream(delayed(answer(), 0.02)) as upstream, forwarding(url(upstream, "tcp")) as asker:
            outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(80)])
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
            assert isinstance(await asker.ask("later.test"), UpstreamAnswer)
            assert {query.transport for query in upstream.queries} == {"tcp"}
            assert upstream.connections == 1
            assert len({query.id for query in upstream.queries[:80]}) == 80

    run_on(loop, main())


@on_both_loops
def test_answers_come_in_any_order(loop: str) -> None:
    """A slow question holds up no other on the same connection (RFC 7766, 6.2.1.1)."""

    async def main() -> None:
        slow_queries: list[SeenQuery] = []

        def slow_last(query: SeenQuery) -> list[Action]:
            if query.name == "slow.test":
                slow_queries.append(query)
                return []
            return [*answer()(query), *answer("192.0.2.9")(slow_queries[0])]

        async with FakeUpstream(slow_last) as upstream, forwarding(url(upstream, "tcp")) as asker:
            order: list[str] = []
            slow = asker.start("slow.test")
            slow.add_done_callback(lambda _: order.append("slow"))
            await until(lambda: len(upstream.queries) == 1)
            quick = asker.start("quick.test")
            quick.add_done_callback(lambda _: order.append("quick"))
            outcomes = await asyncio.gather(slow, quick)
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
            assert order == ["quick", "slow"]
            assert upstream.connections == 1

    run_on(loop, main())


@on_both_loops
def test_a_second_connection_under_load_and_no_third(loop: str) -> None:
    """More than a hundred questions out open a second connection; more still share the two."""

    async def main() -> None:
        async with FakeUpstream(delayed(answer(), 0.1)) as upstream, forwarding(url(upstream, "tcp")) as asker:
            outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(500)])
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
            assert upstream.connections == 2
            assert len(upstream.queries) == 500

    run_on(loop, main())


@on_both_loops
def test_idle_connections_are_closed(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which no question waits is closed after a while, and made anew when needed."""
    monkeypatch.setattr(streams, "IDLE_S", 0.5)

    async def main() -> None:
        async with FakeUpstream() as upstream, forwarding(url(upstream, "tcp")) as asker:
            for number in range(5):
                assert isinstance(await asker.ask(f"host-{number}.test"), UpstreamAnswer)
                await asyncio.sleep(0.03)
            assert upstream.connections == 1
            await until(lambda: upstream.open_connections == 0)
            assert isinstance(await asker.ask("again.test"), UpstreamAnswer)
            assert upstream.connections == 2
            assert asker.stats.results == {"ok": 6}

    run_on(loop, main())


@on_both_loops
def test_an_upstream_may_close_idle_connections(loop: str) -> None:
    """The upstream's end of an idle connection is no failure; the next question gets a new one."""

    async def main() -> None:
        async with FakeUpstream() as upstream, forwarding(url(upstream, "tcp")) as asker:
            before = open_fds()
            for _ in range(3):
                assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)
                upstream.hang_up_all()
                await until(lambda: open_fds() == before)
            assert asker.stats.results == {"ok": 3}

    run_on(loop, main())


@on_both_loops
@pytest.mark.parametrize("loss", [hang_up, hang_up_mid_message], ids=["between messages", "within a message"])
def test_what_was_lost_with_a_connection_is_asked_once_more(loop: str, loss: Handler) -> None:
    """All that were out when the connection broke are sent again, at once, on a new one."""

    async def main() -> None:
        handler = in_turn(*[drop] * 9, loss, answer())
        async with FakeUpstream(handler) as upstream, forwarding(url(upstream, "tcp")) as asker:
            outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(10)])
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
            assert upstream.connections == 2
            assert asker.stats.results == {"error": 10, "ok": 10}

    run_on(loop, main())


@on_both_loops
def test_connections_that_always_break_end_in_a_bounded_failure(loop: str) -> None:
    """Every connection is closed at the first query: a few are tried, in their time, then the question fails."""

    async def main() -> None:
        async with FakeUpstream(hang_up) as upstream, forwarding(url(upstream, "tcp"), timeout_s=0.5, impatient=True) as asker:
            assert isinstance(await asker.ask("www.example.test"), UpstreamFailure)
            assert len(upstream.asked()) <= 8
            assert upstream.connections <= len(upstream.queries) + 1

    run_on(loop, main())


@on_both_loops
def test_a_refused_connection_leads_elsewhere_at_once(loop: str) -> None:
    """No listener: the next upstream is asked without waiting."""

    async def main() -> None:
        async with (
            FakeUpstream() as dead,
            FakeUpstream() as alive,
            forwarding(url(dead, "tcp"), url(alive, "tcp")) as asker,
        ):
            await dead.stop()
            outcome = await asker.ask("www.example.test")
            assert isinstance(outcome, UpstreamAnswer)
            assert outcome.upstream == url(alive, "tcp")

    run_on(loop, main())


@on_both_loops
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_an_upstream_that_cannot_be_reached_is_down_whatever_is_asked(loop: str, transport: str) -> None:
    """No listener: three questions for one name bring it down, as three for different names do."""

    async def main() -> None:
        async with FakeUpstream() as upstream:
            server = url(upstream, transport)
            await upstream.stop()
            async with forwarding(server, timeout_s=0.3) as asker:
                for _ in range(3):
                    assert isinstance(await asker.ask("www.example.test"), UpstreamFailure)
                assert not asker.stats.up[server]

    run_on(loop, main())


@on_both_loops
@pytest.mark.parametrize("handler", [drop, hang_up], ids=["silent", "hangs up"])
def test_one_domain_brings_no_upstream_down_over_tcp(loop: str, handler: Handler) -> None:
    """An upstream that gives no answer for one domain, or closes the connection instead, and answers all else, stays up."""

    async def main() -> None:
        names = {f"h{number}.slow.test": handler for number in range(5)}
        async with FakeUpstream(by_name(names, answer())) as upstream, forwarding(url(upstream, "tcp"), timeout_s=0.3) as asker:
            for name in names:
                assert isinstance(await asker.ask(name), UpstreamFailure)
            assert asker.stats.changes == [(url(upstream, "tcp"), True)]
            assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)

    run_on(loop, main())


@on_both_loops
def test_a_connection_gone_silent_is_replaced(loop: str) -> None:
    """When nothing came back since a question was sent, the next one gets a new connection: a NAT may have forgotten the old."""

    def deaf_at_first(query: SeenQuery) -> Iterable[Action]:
        return answer()(query) if upstreams[0].connections > 1 or query.name == "warm.test" else []

    upstreams: list[FakeUpstream] = []

    async def main() -> None:
        async with FakeUpstream(deaf_at_first) as upstream, forwarding(url(upstream, "tcp"), impatient=True) as asker:
            upstreams.append(upstream)
            assert isinstance(await asker.ask("warm.test"), UpstreamAnswer)
            assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)
            assert upstream.connections == 2
            await until(lambda: upstream.open_connections == 1)

    run_on(loop, main())


def empty_messages(_query: SeenQuery) -> list[Action]:
    return [Send(b""), Send(b"")]


@on_both_loops
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(wrong_id(FORGED), id="wrong id"),
        pytest.param(wrong_question(FORGED), id="wrong name"),
        pytest.param(empty_messages, id="empty messages"),
    ],
)
def test_streams_are_not_trusted_either(loop: str, spoil: Handler) -> None:
    """What does not match on a connection is skipped; the right answer behind it is taken."""

    async def main() -> None:
        handler = then(spoil, delayed(answer(), 0.02))
        async with FakeUpstream(handler) as upstream, forwarding(url(upstream, "tcp")) as asker:
            assert await asker.addresses("www.example.test") == ["192.0.2.7"]
            assert len(upstream.queries) == 1
            assert asker.stats.results["unmatched"] + asker.stats.results["malformed"] > 0

    run_on(loop, main())


@on_both_loops
def test_a_lower_casing_tcp_upstream_works(loop: str) -> None:
    """Over TCP another case is proof of an upstream that keeps none: accepted, and 0x20 is off for it."""

    async def main() -> None:
        async with FakeUpstream(lower_casing(answer())) as upstream, forwarding(url(upstream, "tcp")) as asker:
            assert await asker.addresses("www.example.test") == ["192.0.2.7"]
            assert await asker.addresses("www.example.test") == ["192.0.2.7"]
            assert len(upstream.queries) == 2
            assert upstream.queries[1].qname.islower()

    run_on(loop, main())


@on_both_loops
def test_the_largest_answer_arrives_in_pieces(loop: str) -> None:
    """65,535 bytes, in small segments, make one answer."""
    addresses = [f"10.{number >> 8 & 255}.{number & 255}.1" for number in range(4090)]

    def slowly(query: SeenQuery) -> list[Action]:
        (whole,) = answer(*addresses)(query)
        assert isinstance(whole, Send)
        framed = len(whole.wire).to_bytes(2) + whole.wire
        step = 4999
        cuts = [Hangup(framed[at : at + step], at / len(framed) / 10, stay=True) for at in range(0, len(framed), step)]
        return list(cuts)

    async def main() -> None:
        async with FakeUpstream(slowly) as upstream, forwarding(url(upstream, "tcp")) as asker:
            assert await asker.addresses("www.example.test") == addresses

    run_on(loop, main())


# TLS


@dataclass
class Certificates:
    ca: Path
    other_ca: Path
    chain: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate for dns.example.test and the authority that signed it, and an authority that did not."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in ("ca", "other"):
        openssl("req", "-x509", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}")
    openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=dns.example.test")
    (folder / "names").write_text("subjectAltName=DNS:dns.example.test\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "names", "-out", "server.pem")  # fmt: skip
    return Certificates(folder / "ca.pem", folder / "other.pem", folder / "server.pem", folder / "server.key")


@on_both_loops
def test_tls_with_the_right_certificate(loop: str, certificates: Certificates) -> None:
    """Questions go over one TLS connection to a server that proves the configured name."""

    async def main() -> None:
        async with FakeUpstream(tls=certificates.server()) as upstream:
            server = url(upstream, "tls") + "#dns.example.test"
            async with forwarding(server, ca_file=str(certificates.ca)) as asker:
                outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(50)])
                assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
                assert {query.transport for query in upstream.queries} == {"tls"}
                assert upstream.connections == 1

    run_on(loop, main())


@on_both_loops
@pytest.mark.parametrize(("name", "authority"), [("dns.example.net", "ca"), ("dns.example.test", "other_ca")])
def test_tls_with_the_wrong_certificate(
    loop: str, name: str, authority: str, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate of another name or authority: not one question is sent, and the log says why it is down."""

    async def main() -> None:
        async with FakeUpstream(tls=certificates.server()) as upstream:
            server = url(upstream, "tls") + "#" + name
            async with forwarding(server, timeout_s=0.5, ca_file=str(getattr(certificates, authority))) as asker:
                while asker.stats.up[server]:  # three failures; a handshake that takes longer than a question counts for none
                    assert isinstance(await asker.ask("www.example.test"), UpstreamFailure)
                assert upstream.queries == []

    run_on(loop, main())
    assert "is down: " in caplog.text
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text or "certificate" in caplog.text


@on_both_loops
def test_tls_to_a_server_without_tls(loop: str, certificates: Certificates) -> None:
    """A server that speaks plain DNS on the port is a failed upstream, and gets no question."""

    async def main() -> None:
        async with FakeUpstream() as plain, FakeUpstream() as good:
            server = url(plain, "tls") + "#dns.example.test"
            async with forwarding(server, good, timeout_s=4.0, ca_file=str(certificates.ca), impatient=True) as asker:
                outcome = await asker.ask("www.example.test")
                assert isinstance(outcome, UpstreamAnswer)
                assert outcome.upstream == url(good)

    run_on(loop, main())


def test_a_useless_ca_file_is_a_configuration_error(tmp_path: Path) -> None:
    """A missing or empty ca_file is reported by its key when a tls:// upstream needs it."""

    async def main(ca_file: Path) -> None:
        config = Upstream(servers=("tls://192.0.2.1#dns.example.test",), ca_file=str(ca_file))
        with pytest.raises(ConfigError) as raised:
            Forwarder({DEFAULT: ServerGroup.of(config)}, asyncio.get_running_loop(), Recorder(), COMPILED.upstream)
        assert raised.value.key == "upstream.ca_file"

    (empty := tmp_path / "empty.pem").touch()
    run_on("asyncio", main(tmp_path / "missing.pem"))
    run_on("asyncio", main(empty))
