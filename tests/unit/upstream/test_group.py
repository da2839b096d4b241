"""Groups of upstreams: how long a question may be out."""

from __future__ import annotations

from pdns.config.groups import ServerGroup
from pdns.upstream.group import UpstreamGroup, longest_s
from pdns.upstream.honesty import CanaryKind, CanaryResult
from pdns.upstream.server import UpstreamServer


def group(timeout_s: float, fallback: str = "") -> ServerGroup:
    return ServerGroup(("udp://192.0.2.1",), "fastest", fallback, timeout_s, case_randomisation=True, ca_file="")


def test_each_fallback_takes_its_time() -> None:
    """Two seconds at most for each group that is fallen back from, then all the time of the last; the longest course counts."""
    assert longest_s({"default": group(5.0)}) == 5.0
    assert longest_s({"default": group(5.0, "b"), "b": group(1.0, "c"), "c": group(4.0)}) == 7.0
    assert longest_s({"default": group(3.0, "b"), "b": group(1.0), "zone:x": group(9.0)}) == 9.0


def convict(server: UpstreamServer) -> None:
    for _ in range(3):
        server.honesty.found(CanaryKind.REWRITING, CanaryResult.LIE)


def test_liars_are_left_out_while_an_honest_one_works() -> None:
    """Those that lie are asked only when no honest one is up and useful; and all when all lie, which is told once."""
    one, two, three = servers = [UpstreamServer(f"udp://192.0.2.{n}", case_randomisation=True) for n in (1, 2, 3)]
    made = UpstreamGroup("default", servers, "fastest", 10.0)
    assert made.usable == servers
    convict(one)
    assert not made.choose_honest()
    assert made.usable == [two, three]
    two.health.up = False
    assert made.usable == [two, three]
    three.usefulness.useful = False
    assert made.usable == servers
    two.health.up = True
    assert made.usable == [two, three]
    convict(two)
    convict(three)
    assert made.choose_honest()
    assert not made.choose_honest(), "it is told once"
    assert made.usable == servers
    for _ in range(3):
        two.honesty.found(CanaryKind.REWRITING, CanaryResult.HONEST)
    assert not made.choose_honest()
    assert made.usable == [two]
