"""The running program and upstreams that do not validate, filter, or rewrite, beside one that is honest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import pytest

from tests.integration.honestservers import BOGUS, CANARIES, FORGED_ADDRESS, MUST, PLAIN, SIGNED, SmallResolver, SmallZones
from tests.integration.realanswers import ede, has, rcode
from tests.integration.realservers import ask
from tests.integration.running_pdns import RunningPdns

LIES = (
    f'local-zone: "{MUST}" always_nxdomain',
    f'local-zone: "empty.{PLAIN}" redirect',
    f'local-data: "empty.{PLAIN} A {FORGED_ADDRESS}"',
)


@pytest.fixture(scope="module")
def zones(tmp_path_factory: pytest.TempPathFactory) -> SmallZones:
    return SmallZones(tmp_path_factory.mktemp("zones"))


@pytest.fixture
def honest(zones: SmallZones, tmp_path: Path) -> Iterator[SmallResolver]:
    with SmallResolver(tmp_path / "honest", zones) as running:
        yield running


@pytest.fixture(scope="module")
def liar(zones: SmallZones, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallResolver]:
    with SmallResolver(tmp_path_factory.mktemp("liar"), zones, validates=False, lies=LIES) as running:
        yield running


def config(*upstreams: SmallResolver, **more: Any) -> dict[str, Any]:
    servers = [f"udp://127.0.0.1:{one.port}" for one in upstreams]
    section = {"servers": servers, "strategy": "ordered", "timeout_s": 10.0, **more}
    return {
        "upstream": section,
        "canaries": CANARIES,
        "server": {"workers": 1},
        "cache": {"max_ttl_s": 0, "max_negative_ttl_s": 0},
    }


def verdicts(pdns: RunningPdns, upstream: SmallResolver) -> tuple[float | None, ...]:
    """What the canaries say of validation, filtering and rewriting; None: nothing yet."""
    series = pdns.scrape()
    name = f"udp://127.0.0.1:{upstream.port}"
    of_kinds = (series.get(("upstream_honest", (("canary", kind), ("upstream", name)))) for kind in ("filtering", "rewriting"))
    return (series.get(("upstream_validates", (("upstream", name),))), *of_kinds)


def test_a_liar_is_not_asked_beside_an_honest_upstream(liar: SmallResolver, honest: SmallResolver, tmp_path: Path) -> None:
    """Canaries find out who does not validate, filters and rewrites; though it comes first, it is asked only when the honest one
    is down. A name with broken signatures is SERVFAIL, although the other one has an answer.
    """
    with RunningPdns(tmp_path, config(liar, honest)) as pdns:
        pdns.wait_for(lambda: verdicts(pdns, liar) == (0, 0, 0), "the liar is found out")
        pdns.wait_for(lambda: verdicts(pdns, honest) == (1, 1, 1), "the honest one passes")
        assert rcode(pdns.ask(f"www.{BOGUS}")) == "SERVFAIL"
        assert ede(pdns.ask(f"www.{BOGUS}")) in range(6, 13), "the reason is passed on"
        assert rcode(pdns.ask(f"x.empty.{PLAIN}")) == "NXDOMAIN"
        assert pdns.addresses(MUST) == ["203.0.113.8"]
        assert has(ask(pdns.dns_port, f"www.{SIGNED}", do=True), dns.flags.AD), "over loopback"
        assert not any("canaries" in str(labels) for (name, labels), _ in pdns.scrape().items() if name == "queries_total")
        asked = pdns.value("queries_total")
        assert asked == 5, "canaries are not queries of clients"
        honest.kill()
        pdns.wait_for(lambda: FORGED_ADDRESS in pdns.addresses(f"y.empty.{PLAIN}"), "the liar is better than nothing")
        assert pdns.addresses(f"www.{PLAIN}") == ["203.0.113.80"]
        honest.start()
        pdns.wait_for(lambda: rcode(pdns.ask(f"z.empty.{PLAIN}")) == "NXDOMAIN", "the honest one is asked again")
    assert "does not validate signatures" in pdns.log


def test_upstreams_that_all_lie_stay_in_use(liar: SmallResolver, honest: SmallResolver, tmp_path: Path) -> None:
    """Nothing breaks where every upstream lies; the log says so. With `dnssec = "pass"` validation is not expected, and AD is
    believed of none.
    """
    with RunningPdns(tmp_path, config(liar)) as pdns:
        pdns.wait_for_log("every upstream of the group default lies")
        assert pdns.addresses(f"www.{PLAIN}") == ["203.0.113.80"]
        pdns.write_config(config(honest, liar, dnssec="pass"))
        pdns.reload()
        pdns.wait_for(lambda: verdicts(pdns, liar) == (None, 0, 0), "validation is not asked for")
        pdns.wait_for(lambda: verdicts(pdns, honest) == (None, 1, 1), "nor here")
        answer = ask(pdns.dns_port, f"www.{SIGNED}", do=True)
        assert len(answer.answer) == 2, "with its signature"
        assert not has(answer, dns.flags.AD)
