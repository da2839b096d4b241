"""Zones of several policies, and of feeds with answers of their own: each gives a real secondary what pdns gives its clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode

from loadtest.loopback import free_port
from tests.fakes import upstream as fake
from tests.integration.realservers import ask
from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed
from tests.integration.secondaries import ORIGIN, SECRET, NamedSecondary, Records, serial_of, transferred

SCHOOLS = "schools.example"
GIVEN = """$ORIGIN rpz.given.
@ SOA localhost. root.localhost. 1 60 60 600 60
@ NS localhost.
nx.example CNAME .
nodata.example CNAME *.
data.example A 192.0.2.9
data.example TXT "given"
tcp.example CNAME rpz-tcp-only.
*.garden.example A 192.0.2.8
deep.garden.example CNAME .
ok.evil.example CNAME rpz-passthru.
32.7.100.51.198.rpz-ip CNAME rpz-passthru.
24.0.100.51.198.rpz-ip CNAME .
"""
ASKED = (
    "nx.example", "nodata.example", "data.example", "tcp.example", "x.garden.example", "garden.example", "deep.garden.example",
    "x.deep.garden.example", "evil.example", "ok.evil.example", "x.ok.evil.example", "free.example",
)  # fmt: skip


def config(directory: Path, upstream: UpstreamThread, port: int, *zones: dict[str, Any]) -> dict[str, Any]:
    return {
        "upstream": {"servers": [upstream.address]},
        "block": {"action": "nxdomain"},
        "feeds": {"publish_listen": [f"127.0.0.1:{port}"]},
        "feed": [
            feed(directory, "given", *GIVEN.splitlines(), format="rpz", rpz_action="given", addresses=True),
            feed(directory, "malware", "||evil.example^", format="adblock"),
            feed(directory, "adverts", "advert.example", mode="monitor"),
        ],
        "publish": [{"allow_transfer": ["127.0.0.0/8"], **zone} for zone in zones],
    }


def said(answer: dns.message.Message) -> tuple[int, bool, set[str]]:
    """What a client makes of an answer."""
    return answer.rcode(), bool(answer.flags & 0x0200), {str(data) for rrset in answer.answer for data in rrset}


def differing(pdns: RunningPdns, port: int) -> list[tuple[str, str]]:
    asked = [(name, qtype) for name in ASKED for qtype in ("A", "TXT")]
    return [(name, qtype) for name, qtype in asked if said(ask(port, name, qtype)) != said(pdns.ask(name, qtype))]


def owners(records: Records, zone: str) -> set[str]:
    return {owner.removesuffix(f".{zone}.") for owner, rtype, _ in records if rtype != "NS"}


def test_a_secondary_gives_the_answers_of_a_feed(tmp_path: Path) -> None:
    """BIND, over UDP: data, TC and exceptions of a feed, also where another feed lists the name, or a network the address."""
    port, named_port = free_port(), free_port()
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    signed = {"tsig_name": "pdns-rpz", "tsig_secret_file": str(secret), "notify": [f"127.0.0.1:{named_port}"]}
    with UpstreamThread(fake.answer("198.51.100.7")) as upstream:
        tables = config(tmp_path, upstream, port, {"zone": ORIGIN, **signed})
        with RunningPdns(tmp_path, tables) as pdns:
            named = NamedSecondary(tmp_path / "named", port, upstream.fake.port)
            named.port = named_port
            with named:
                pdns.wait_for(lambda: named.serial, "the zone")
                pdns.wait_for(lambda: not differing(pdns, named_port), "the same answers")
                assert {pdns.rcode(name) for name in ("ok.evil.example", "free.example")} == {"NOERROR"}


def test_each_zone_is_that_of_its_policy(tmp_path: Path) -> None:
    """An entry that ends, and a policy that is gone, change the zones that they concern; the others keep their serial."""
    port = free_port()
    ends = datetime.now(UTC) + timedelta(seconds=10)
    with UpstreamThread(fake.answer("198.51.100.7")) as upstream:
        tables = config(tmp_path, upstream, port, {"zone": ORIGIN}, {"zone": SCHOOLS, "policy": "schools"})
        soon = {"name": "soon.example", "action": "block", "reason": "a test", "until": ends.isoformat()}
        tables["policy"] = [{"name": "schools", "feeds": {"adverts": "block", "given": "off"}, "entry": [soon]}]
        with RunningPdns(tmp_path, tables) as pdns:
            pdns.wait_for(lambda: serial_of(port) and serial_of(port, SCHOOLS), "both zones")
            pdns.wait_for(lambda: {"nx.example", "evil.example"} <= owners(transferred(port), ORIGIN), "two feeds")
            pdns.wait_for(lambda: "advert.example" in owners(transferred(port, origin=SCHOOLS), SCHOOLS), "the third")
            first = serial_of(port)
            assert "advert.example" not in owners(transferred(port), ORIGIN)
            blocked = {"evil.example", "*.evil.example", "advert.example", "*.advert.example"}
            pdns.wait_for(lambda: owners(transferred(port, origin=SCHOOLS), SCHOOLS) == blocked, "without the entry that ended")
            assert serial_of(port) == first
            tables["policy"] = []
            tables["publish"][1]["policy"] = "default"
            pdns.write_config(tables)
            pdns.reload()
            pdns.wait_for(lambda: owners(transferred(port, origin=SCHOOLS), SCHOOLS) == owners(transferred(port), ORIGIN), "same")
            del tables["publish"][1]
            pdns.write_config(tables)
            pdns.reload()
            pdns.wait_for(lambda: ask(port, SCHOOLS, "SOA").rcode() == dns.rcode.REFUSED, "no longer served")
            assert serial_of(port) == first
