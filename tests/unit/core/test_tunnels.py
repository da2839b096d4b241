"""Tunnels are found by what their names carry, at every rate and encoding, and ordinary names are not."""

from __future__ import annotations

from typing import Any

import pytest

from pdns.core.tunnels import BYTE, LEARN_S, WINDOW_S, TunnelMeter, TunnelReport, TunnelRules, information
from pdns.fast.tunnels import TunnelMeter as CompiledMeter
from pdns.wire.names import from_text
from tests import tunnels

KEY = bytes(range(16))
CLIENT, OTHER = bytes(15) + b"\1", bytes(15) + b"\2"
PER_MINUTE = 40
BEGIN_S = 100 * WINDOW_S + 0.0  # no longer learning

meters = pytest.mark.parametrize("meter_of", [TunnelMeter, CompiledMeter])


def new(meter_of: Any, **how: Any) -> Any:
    meter = meter_of(KEY)
    allow = [from_text(name) for name in how.pop("allow", ())]
    meter.adopt(
        TunnelRules.of(how.pop("per_minute", PER_MINUTE), how.pop("workers", 1), allow, keep_clients=True), how.pop("now", 0.0)
    )
    return meter


def sent(
    meter: Any, names: Any, *, tenant: str = "north", client: bytes = CLIENT, begin_s: float = BEGIN_S
) -> list[TunnelReport]:
    reports = []
    for time_s, qname in names:
        meter.saw(qname, tenant, client, begin_s + time_s)
        reports += meter.take(begin_s + time_s)
    return reports


@pytest.mark.parametrize(
    ("name", "size_bytes"),
    [
        ("example.com", 0),
        ("com", 0),
        (".", 0),
        ("0123456789abcdef.example.com", 8),
        ("abcdefghijklmnop.example.com", 10),
        ("0123456789.example.co.uk", 33 / 8),
        ("0123456789abcdef.zz-_.example.com", 8 + 20 / 8),
        (r"\255\000\001\128.example.com", 4),
    ],
)
def test_what_a_name_carries(name: str, size_bytes: float) -> None:
    """By the narrowest alphabet of each label, below the registered domain."""
    assert information(from_text(name)) == size_bytes * BYTE


