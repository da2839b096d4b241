"""Real secondaries follow a published zone: BIND and Unbound, configured as the documentation says."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import dns.rcode
import pytest

from loadtest.loopback import free_port
from tests.fakes import upstream as fake
from tests.integration.realservers import ask
from tests.integration.running_pdns import UpstreamThread
from tests.integration.secondaries import (
    SECRET,
    NamedSecondary,
    Primary,
    UnboundSecondary,
    transferred,
)

TOGETHER = 10  # changes, until the secondary must have followed: the steps are then shorter than the zone
WITHIN_S = 120.0
MANY = {f"n{number}.example" for number in range(50)}


def wait_for(condition: Callable[[], object], what: str) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < until_s, what
        time.sleep(0.05)


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread(fake.answer("198.51.100.7")) as thread:
        yield thread


@pytest.mark.timeout(600)
@pytest.mark.parametrize("changes", [100, pytest.param(1000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", [NamedSecondary, UnboundSecondary])
def test_many_changes_end_with_the_same_zone(
    tmp_path: Path, upstream: UpstreamThread, kind: type[NamedSecondary | UnboundSecondary], changes: int
) -> None:
    """Additions, removals and exceptions: the secondary has the same records and verdicts at the end, by differences alone."""
    draw = random.Random(1)
    secret = SECRET if kind is NamedSecondary else ""
    port = free_port()
    with Primary(tmp_path / "primary", notify=(port,), secret=secret) as primary:
        listed = {f"n{number}.example" for number in range(200)}
        primary.publish(listed)
        secondary = kind(tmp_path / "secondary", primary.port, upstream.fake.port)
        secondary.port = port
        with secondary:
            wait_for(lambda: secondary.serial == primary.serial, "the first version")
            for number in range(changes):
                if not number % TOGETHER:
                    wait_for(lambda: secondary.serial == primary.serial, "what has changed so far")
                gone = draw.choice(sorted(listed))
                listed = (listed - {gone}) | {f"c{number}.example", f"sub.n{number % 200}.example"}
                allowed = {f"fine.n{draw.randrange(200)}.example"}
                primary.publish(listed, allowed=allowed)
            wait_for(lambda: secondary.serial == primary.serial, "the last version")
            ours = transferred(primary.port, secret=secret)
            wait_for(lambda: secondary.records == ours, "the same records")
            assert (primary.count("axfr", "whole") + primary.count("ixfr", "whole")) <= 2  # its first, and ours
            assert primary.count("ixfr", "steps") > 1
            asked = [*sorted(listed)[::40], "www." + min(listed), *allowed, "other.example", "n0.example"]
            blocked = {name for name in asked if is_blocked(name, listed, allowed)}
            wait_for(lambda: {name for name in asked if is_nxdomain(secondary.port, name)} == blocked, "the same verdicts")
            assert 0 < len(blocked) < len(asked)


def is_blocked(name: str, listed: set[str], allowed: set[str]) -> bool:
    above = [name.split(".", cut)[-1] for cut in range(name.count(".") + 1)]
    return next((entry in listed for entry in above if entry in listed | allowed), False)


def is_nxdomain(port: int, name: str) -> bool:
    return ask(port, name).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("kind", [NamedSecondary, UnboundSecondary])
def test_without_notify_the_refresh_timer_does_it(
    tmp_path: Path, upstream: UpstreamThread, kind: type[NamedSecondary | UnboundSecondary]
) -> None:
    """A NOTIFY that is lost only delays the change."""
    secret = SECRET if kind is NamedSecondary else ""
    with Primary(tmp_path / "primary", refresh_s=2, secret=secret) as primary:
        primary.publish({"bad.example"})
        with kind(tmp_path / "secondary", primary.port, upstream.fake.port) as secondary:
            wait_for(lambda: secondary.serial == primary.serial, "the first version")
            primary.publish({"bad.example", "worse.example"}, notify=False)
            wait_for(lambda: secondary.serial == primary.serial, "the second version")
            wait_for(lambda: ask(secondary.port, "www.worse.example").rcode() == dns.rcode.NXDOMAIN, "blocked")
            assert ask(secondary.port, "better.example").rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("secret", ["", "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMTI="])
def test_a_secondary_without_the_key_gets_nothing(tmp_path: Path, upstream: UpstreamThread, secret: str) -> None:
    """BIND without a key, or with another secret: refused and counted. With the right one it gets the zone."""
    with Primary(tmp_path / "primary", secret=SECRET) as primary:
        primary.publish({"bad.example"})
        reason = "signature" if secret else "stranger"
        with NamedSecondary(tmp_path / "wrong", primary.port, upstream.fake.port, secret=secret) as secondary:
            wait_for(lambda: primary.server.refused[reason] > 0, "refused")
            assert secondary.serial == 0
            assert primary.count("axfr", "whole") == primary.count("ixfr", "whole") == 0
        with NamedSecondary(tmp_path / "right", primary.port, upstream.fake.port) as secondary:
            wait_for(lambda: secondary.serial == primary.serial, "the zone")


def test_a_restart_keeps_serial_and_differences(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A new process serves the same version and the steps that lead to it; its next version is newer, and comes as a step."""
    with ExitStack() as stack:
        with Primary(tmp_path / "primary") as primary:
            primary.publish(MANY | {"a.example"})
            secondary = stack.enter_context(NamedSecondary(tmp_path / "secondary", primary.port, upstream.fake.port, secret=""))
            wait_for(lambda: secondary.serial == primary.serial, "the first version")
            primary.publish(MANY | {"a.example", "b.example"}, notify=False)
            before = primary.serial
        again = Primary(tmp_path / "primary", notify=(secondary.port,))
        again.port = primary.port
        stack.enter_context(again)
        assert again.serial == before
        again.publish(MANY | {"b.example"})
        assert again.serial == before + 1
        wait_for(lambda: secondary.serial == again.serial, "the last version")
        assert secondary.records == transferred(again.port)
        assert (again.count("ixfr", "steps"), again.count("ixfr", "whole"), again.count("axfr", "whole")) == (1, 0, 1)
