"""The meter for tunnels reports the same, compiled and in Python."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pdns.core.tunnels import TunnelMeter, TunnelRules
from pdns.fast.tunnels import TunnelMeter as CompiledMeter
from pdns.wire.names import from_labels
from tests.effort import examples

_LABEL = st.one_of(
    st.sampled_from([b"www", b"a", b"lookup", b"0123456789abcdef" * 3, b"abcdefghijklmnop" * 3, b"1234567890" * 4]),
    st.binary(min_size=1, max_size=63).map(bytes.lower),
)
_SUFFIX = st.sampled_from(
    [[], [b"com"], [b"example", b"com"], [b"b", b"co", b"uk"], [b"in-addr", b"arpa"], [b"x", b"example", b"com"]]
)
_NAME = st.builds(lambda labels, suffix: from_labels([*labels, *suffix]), st.lists(_LABEL, max_size=3), _SUFFIX)
_CLIENT = st.sampled_from([bytes(15) + b"\1", bytes(16), b"\xff" * 16])
_RULES = st.builds(
    lambda per_minute, workers, allow, keep_clients: TunnelRules.of(per_minute, workers, allow, keep_clients=keep_clients),
    st.sampled_from([0, 1, 5, 40]),
    st.sampled_from([1, 2, 4]),
    st.lists(
        st.sampled_from([from_labels([b"lookup", b"example", b"com"]), from_labels([b"arpa"]), from_labels([b"b", b"co", b"uk"])])
    ),
    st.booleans(),
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("saw"), _NAME, st.sampled_from(["north", "south"]), _CLIENT),
        st.tuples(
            st.just("many"), st.integers(0, 50), st.integers(1, 60), st.sampled_from([b"example.com", b"lookup.example.com"])
        ),
        st.tuples(st.just("domains"), st.integers(0, 20_000)),
        st.tuples(st.just("adopt"), _RULES),
        st.tuples(st.just("wait"), st.sampled_from([0.25, 61.0, 299.0, 600.0])),
        st.tuples(st.just("take")),
    ),
    max_size=40,
)


@examples(200)
@given(st.binary(min_size=16, max_size=16), _RULES, _STEPS)
def test_both_report_the_same(key: bytes, rules: TunnelRules, steps: list[Any]) -> None:
    """Whatever names, clients, windows and rules follow one another."""
    now = 1234.5
    meters: list[Any] = [TunnelMeter(key), CompiledMeter(key)]
    for meter in meters:
        meter.adopt(rules, now)
    for what, *how in steps:
        if what == "wait":
            now += how[0]
        elif what == "take":
            assert meters[0].take(now) == meters[1].take(now)
        for meter in meters:
            if what == "saw":
                meter.saw(*how, now)
            elif what == "many":
                first, count, domain = how
                for number in range(first, first + count):
                    meter.saw(
                        from_labels([b"%040x" % number, *domain.split(b".")]), "north", bytes(15) + bytes([number % 5 < 2]), now
                    )
            elif what == "domains":
                for number in range(how[0], how[0] + 100):
                    meter.saw(from_labels([b"%030x" % number, b"d%d" % number, b"test"]), "south", bytes(16), now)
            elif what == "adopt":
                meter.adopt(how[0], now)
    assert meters[0].take(now + 300) == meters[1].take(now + 300)
    assert meters[0].on == meters[1].on
