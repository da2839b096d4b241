"""A zone with every action and trigger, loaded by us, BIND, unbound and Recursor: the same questions, the same answers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.integration.realservers import Named, Nsd
from tests.integration.rpzservers import RpzNamed, RpzRecursor, RpzUnbound
from tests.integration.running_pdns import RunningPdns
from tests.rpz import HEAD

WORLD = """$TTL 300
@ SOA ns. root. 1 60 60 600 60
@ NS ns.world.
ns.world. A 127.0.0.1
*.wild.zone. A 203.0.113.2
*.act.zone. A 203.0.113.2
*.act.zone. AAAA 2001:db8:f::2
*.act.zone. TXT "world"
clean.world. A 203.0.113.1
garden.world. A 203.0.113.9
garden.world. AAAA 2001:db8:f::9
*.garden.world. A 203.0.113.10
hop.world. CNAME garden.world.
toalias.world. CNAME nx.act.zone.
tolocal.world. CNAME local.act.zone.
tocname.world. CNAME cname.act.zone.
topass.world. CNAME pass.act.zone.
listed.world. A 198.51.100.1
mixed.world. A 198.51.100.1
mixed.world. A 203.0.113.50
ip6.world. AAAA 2001:db8:1::1
iplocal.world. A 198.51.101.1
iplocal.world. AAAA 2001:db8:f::5
ippass.world. A 198.51.100.200
iptcp.world. A 198.51.102.1
ipcname.world. A 198.51.103.1
ipnodata.world. A 198.51.104.1
ipdrop.world. A 198.51.105.1
second.world. A 203.0.113.3
both.world. A 203.0.113.4
passed.world. A 198.51.100.2
passed2.world. A 203.0.113.6
*.clean.world. A 203.0.113.1
*.nx.world. A 203.0.113.1
*.second.world. A 203.0.113.1
"""
FIRST = """nx.act.zone CNAME .
nodata.act.zone CNAME *.
pass.act.zone CNAME rpz-passthru.
drop.act.zone CNAME rpz-drop.
tcp.act.zone CNAME rpz-tcp-only.
local.act.zone A 192.0.2.5
local.act.zone A 192.0.2.6
local.act.zone TXT "given; here"
local.act.zone MX 10 mail.world.
cname.act.zone CNAME garden.world.
chain.act.zone CNAME hop.world.
wc.act.zone CNAME *.garden.world.
gone.act.zone CNAME nothing.world.
self.act.zone CNAME other.act.zone.
other.act.zone CNAME .
loopa.act.zone CNAME loopb.act.zone.
loopb.act.zone CNAME loopa.act.zone.
*.wild.zone CNAME .
in.wild.zone CNAME rpz-passthru.
*.wildlocal.act.zone A 192.0.2.7
*.wildcname.act.zone CNAME *.garden.world.
24.0.100.51.198.rpz-ip CNAME .
32.200.100.51.198.rpz-ip CNAME rpz-passthru.
48.zz.1.db8.2001.rpz-ip CNAME .
32.1.101.51.198.rpz-ip A 192.0.2.8
32.1.102.51.198.rpz-ip CNAME rpz-tcp-only.
32.1.103.51.198.rpz-ip CNAME garden.world.
32.1.104.51.198.rpz-ip CNAME *.
32.1.105.51.198.rpz-ip CNAME rpz-drop.
passed.world CNAME rpz-passthru.
passed2.world CNAME rpz-passthru.
both.world A 192.0.2.11
32.3.0.0.127.rpz-client-ip CNAME .
32.4.0.0.127.rpz-client-ip CNAME rpz-passthru.
32.5.0.0.127.rpz-client-ip A 192.0.2.12
32.6.0.0.127.rpz-client-ip CNAME rpz-drop.
32.7.0.0.127.rpz-client-ip CNAME rpz-tcp-only.
32.8.0.0.127.rpz-client-ip CNAME garden.world.
*.nx.world CNAME .
"""
SECOND = """32.4.0.0.127.rpz-client-ip CNAME .
32.9.0.0.127.rpz-client-ip CNAME *.
*.second.world CNAME .
second.world CNAME .
both.world CNAME .
passed2.world CNAME .
pass.act.zone CNAME .
"""
ZONES = {name: f"$ORIGIN {name}.\n{HEAD}{text}" for name, text in (("first.rpz", FIRST), ("second.rpz", SECOND))}

NONE = "no answer"
GARDEN = "garden.world. A 203.0.113.9"
LOCAL = "local.act.zone. A 192.0.2.5, local.act.zone. A 192.0.2.6"
# name, type, what we answer over UDP and, where it is something else, over TCP
TABLE: list[tuple[str, ...]] = [
    ("clean.world", "A", "NOERROR: clean.world. A 203.0.113.1"),
    ("nx.act.zone", "A", "NXDOMAIN"),
    ("nx.act.zone", "TXT", "NXDOMAIN"),
    ("nx.act.zone", "SOA", "NXDOMAIN"),
    ("NX.Act.zone", "A", "NXDOMAIN"),
    ("below.nx.act.zone", "A", "NOERROR: below.nx.act.zone. A 203.0.113.2"),
    ("nodata.act.zone", "A", "NOERROR"),
    ("nodata.act.zone", "TXT", "NOERROR"),
    ("pass.act.zone", "A", "NOERROR: pass.act.zone. A 203.0.113.2"),
    ("drop.act.zone", "A", NONE),
    ("tcp.act.zone", "A", "NOERROR TC", "NOERROR: tcp.act.zone. A 203.0.113.2"),
    ("local.act.zone", "A", f"NOERROR: {LOCAL}"),
    ("local.act.zone", "AAAA", "NOERROR"),
    ("local.act.zone", "TXT", 'NOERROR: local.act.zone. TXT "given; here"'),
    ("local.act.zone", "MX", "NOERROR: local.act.zone. MX 10 mail.world."),
    ("local.act.zone", "ANY", f"NOERROR: {LOCAL}"),
    ("cname.act.zone", "A", f"NOERROR: cname.act.zone. CNAME garden.world., {GARDEN}"),
    ("cname.act.zone", "AAAA", "NOERROR: cname.act.zone. CNAME garden.world., garden.world. AAAA 2001:db8:f::9"),
    ("cname.act.zone", "TXT", "NOERROR: cname.act.zone. CNAME garden.world."),
    ("cname.act.zone", "CNAME", "NOERROR: cname.act.zone. CNAME garden.world."),
    ("cname.act.zone", "ANY", "NOERROR: cname.act.zone. CNAME garden.world."),
    ("chain.act.zone", "A", f"NOERROR: chain.act.zone. CNAME hop.world., {GARDEN}, hop.world. CNAME garden.world."),
    ("wc.act.zone", "A", "NOERROR: wc.act.zone. CNAME wc.act.zone.garden.world., wc.act.zone.garden.world. A 203.0.113.10"),
    ("wc.act.zone", "AAAA", "NOERROR: wc.act.zone. CNAME wc.act.zone.garden.world."),
    ("gone.act.zone", "A", "NXDOMAIN: gone.act.zone. CNAME nothing.world."),
    ("self.act.zone", "A", "NOERROR: other.act.zone. A 203.0.113.2, self.act.zone. CNAME other.act.zone."),
    ("loopa.act.zone", "A", "NOERROR: loopa.act.zone. CNAME loopb.act.zone., loopb.act.zone. A 203.0.113.2"),
    ("x.wild.zone", "A", "NXDOMAIN"),
    ("wild.zone", "A", "NOERROR"),
    ("in.wild.zone", "A", "NOERROR: in.wild.zone. A 203.0.113.2"),
    ("x.in.wild.zone", "A", "NOERROR: x.in.wild.zone. A 203.0.113.2"),
    ("x.wildlocal.act.zone", "A", "NOERROR: x.wildlocal.act.zone. A 192.0.2.7"),
    ("x.wildlocal.act.zone", "AAAA", "NOERROR"),
    ("wildlocal.act.zone", "A", "NOERROR: wildlocal.act.zone. A 203.0.113.2"),
    ("toalias.world", "A", "NXDOMAIN"),
    ("tolocal.world", "A", f"NOERROR: {LOCAL}, tolocal.world. CNAME local.act.zone."),
    (
        "tocname.world",
        "A",
        f"NOERROR: cname.act.zone. CNAME garden.world., {GARDEN}, tocname.world. CNAME cname.act.zone.",
    ),
    ("topass.world", "A", "NOERROR: pass.act.zone. A 203.0.113.2, topass.world. CNAME pass.act.zone."),
    ("listed.world", "A", "NXDOMAIN"),
    ("mixed.world", "A", "NXDOMAIN"),
    ("ip6.world", "AAAA", "NXDOMAIN"),
    ("iplocal.world", "A", "NOERROR: iplocal.world. A 192.0.2.8"),
    ("iplocal.world", "AAAA", "NOERROR: iplocal.world. AAAA 2001:db8:f::5"),
    ("ippass.world", "A", "NOERROR: ippass.world. A 198.51.100.200"),
    ("iptcp.world", "A", "NOERROR TC", "NOERROR: iptcp.world. A 198.51.102.1"),
    ("ipcname.world", "A", f"NOERROR: {GARDEN}, ipcname.world. CNAME garden.world."),
    ("ipnodata.world", "A", "NOERROR"),
    ("ipdrop.world", "A", NONE),
    ("second.world", "A", "NXDOMAIN"),
    ("both.world", "A", "NOERROR: both.world. A 192.0.2.11"),
    ("passed.world", "A", "NOERROR: passed.world. A 198.51.100.2"),
    ("passed2.world", "A", "NOERROR: passed2.world. A 203.0.113.6"),
]  # fmt: skip
# client, what it gets for any name but those that a feed before lists, over UDP and, where it is something else, over TCP
CLIENTS: list[tuple[str, ...]] = [
    ("127.0.0.3", "NXDOMAIN"),
    ("127.0.0.4", "NOERROR: {name}. A 203.0.113.1"),
    ("127.0.0.5", "NOERROR: {name}. A 192.0.2.12"),
    ("127.0.0.6", NONE),
    ("127.0.0.7", "NOERROR TC", "NOERROR: {name}. A 203.0.113.1"),
    ("127.0.0.8", f"NOERROR: {GARDEN}, {{name}}. CNAME garden.world."),
]  # fmt: skip
PATIENCE_S = {NONE: 1.0}


def answer_of(port: int, name: str, qtype: str, expected: str, *, tcp: bool, client: str = "127.0.0.1") -> str:
    """What 127.0.0.1 answers on `port`: rcode, TC, and the records of the answer section in order. A silence that is expected is
    waited for only a second.
    """
    query = dns.message.make_query(name, qtype, use_edns=0)
    send = dns.query.tcp if tcp else dns.query.udp
    try:
        message = send(query, "127.0.0.1", source=client, port=port, timeout=PATIENCE_S.get(expected, 20.0))
    except (dns.exception.Timeout, EOFError):
        return NONE
    records = sorted(
        f"{str(rrset.name).lower()} {dns.rdatatype.to_text(rrset.rdtype)} {str(rdata).lower()}"
        for rrset in message.answer
        for rdata in rrset
    )
    head = dns.rcode.to_text(message.rcode()) + " TC" * bool(message.flags & dns.flags.TC)
    return f"{head}: {', '.join(records)}" if records else head


def rows() -> Iterator[tuple[str, str, bool, str]]:
    """Each question over UDP, then over TCP, with the answer."""
    for name, qtype, over_udp, *over_tcp in TABLE:
        yield name, qtype, False, over_udp
        yield name, qtype, True, over_tcp[0] if over_tcp else over_udp


def client_rows() -> Iterator[tuple[str, str, bool, str]]:
    """A client, and a name of each kind that no other client asks for; over UDP, then over TCP, with the answer."""
    for client, over_udp, *over_tcp in CLIENTS:
        for kind in ("clean", "nx", "second"):
            name = f"of-{client.rpartition('.')[2]}.{kind}.world"
            yield client, name, False, over_udp.format(name=name)
            yield client, name, True, (over_tcp[0] if over_tcp else over_udp).format(name=name)
    for tcp in (False, True):
        yield "127.0.0.9", "of-9.clean.world", tcp, "NOERROR"
        yield "127.0.0.9", "of-9.nx.world", tcp, "NXDOMAIN"
        yield "127.0.0.9", "of-9.second.world", tcp, "NOERROR"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with Nsd(tmp_path_factory.mktemp("world"), {".": WORLD}) as nsd:
        yield nsd.port


@pytest.fixture(scope="module")
def pdns(world: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    directory = tmp_path_factory.mktemp("pdns")
    feeds = []
    for name, text in ZONES.items():
        (directory / name).write_text(text)
        own = {"name": name.removesuffix(".rpz"), "url": str(directory / name), "format": "rpz", "rpz_action": "given"}
        feeds.append({**own, "addresses": True, "required": True})
    config = {"upstream": {"servers": [f"udp://127.0.0.1:{world}"]}, "access": {"networks": ["127.0.0.0/8"]}, "feed": feeds}
    with RunningPdns(directory, config) as pdns:
        yield pdns


def test_our_answers(pdns: RunningPdns) -> None:
    """New, and again from the cache; blocks are counted by their action."""
    for _ in range(2):
        said = [answer_of(pdns.dns_port, name, qtype, right, tcp=tcp) for name, qtype, tcp, right in rows()]
        assert said == [right for _, _, _, right in rows()]
    for client, name, tcp, right in client_rows():
        assert answer_of(pdns.dns_port, name, "A", right, tcp=tcp, client=client) == right, client
    for action in ("nxdomain", "nodata", "drop", "tcp-only", "local-data"):
        assert pdns.value("blocked_total", feed="first", action=action) > 0


def test_where_others_agree(world: int, tmp_path: Path) -> None:
    """Each server that is installed gets each question as the first of its kind, so that nothing comes from its cache."""
    kinds: dict[str, type[RpzNamed | RpzUnbound | RpzRecursor]] = {
        "named": RpzNamed,
        "unbound": RpzUnbound,
        "pdns_recursor": RpzRecursor,
    }
    installed = [kind for name, kind in kinds.items() if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")]
    if len(installed) < len(kinds) - 1:
        pytest.skip("fewer than two of named, unbound and pdns_recursor are installed")
    for tcp in (False, True):
        with ExitStack() as stack:
            servers = [stack.enter_context(kind(tmp_path / f"{kind.__name__}-{tcp}", world, ZONES, ".")) for kind in installed]
            for name, qtype, over_tcp, right in rows():
                if over_tcp is tcp:
                    said = {answer_of(server.port, name, qtype, right, tcp=tcp) for server in servers}
                    assert len(said) > 1 or said == {right}, (name, qtype, said)
            for client, name, over_tcp, right in client_rows():
                if over_tcp is tcp:
                    said = {answer_of(server.port, name, "A", right, tcp=tcp, client=client) for server in servers}
                    assert len(said) > 1 or said == {right}, (client, name, said)


def test_a_transferred_zone(world: int, tmp_path: Path) -> None:
    """What came by zone transfer answers as what came from a file."""
    with Named(tmp_path / "primary", "first.rpz", ZONES["first.rpz"]) as primary:
        feed = {"name": "first", "url": f"axfr://127.0.0.1:{primary.port}/first.rpz", "rpz_action": "given"}
        config = {
            "upstream": {"servers": [f"udp://127.0.0.1:{world}"]},
            "feed": [{**feed, "addresses": True, "required": True}],
        }
        with RunningPdns(tmp_path, config) as pdns:
            for name, qtype, tcp, right in rows():
                if name.endswith(".zone"):
                    assert answer_of(pdns.dns_port, name, qtype, right, tcp=tcp) == right, (name, qtype)