@pytest.mark.parametrize("encoding", tunnels.ENCODINGS)
@pytest.mark.parametrize(("rate", "chunk", "within_s"), [(1, 4, 270), (1, 30, 270), (10, 30, 30), (1000, 80, 2)])
@meters
def test_a_tunnel_is_found(meter_of: Any, encoding: str, rate: float, chunk: int, within_s: float) -> None:
    """1 B/s within one window, and 1 kB/s at once."""
    reports = sent(new(meter_of), tunnels.queries(encoding, rate, chunk, for_s=within_s))
    found = [report for report in reports if report.size_bytes >= report.least_bytes]
    assert found, reports[-1:]
    assert found[0].domain == from_text("tunnel.example")
    assert found[0].sample.endswith(from_text("t.tunnel.example"))
    assert (found[0].tenant, found[0].client, found[0].least_bytes) == ("north", CLIENT, PER_MINUTE * WINDOW_S // 60)
    assert BEGIN_S < found[0].at_s <= BEGIN_S + within_s


@meters
def test_the_window_ends_with_the_whole_of_it(meter_of: Any) -> None:
    """At its end a domain is reported with all that it carried."""
    meter = new(meter_of)
    names = [query.qname for query in tunnels.queries("hex", 2, 10, for_s=WINDOW_S)]
    reports = sent(meter, tunnels.queries("hex", 2, 10, for_s=WINDOW_S))
    assert not meter.take(BEGIN_S + WINDOW_S - 1)
    [last] = meter.take(BEGIN_S + WINDOW_S)
    assert last.names == len(names)
    assert last.size_bytes == sum(information(name) for name in names) // BYTE
    assert last.size_bytes >= 2 * WINDOW_S
    assert last.size_bytes > reports[-1].size_bytes
    assert not meter.take(BEGIN_S + 2 * WINDOW_S)


@meters
def test_names_count_once(meter_of: Any) -> None:
    """Names that are asked again, in this window or in a later one, carry nothing."""
    meter = new(meter_of)
    names = [(0.0, from_text(f"{number:040x}.example.com")) for number in range(100, 109)]
    assert sent(meter, names)[-1].names == 9
    for window in (0, 1, 2):
        for _ in range(30):
            assert not [report for report in sent(meter, names, begin_s=BEGIN_S + window * WINDOW_S) if report.names > 9]


@meters
def test_each_tenant_counts_alone(meter_of: Any) -> None:
    """What several tenants ask for below one domain is not added up."""
    meter = new(meter_of)
    names = list(tunnels.queries("hex", 1, 10, for_s=WINDOW_S - 10))
    for place, tenant in enumerate(("a", "b", "c")):
        assert not [one for one in sent(meter, names[place::3], tenant=tenant) if one.size_bytes >= one.least_bytes]


@meters
def test_a_part_of_the_workers_sees_a_part(meter_of: Any) -> None:
    """With four workers each reports half of its share, and says what all of them together must have."""
    meter = new(meter_of, workers=4)
    reports = sent(meter, tunnels.queries("hex", 0.25, 10, for_s=WINDOW_S))
    assert reports[0].size_bytes < 40
    assert reports[0].least_bytes == PER_MINUTE * 5


@meters
def test_allowed_names(meter_of: Any) -> None:
    """Below an allowed name nothing counts; other names of the same domain do."""
    meter = new(meter_of, allow=["lookup.vendor.example", "cdn.example", "arpa"])
    for domain in (b"lookup.vendor.example", b"x.cdn.example", b"in-addr.arpa"):
        assert not sent(meter, tunnels.queries("hex", 50, 20, for_s=20, domain=domain))
    reports = sent(meter, tunnels.queries("hex", 50, 20, for_s=20, seed=2, domain=b"notlookup.vendor.example"))
    assert reports[-1].domain == from_text("vendor.example")
    assert reports[-1].size_bytes >= 800


@meters
def test_after_a_start_it_takes_more(meter_of: Any) -> None:
    """All names are new then."""
    meter = new(meter_of)
    assert not sent(meter, tunnels.queries("hex", 1, 10, for_s=WINDOW_S - 1), begin_s=0.0)
    assert sent(meter, tunnels.queries("hex", 100, 10, for_s=20, seed=2), begin_s=1.0 * WINDOW_S)
    assert sent(meter, tunnels.queries("hex", 1, 10, for_s=WINDOW_S - 1, seed=3), begin_s=1.0 * LEARN_S)


@meters
@pytest.mark.parametrize(("every", "client"), [(5, CLIENT), (3, b""), (2, b"")])
def test_the_client_is_named_if_it_is_one(meter_of: Any, every: int, client: bytes) -> None:
    """Whoever asks for more than three quarters of the names; of two thirds it cannot be sure."""
    meter, reports = new(meter_of), []
    for at, name in enumerate(tunnels.queries("hex", 4, 20, for_s=WINDOW_S - 1)):
        reports += sent(meter, [name], client=OTHER if at % every == 0 else CLIENT)
    assert reports[-1].client == client


@meters
def test_a_flood_of_domains_hides_no_tunnel(meter_of: Any) -> None:
    """The table of domains is full of others, each with little."""
    meter = new(meter_of)
    found = []
    for number, query in enumerate(tunnels.queries("base32", 2, 20, for_s=WINDOW_S - 1)):
        found += sent(meter, [query])
        for other in range(300):
            meter.saw(from_text(f"www.d{number * 300 + other}.example"), "north", OTHER, BEGIN_S + query.time_s)
    assert found[-1].domain == from_text("tunnel.example")


@meters
def test_a_flood_of_names_does_not_make_known_ones_new(meter_of: Any) -> None:
    """What was asked twice stays known, whatever else is asked."""
    meter = new(meter_of, per_minute=10)
    usual = [(0.0, from_text(f"host{number:020}.example.com")) for number in range(300)]
    sent(meter, usual + usual, begin_s=BEGIN_S)
    few = 20_000 if meter_of is TunnelMeter else 2_000_000
    for number in range(few):
        meter.saw(b"\x08%08x\x05flood\x04test\0" % number, "north", OTHER, BEGIN_S + 1)
    meter.take(BEGIN_S + WINDOW_S)
    reports = sent(meter, [*usual, (WINDOW_S, usual[0][1])], begin_s=BEGIN_S + WINDOW_S)
    assert [report for report in reports if report.domain == from_text("example.com")] == []


@meters
def test_off(meter_of: Any) -> None:
    """With 0 bytes a minute nothing is looked for."""
    meter = new(meter_of, per_minute=0)
    assert not meter.on
    assert not sent(meter, tunnels.queries("hex", 100, 20, for_s=20))
