"""Tenants and policies in the running program: each has its own answers, and changes are soon in force, with nothing lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.fakes import upstream as fake
from tests.integration.changingzones import Load
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed

SCHOOL, LIBRARY, COUNTY = "127.0.1.1", "127.0.2.1", "127.0.0.1"  # clients
OTHER_SINKHOLE = "192.0.2.66"
REAL = "192.0.2.7"
IN_FORCE_WITHIN_S = 1.0


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread(fake.answer(REAL, ttl_s=300)) as upstream:
        yield upstream


def configured(directory: Path, upstream: UpstreamThread, **tables: Any) -> dict[str, Any]:
    return {
        "upstream": {"servers": [upstream.address]},
        "feed": [
            feed(directory, "threats", "bad.example", category="malware"),
            feed(directory, "games", "games.example", category="policy", mode="monitor"),
        ],
        **tables,
    }


def answer(pdns: RunningPdns, name: str, client: str) -> str:
    """The first address of the answer to a client, or the name of the response code."""
    query = dns.message.make_query(name, "A", use_edns=0)
    reply = dns.query.udp(query, "127.0.0.1", timeout=60, port=pdns.dns_port, source=client)
    found = [str(record) for rrset in reply.answer for record in rrset]
    return found[0] if found else dns.rcode.to_text(reply.rcode())


POLICIES = [
    {
        "name": "schools",
        "categories": {"policy": "block"},
        "actions": {"policy": "nxdomain"},
        "sinkholes": {"malware": [OTHER_SINKHOLE]},
        "block": ["films.example"],
    },
    {"name": "libraries", "feeds": {"games": "off"}, "allow": ["good.bad.example"]},
]
TENANTS = [
    {"name": "school", "networks": ["127.0.1.0/24"], "policy": "schools"},
    {"name": "library", "networks": ["127.0.2.0/24"], "policy": "libraries"},
]


def test_each_tenant_has_its_own_answers(tmp_path: Path, upstream: UpstreamThread) -> None:
    """The same names for three clients, fresh and from the cache; what is monitored is counted for who is monitored."""
    expected = {
        ("bad.example", SCHOOL): OTHER_SINKHOLE, ("bad.example", LIBRARY): SINKHOLE, ("bad.example", COUNTY): SINKHOLE,
        ("good.bad.example", SCHOOL): OTHER_SINKHOLE, ("good.bad.example", LIBRARY): REAL, ("good.bad.example", COUNTY): SINKHOLE,
        ("games.example", SCHOOL): "NXDOMAIN", ("games.example", LIBRARY): REAL, ("games.example", COUNTY): REAL,
        ("films.example", SCHOOL): SINKHOLE, ("films.example", LIBRARY): REAL, ("films.example", COUNTY): REAL,
    }  # fmt: skip
    with RunningPdns(tmp_path, configured(tmp_path, upstream, policy=POLICIES, tenant=TENANTS)) as pdns:
        for _ in range(3):
            assert {asked: answer(pdns, *asked) for asked in expected} == expected
        assert pdns.value("blocked_total", tenant="school") == 12
        assert pdns.value("blocked_total", tenant="library") == 3
        assert pdns.value("would_block_total", tenant="default") == 3
        assert pdns.value("would_block_total", tenant="library") == 0
        asked = len(upstream.names)
        for host in range(2, 30):  # other clients of the tenants: equal policies share cached answers
            assert answer(pdns, "films.example", f"127.0.2.{host}") == REAL
        assert len(upstream.names) == asked


@pytest.mark.realtime
def test_an_entry_ends_by_itself(tmp_path: Path, upstream: UpstreamThread) -> None:
    """In every worker, within a second of its end, also for answers in the cache; nothing is reloaded."""
    names = [f"n{number}.films.example" for number in range(20)]
    config = {**configured(tmp_path, upstream), "server": {"workers": 2}}
    with RunningPdns(tmp_path, config) as pdns:
        for patience_s in (3, 10, 30):  # on a slow machine the entry may have ended before it is in force
            end = datetime.now(UTC) + timedelta(seconds=patience_s)
            entry = {"name": "films.example", "action": "block", "reason": "exam week", "until": end.isoformat()}
            pdns.write_config({**config, "policy": [{"name": "default", "entry": [entry]}]})
            pdns.reload()
            seen = {answer(pdns, name, COUNTY) for name in names}
            if datetime.now(UTC) < end:
                break
        assert seen == {SINKHOLE}
        time.sleep((end - datetime.now(UTC)).total_seconds() + IN_FORCE_WITHIN_S)
        assert {answer(pdns, name, COUNTY) for name in names} == {REAL}


def test_a_schedule_is_that_of_the_clock(tmp_path: Path, upstream: UpstreamThread) -> None:
    """One that is in force now blocks, one of another hour does not."""
    now = datetime.now(UTC)
    hours = [f"{(now + timedelta(hours=change)).hour:02}:00" for change in (-2, 3, 5, 8)]
    schedules = [
        {"start": hours[0], "end": hours[1], "feeds": {"games": "block"}},
        {"start": hours[2], "end": hours[3], "feeds": {"threats": "off"}},
    ]
    config = configured(tmp_path, upstream, policy=[{"name": "default", "schedule": schedules}])
    with RunningPdns(tmp_path, config) as pdns:
        assert [answer(pdns, name, COUNTY) for name in ("games.example", "bad.example")] == [SINKHOLE, SINKHOLE]


@pytest.mark.realtime
@pytest.mark.parametrize("queries_per_s", [1000, pytest.param(10_000, marks=pytest.mark.long)])
def test_many_tenants_take_effect_in_one_reload(tmp_path: Path, upstream: UpstreamThread, queries_per_s: int) -> None:
    """250 tenants with 10,000 prefixes and 40 policies, under load: in force within a second in every worker, nothing lost."""
    config = configured(tmp_path, upstream)
    policies = [{"name": f"p{n}", "block": [f"own{n}.example"], "actions": {"malware": "nxdomain"}} for n in range(40)]
    tenants = [{"name": f"t{n}", "policy": f"p{n % 40}", "networks": [f"10.{n}.{m}.0/24" for m in range(40)]} for n in range(250)]
    tenants[7]["networks"] = ["127.0.1.0/24"]
    with RunningPdns(tmp_path, {**config, "server": {"workers": 2}}) as pdns:
        with Load(pdns.dns_port, "load.example", queries_per_s) as load:
            time.sleep(0.5)
            assert answer(pdns, "own7.example", SCHOOL) == REAL
            pdns.write_config({**config, "server": {"workers": 2}, "policy": policies, "tenant": tenants})
            began_s = time.monotonic()
            pdns.reload()
            pdns.wait_for(lambda: answer(pdns, "bad.example", SCHOOL) == "NXDOMAIN", "the tenant has its policy")
            late_s = time.monotonic() - began_s
            names = [f"n{number}.own7.example" for number in range(20)]
            time.sleep(IN_FORCE_WITHIN_S)
            assert {answer(pdns, name, SCHOOL) for name in names} == {SINKHOLE}
            assert {answer(pdns, name, COUNTY) for name in names} == {REAL}
        assert load.lost == 0
        assert {one.rcode for one in load.received} == {0}
        assert late_s < 5.0
