"""Zones that change under load: no query is lost, no answer is wrong, and a new zone is soon in force."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fakes import upstream as fake
from tests.integration.changingzones import Load
from tests.integration.running_pdns import RunningPdns, UpstreamThread

CHANGES = 10
EVERY_S = 0.3
IN_FORCE_WITHIN_S = 1.0


class Change(NamedTuple):
    """The zone goes to the server with `address`: from some moment between these two on."""

    asked_s: float
    done_s: float
    address: bytes


@pytest.fixture
def upstreams() -> Iterator[list[UpstreamThread]]:
    """The first is for all names; each of the others has an address of its own for every name."""
    with ExitStack() as stack:
        handlers = [fake.answer(f"192.0.2.{number}", ttl_s=300) for number in range(CHANGES + 1)]
        yield [stack.enter_context(UpstreamThread(handler)) for handler in handlers]


def zones(upstreams: list[UpstreamThread], number: int) -> dict[str, Any]:
    """The configuration after so many changes: `moving.example` is elsewhere each time, and each brings a zone of its own."""
    config: dict[str, Any] = {"upstream": {"servers": [upstreams[0].address]}}
    if number:
        config["zone"] = [
            {"name": "moving.example", "servers": [upstreams[number].address]},
            *({"name": f"new{at}.example", "servers": [upstreams[at].address]} for at in range(1, number + 1)),
        ]
    return config


def groups(upstreams: list[UpstreamThread], number: int) -> dict[str, Any]:
    """The same by groups: that of `moving.example` has other servers each time."""
    config: dict[str, Any] = {"upstream": {"servers": [upstreams[0].address]}}
    if number:
        servers = {"moving": upstreams[number].address, **{f"new{at}": upstreams[at].address for at in range(1, number + 1)}}
        config["group"] = [{"name": name, "servers": [address]} for name, address in servers.items()]
        config["zone"] = [{"name": f"{name}.example", "group": name} for name in servers]
    return config


def records(upstreams: list[UpstreamThread], number: int) -> dict[str, Any]:
    """The same by local records."""
    config: dict[str, Any] = {"upstream": {"servers": [upstreams[0].address]}}
    if number:
        numbers = {"moving": number, "*.moving": number, **{f"new{at}": at for at in range(1, number + 1)}}
        config["record"] = [{"name": f"{name}.example", "a": [f"192.0.2.{last}"]} for name, last in numbers.items()]
    return config


@pytest.mark.parametrize("queries_per_s", [1000, pytest.param(10_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", [zones, groups, records])
def test_changes_under_load(
    tmp_path: Path,
    upstreams: list[UpstreamThread],
    kind: Callable[[list[UpstreamThread], int], dict[str, Any]],
    queries_per_s: int,
) -> None:
    """Every query is answered, by a server that was in force at some moment from a second before it was asked."""
    with RunningPdns(tmp_path, kind(upstreams, 0)) as pdns:
        assert pdns.addresses("new1.example") == ["192.0.2.0"]  # cached before there is a zone
        changes = [Change(0.0, 0.0, bytes((192, 0, 2, 0)))]
        with Load(pdns.dns_port, "moving.example", queries_per_s) as load:
            for number in range(1, CHANGES + 1):
                asked_s = time.monotonic()
                pdns.write_config(kind(upstreams, number))
                pdns.reload()
                changes.append(Change(asked_s, time.monotonic(), bytes((192, 0, 2, number))))
                late_s = seconds_until_in_force(pdns, f"new{number}.example", f"192.0.2.{number}")
                assert late_s < IN_FORCE_WITHIN_S, f"in force only after {late_s:.2f} s"
                time.sleep(max(0.0, asked_s + EVERY_S - time.monotonic()))
            time.sleep(IN_FORCE_WITHIN_S + 0.5)
        assert load.lost == 0
        assert load.sent == len(load.received) > queries_per_s
        wrong = [one for one in load.received if one.rcode or one.address not in in_force(changes, one.asked_s, one.came_s)]
        assert wrong == []
        assert load.received[-1].address == changes[-1].address


def seconds_until_in_force(pdns: RunningPdns, name: str, address: str) -> float:
    began_s = time.monotonic()
    pdns.wait_for(lambda: pdns.addresses(name) == [address], f"{name} is {address}")
    return time.monotonic() - began_s


def in_force(changes: list[Change], asked_s: float, came_s: float) -> set[bytes]:
    """The addresses that may be in an answer of this time: the next change has been in force for less than a second."""
    ends_s = [change.done_s for change in changes[1:]] + [float("inf")]
    return {
        change.address
        for change, end_s in zip(changes, ends_s, strict=True)
        if change.asked_s < came_s and asked_s < end_s + IN_FORCE_WITHIN_S
    }


@pytest.mark.parametrize("before", ["default", "zone"])
def test_an_answer_on_its_way_is_not_kept_for_the_new_zone(tmp_path: Path, before: str) -> None:
    """The zone changes while its old server is being asked: what that says is not given to those who ask later."""
    late, new = fake.delayed(fake.answer("192.0.2.1", ttl_s=300), 2.0), fake.answer("192.0.2.2", ttl_s=300)
    with UpstreamThread(late) as old, UpstreamThread(new) as other, ThreadPoolExecutor(20) as pool:
        zone = {"name": "moving.example", "servers": [old.address]}
        config: dict[str, Any] = {
            "upstream": {"servers": [old.address], "timeout_s": 10.0},
            "zone": [zone] if before == "zone" else [],
        }
        with RunningPdns(tmp_path, config) as pdns:
            first = [pool.submit(pdns.addresses, f"h{number}.moving.example") for number in range(20)]
            pdns.wait_for(lambda: len(old.names) >= len(first), "all are asked")
            pdns.write_config({**config, "zone": [{**zone, "servers": [other.address]}]})
            pdns.reload()
            for one in first:
                assert one.result() in (["192.0.2.1"], ["192.0.2.2"])
            for number in range(len(first)):
                assert pdns.addresses(f"h{number}.moving.example") == ["192.0.2.2"]
