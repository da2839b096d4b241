"""Groups of upstreams: how long a question may be out."""

from __future__ import annotations

from pdns.config.groups import ServerGroup
from pdns.upstream.group import longest_s


def group(timeout_s: float, fallback: str = "") -> ServerGroup:
    return ServerGroup(("udp://192.0.2.1",), "fastest", fallback, timeout_s, case_randomisation=True, ca_file="")


def test_each_fallback_takes_its_time() -> None:
    """Two seconds at most for each group that is fallen back from, then all the time of the last; the longest course counts."""
    assert longest_s({"default": group(5.0)}) == 5.0
    assert longest_s({"default": group(5.0, "b"), "b": group(1.0, "c"), "c": group(4.0)}) == 7.0
    assert longest_s({"default": group(3.0, "b"), "b": group(1.0), "zone:x": group(9.0)}) == 9.0
