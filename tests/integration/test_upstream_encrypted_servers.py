"""Real servers over DoT, DoH and DoQ as upstreams."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from pdns.upstream import Forwarder, UpstreamAnswer, streams
from tests.fakes.edges import until
from tests.fakes.forwarding import forwarding
from tests.fakes.identity import NAME, Identity, pin
from tests.fakes.loops import run_on
from tests.integration.encryptedservers import Dnsproxy, EncryptedDnsdist, EncryptedServer, EncryptedUnbound


@pytest.fixture(params=["unbound", "dnsdist", "dnsproxy"])
def server(request: pytest.FixtureRequest, tmp_path: Path, identity: Identity) -> Iterator[EncryptedServer]:
    with ExitStack() as stack:
        if request.param == "dnsdist":
            yield stack.enter_context(EncryptedDnsdist(tmp_path / "dnsdist", identity.pair))
            return
        unbound = stack.enter_context(EncryptedUnbound(tmp_path / "unbound", identity.pair))
        if request.param == "unbound":
            yield unbound
        else:
            yield stack.enter_context(Dnsproxy(tmp_path / "dnsproxy", identity.pair, unbound.port))


def urls(server: EncryptedServer, proof: str = NAME) -> list[str]:
    """The server over each of its encrypted transports."""
    found = [f"tls://127.0.0.1:{server.tls_port}#{proof}", f"https://127.0.0.1:{server.https_port}/dns-query#{proof}"]
    return found + ([f"quic://127.0.0.1:{server.quic_port}#{proof}"] if server.quic_port else [])


def is_idle(forwarder: Forwarder) -> bool:
    """Whether no connection to the upstream is open."""
    return not any(pools.stream.open_connections for pools in forwarder._pools.values())


def test_questions_and_sessions(server: EncryptedServer, identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many questions at once are answered over every transport, by name or pin, and the next connection resumes the session."""
    monkeypatch.setattr(streams, "IDLE_S", 0.2)

    async def main() -> None:
        for one in (*urls(server), *urls(server, pin(identity.server))):
            async with forwarding(one, ca_file=identity.ca_file) as asker:
                outcomes = await asyncio.gather(*[asker.start(f"host-{number}.example") for number in range(150)])
                assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
                await until(partial(is_idle, asker.forwarder))
                assert await asker.addresses("later.example") == ["192.0.2.7"]
                assert asker.stats.results["ok"] == 151
                assert asker.stats.handshakes["resumed"] >= 1, one

    run_on("uvloop", main())


def test_a_restart_under_load_loses_no_question(server: EncryptedServer, tmp_path: Path, identity: Identity) -> None:
    """Killed and started again, while another server is there."""

    async def main() -> None:
        with EncryptedDnsdist(tmp_path / "other", identity.pair) as other:
            for one in urls(server):
                async with forwarding(one, urls(other)[0], ca_file=identity.ca_file, impatient=True, timeout_s=20) as asker:
                    asker.forwarder._default.servers[1].health.sampled(1.0)  # so that the first is asked
                    futures = []
                    for number in range(300):
                        futures.append(asker.start(f"host-{number}.example"))
                        await asyncio.sleep(0.002)
                        if number == 100:
                            server.kill()
                        elif number == 200:
                            await asyncio.to_thread(server.start)
                    assert all(isinstance(outcome, UpstreamAnswer) for outcome in await asyncio.gather(*futures))

    run_on("uvloop", main())
