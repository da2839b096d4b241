"""The demo is the first integration test: real processes, real sockets, every answer judged by who asked."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pdns.demo import world
from pdns.demo.authority import Authority
from pdns.demo.client import DemoClient
from pdns.wire import protocol as p

ROOT = Path(__file__).parents[2]


def _demo(temporary: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pdns", "demo", *options],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """A directory with a space in its name, as people have them."""
    directory = tmp_path / "with space"
    directory.mkdir()
    return directory


def test_everything_shown_is_true(temporary: Path) -> None:
    """Every question is answered, every listed name blocked, no other one; the metrics agree; nothing is left behind."""
    with _demo(temporary, "--seconds", "6", "--exit") as demo:
        output, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, output
    for sentence in (
        "A new threat:",
        "The feed server was away",
        "The upstream was away",
        "questions, all answered",
        "4 questions over tls",
    ):
        assert sentence in output
    assert "WRONG" not in output
    (last,) = re.findall(r"queries ([\d,]+)  blocked ([\d,]+)  names ([\d,]+) .* \| the traffic is over", output)
    counted = [re.search(rf"([\d,]+) {what}", output) for what in ("queries, say", "blocked, say", "different listed names")]
    assert list(last) == [found[1] for found in counted if found is not None]
    assert list(temporary.iterdir()) == []


@pytest.mark.long
def test_interrupt_ends_all_of_it(temporary: Path) -> None:
    """Ctrl-C in the middle of the traffic stops the resolver too, and takes its directory away."""
    with _demo(temporary, "--seconds", "60") as demo:
        assert demo.stdout is not None
        assert "was ready after" in demo.stdout.readline()
        demo.send_signal(signal.SIGINT)
        output, _ = demo.communicate(timeout=120)
    assert demo.returncode == 130, output
    assert "Traceback" not in output
    assert list(temporary.iterdir()) == []


def _with_authority(ask: Callable[[Authority, DemoClient], Awaitable[None]]) -> None:
    async def run() -> None:
        authority = Authority(lambda _: 60)
        await authority.start()
        client = DemoClient("127.0.1.1", ("127.0.0.1", authority.port), seed=1)
        await client.open()
        try:
            await ask(authority, client)
        finally:
            client.close()
            authority.stop()

    asyncio.run(run())


def test_upstream_sends_long_answers_over_tcp() -> None:
    """An answer above the asker's UDP size comes truncated, and whole over TCP."""

    async def ask(authority: Authority, client: DemoClient) -> None:
        reply = await client.ask(world.BULKY, p.TXT)
        assert reply is not None
        assert (reply.rcode, reply.records, client.tcp_used) == (p.NOERROR, 12, 1)

    _with_authority(ask)


def test_upstream_goes_and_comes_back() -> None:
    """A stopped upstream is silent, and answers on the same port once it is started again."""

    async def ask(authority: Authority, client: DemoClient) -> None:
        name, port = world.BENIGN_NAMES[0], authority.port
        authority.stop()
        assert await client.ask(name, p.A, timeout_s=0.2) is None
        await authority.start()
        reply = await client.ask(name, p.A)
        assert reply is not None
        assert (reply.addresses, authority.port) == ((world.address_v4(name),), port)

    _with_authority(ask)


def test_world_is_judged_as_the_feeds_mean_it() -> None:
    """Names below a listed one are blocked, save below an exact one and an exception; a tenant's allowance is for it alone."""
    listed = world.FEEDS["malware"][0].name
    assert world.must_block("a.b." + listed, "northmere")
    assert not world.must_block("not" + listed, "northmere")
    assert not world.must_block(world.BENIGN_BELOW_EXACT, "northmere")
    assert not world.must_block(world.EXCEPTION, "northmere")
    assert world.must_block(world.EXEMPT, "northmere")
    assert not world.must_block("www." + world.EXEMPT, world.EXEMPT_TENANT)
    assert not any(world.must_block(name, "northmere") for name in world.BENIGN_NAMES)
