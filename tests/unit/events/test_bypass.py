"""Who may use another resolver: by hours, and by hosts of public resolvers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.event_store.event import ALL_TENANTS, Finding, Hour
from pdns.events.bypass import BypassWatch, public_resolvers
from pdns.telemetry.asked_names import DAY_S, NameDigests
from pdns.wire.names import from_text, to_text
from tests.unit.history.asked import KEY, TODAY, make_history

_MONDAY = TODAY - TODAY % 7 + 4  # the epoch was a Thursday
_TENANTS = {"north": 5_000, "south": 800, "east": 2_000, "west": 9_000}


def hours(bypass: BypassWatch, day: int, hour: int, **factors: float) -> None:
    """One hour of all tenants: as usual, or a multiple of it."""
    start_s = float(day * DAY_S + hour * 3600)
    counts = {tenant: int(usual * factors.get(tenant, 1.0)) for tenant, usual in _TENANTS.items()}
    for tenant, queries in {**counts, ALL_TENANTS: sum(counts.values())}.items():
        bypass.hour(Hour(id=1, start_s=start_s, end_s=start_s + 3600, node="ns1", tenant=tenant, queries=queries))


@pytest.fixture
def bypass(tmp_path: Path) -> BypassWatch:
    """Knows two weeks."""
    made = BypassWatch(tmp_path, None, "ns1")
    for day in range(_MONDAY - 14, _MONDAY):
        for hour in range(24):
            hours(made, day, hour)
    return made


def after(bypass: BypassWatch, hour: int, day: int = _MONDAY) -> list[Finding]:
    return bypass.check(day * DAY_S + (hour + 1) * 3600.0 + 180)


def test_a_fall_of_two_hours_is_a_finding_once_a_day(bypass: BypassWatch) -> None:
    """The score is the share that is missing; the second hour says it, later ones do not say it again."""
    assert after(bypass, 7) == []
    hours(bypass, _MONDAY, 8, south=0.2)
    assert after(bypass, 8) == []
    hours(bypass, _MONDAY, 9, south=0.25)
    (finding,) = after(bypass, 9)
    assert (finding.tenant, finding.kind, finding.subject, finding.score) == ("south", "bypass", "", 0.75)
    assert finding.details == {"expected": "800", "queries": "200", "deviations": "15.0"}
    assert finding.text == "Clients may use another resolver: 75% of the expected queries are missing for two hours."
    hours(bypass, _MONDAY, 10, south=0.1)
    assert after(bypass, 10) == []
    for hour in (8, 9):
        hours(bypass, _MONDAY + 1, hour, south=0.1)
    assert [one.tenant for one in after(bypass, 9, _MONDAY + 1)] == ["south"]


def test_a_holiday_is_no_bypass(bypass: BypassWatch) -> None:
    """When all have less, only who has much less than the others is found."""
    for hour in (8, 9):
        hours(bypass, _MONDAY, hour, north=0.2, south=0.2, east=0.2, west=0.02)
    assert [one.tenant for one in after(bypass, 9)] == ["west"]


def test_weekends_are_compared_with_weekends(tmp_path: Path) -> None:
    """Little traffic on a Saturday is what a Saturday has."""
    bypass = BypassWatch(tmp_path, None, "ns1")
    for day in range(_MONDAY - 16, _MONDAY - 1):
        for hour in range(24):
            factor = 0.1 if (day - _MONDAY) % 7 >= 5 else 1.0
            hours(bypass, day, hour, **dict.fromkeys(_TENANTS, factor))
    assert after(bypass, 23, _MONDAY - 2) == []


def test_an_hour_that_is_not_whole_says_nothing(bypass: BypassWatch) -> None:
    """After a start in the middle of an hour, few queries are no fall; two parts of an hour are one."""
    for part in (900, 2700):
        for hour in (8, 9):
            end_s = float(_MONDAY * DAY_S + hour * 3600 + (900 if part == 900 else 3600))
            for tenant, usual in {**_TENANTS, ALL_TENANTS: 20_000}.items():
                queries = 10 if tenant == "south" else usual * part // 3600
                bypass.hour(Hour(id=1, start_s=end_s - part, end_s=end_s, node="ns1", tenant=tenant, queries=queries))
        assert [one.tenant for one in after(bypass, 9)] == ([] if part == 900 else ["south"])


def test_hosts_of_public_resolvers(tmp_path: Path) -> None:
    """Hosts that are new to a tenant raise its score; those that it asked for before, and other names, do not."""
    known = [(ago, tenant, "dns.google") for ago in range(1, 9) for tenant in ("north", "south")]
    make_history(tmp_path, known)
    bypass, digests = BypassWatch(tmp_path, KEY, "ns1"), NameDigests(KEY)
    now_s = TODAY * DAY_S + 3600.0
    asked = {
        "north": ["dns.google", "dns.quad9.net", "dns.nextdns.io", "www.example"],
        "south": ["dns.google", "dns.quad9.net", "doh.opendns.com", "dns.adguard.com"],
        "east": ["dns.quad9.net", "doh.opendns.com", "dns.adguard.com", "dns.nextdns.io"],  # of which nothing is known
    }
    for tenant, names in asked.items():
        for name in names:
            bypass.asked(tenant, digests.of(from_text(name)), TODAY)
    (finding,) = bypass.check(now_s)
    assert (finding.tenant, finding.score) == ("south", round(1 - 0.75**3, 3))
    assert finding.details == {"public_resolvers": "dns.adguard.com dns.quad9.net doh.opendns.com"}
    bypass.asked("north", digests.below(from_text("cloudflare-dns.com")), TODAY)  # mozilla.cloudflare-dns.com
    assert [one.tenant for one in bypass.check(now_s + 60)] == ["north"]
    assert bypass.check(now_s + 120) == []


def test_the_list_of_public_resolvers() -> None:
    """Names in canonical spelling, none twice, and none of the names that say that DoH is to be left alone."""
    hosts = list(public_resolvers())
    assert len(set(hosts)) == len(hosts) > 80
    assert [to_text(from_text(host)) for host in hosts] == hosts
    assert "use-application-dns.net" not in hosts
