"""Names on monitored feeds that a tenant asks for the first time; names that several tenants meet first today."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pdns.event_store.event import ALL_TENANTS, Event, EventKind
from pdns.events.first_seen import MOST_A_DAY, FirstSeenWatch
from pdns.events.shared_names import SharedNamesWatch
from tests.unit.history.asked import KEY, NOON_S, make_history


def event(tenant: str, listed: str, kind: EventKind = "monitored", time_s: float = NOON_S) -> Event:
    return Event(
        id=1, time_s=time_s, last_s=time_s, n=1, kind=kind, node="ns1", tenant=tenant, policy="default", client="",
        transport="udp",
        qname=f"www.{listed}", qtype=1, listed=listed, rule=listed, feed="new", category="new", action="", monitored=("new",),
    )  # fmt: skip


def test_what_is_new_to_a_tenant(tmp_path: Path) -> None:
    """A name that was not asked for, of a domain that was or was not; not a name that was; once a day."""
    asked = [(ago, "north", name) for ago in range(1, 9) for name in ("known.example", "mail.half.example")]
    make_history(tmp_path, [*asked, (0, "north", "evil.example"), *((ago, "south", "evil.example") for ago in range(1, 9))])
    watch = FirstSeenWatch(tmp_path, KEY, "ns1")
    for tenant in ("north", "south"):
        for name in ("known.example", "www.half.example", "evil.example", "evil.example"):
            watch.event(event(tenant, name))
    watch.event(event("north", "blocked.example", "blocked"))
    found = {(one.tenant, one.subject): one.score for one in watch.check(30)}
    assert found == {
        ("north", "www.half.example"): 0.5,
        ("north", "evil.example"): 1.0,
        ("south", "known.example"): 1.0,
        ("south", "www.half.example"): 1.0,
    }
    watch.event(event("north", "evil.example"))
    assert watch.check(30) == []


def test_nothing_is_new_to_a_tenant_that_is_new_itself(tmp_path: Path) -> None:
    """A week must be known of it."""
    make_history(tmp_path, [(ago, "north", "a.example") for ago in range(1, 6)])
    watch = FirstSeenWatch(tmp_path, KEY, "ns1")
    watch.event(event("north", "evil.example"))
    watch.event(event("unknown", "evil.example"))
    assert watch.check(30) == []


def test_a_flood_of_names_is_bounded(tmp_path: Path) -> None:
    """A tenant has so many look-ups a day; the next day it has them again."""
    make_history(tmp_path, [(ago, "north", "a.example") for ago in range(-1, 9)])
    watch = FirstSeenWatch(tmp_path, KEY, "ns1")
    for number in range(2 * MOST_A_DAY):
        watch.event(event("north", f"n{number}.example"))
    assert len(watch.check(30)) == MOST_A_DAY
    watch.event(event("north", "n0.example", time_s=NOON_S + 86400))
    assert len(watch.check(30)) == 1


class _Shared(NamedTuple):
    listed: str
    tenants: tuple[str, ...]
    n: int
    first_s: float


def test_names_that_several_tenants_meet_first() -> None:
    """Three tenants make a finding of all tenants, once a day, and it names none of them."""
    names = [_Shared("evil.example", ("a", "b", "c"), 9, NOON_S), _Shared("two.example", ("a", "b"), 4, NOON_S)]
    watch = SharedNamesWatch("ns1")
    (finding,) = watch.check(NOON_S, lambda _start_s, _end_s: names)
    assert (finding.tenant, finding.subject, finding.score, finding.n) == (ALL_TENANTS, "evil.example", 3.0, 9)
    assert watch.check(NOON_S + 60, lambda _start_s, _end_s: names) == []
    (again,) = watch.check(NOON_S + 86400, lambda _start_s, _end_s: names)
    assert again.id != finding.id
