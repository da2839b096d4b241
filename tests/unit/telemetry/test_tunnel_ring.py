"""Reports about tunnels pass through the ring unharmed, and damaged ones are refused."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.core.tunnels import TunnelReport
from pdns.telemetry.ring import PREFIX_BYTES, Ring, RingReader
from pdns.telemetry.tunnel_ring import RECORD_BYTES, decoded, encoded, map_tunnel_ring, new_tunnel_ring
from pdns.wire.names import domain_of, from_labels

_COUNT = st.integers(0, 2**64 - 1)
_NAMES = st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4).map(from_labels)


@given(st.text(max_size=15), _NAMES, st.floats(0, 1e9), _COUNT, _COUNT, st.text(max_size=19))
def test_a_report_comes_out_as_it_went_in(tenant: str, name: bytes, at_s: float, window: int, count: int, client: str) -> None:
    """Whatever the name and the tenant are made of."""
    report = TunnelReport(tenant, domain_of(name), name, window, at_s, count, 200, count, b"")
    record = bytes(PREFIX_BYTES) + encoded(report, client)
    assert len(record) <= RECORD_BYTES
    assert decoded(record.ljust(RECORD_BYTES, b"\xff")) == report._replace(client=client)  # type: ignore[arg-type]


@given(st.binary(min_size=RECORD_BYTES, max_size=RECORD_BYTES))
def test_a_damaged_report_is_refused(record: bytes) -> None:
    """It raises `ValueError`, or says something."""
    try:
        decoded(record)
    except ValueError:
        return


def test_a_reader_gets_what_was_written() -> None:
    """Through the memory itself."""
    fd = new_tunnel_ring()
    ring, reading = map_tunnel_ring(fd, writable=True), map_tunnel_ring(os.dup(fd), writable=False)
    reader = RingReader(reading)
    name = from_labels([b"a\nb", b"tunnel", b"example"])
    report = TunnelReport("north", domain_of(name), name, 7, 2101.5, 300, 200, 12, b"")
    ring.write(encoded(report, "192.0.2.0/24"))
    [(number, record)] = reader.take()
    assert number == 0
    assert decoded(record).client == "192.0.2.0/24"
    assert decoded(record)[:8] == report[:8]
    ring.close()
    reading.close()


def test_another_memory_is_refused() -> None:
    """The caller closes it then."""
    fd = Ring.make(b"othr", 4, 64)
    with pytest.raises(ValueError, match="not a ring"):
        map_tunnel_ring(fd, writable=True)
    os.close(fd)
