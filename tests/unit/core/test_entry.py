"""Entries as each client gets them: id, letter case, TTLs, size, errors."""

from __future__ import annotations

from pdns.core.outcome import Forward
from pdns.wire import protocol as p
from tests.unit.core.conftest import SOA, Standstill
from tests.wire import answers, ede, query, read


def test_ttls_count_down_and_case_is_the_clients() -> None:
    """From the cache: the client's id and letter case, TTLs less the time passed, AD only for who asked for it."""
    world = Standstill()
    world.forwarded("www.example", "A", "www.example 300 IN A 192.0.2.1\nwww.example 300 IN A 192.0.2.2", ad=1)
    wire = world.wire("WwW.eXample", now=1100.5, query_id=99, ad=1)
    reply = read(wire)
    assert wire[12:25] == b"\3WwW\7eXample\0"
    assert (reply.header.id, reply.header.ad, reply.header.ra, reply.header.aa) == (99, 1, 1, 0)
    assert [record.ttl for record in reply.rr] == [200, 200]
    assert read(world.wire("www.example")).header.ad == 0
    assert isinstance(world.ask("www.example", now=1300.0), Forward)


def test_stale_nxdomain_says_so() -> None:
    """EDE 19 marks an expired NXDOMAIN."""
    world = Standstill()
    entry = world.forwarded("no.example", "A", authority=SOA, rcode=p.NXDOMAIN)
    assert ede(entry.render(query("no.example"), 2000.0, 1232, stale_ttl_s=30)) == (19, "")


def test_what_does_not_fit_is_truncated() -> None:
    """Past the client's size: TC, the question, no records; a long error text gives way first."""
    world = Standstill()
    world.forwarded("www.example", "TXT", "\n".join(f'www.example 300 IN TXT "{n:03} {"x" * 180}"' for n in range(10)))
    reply = read(world.wire("www.example", "TXT"))
    assert (reply.header.tc, reply.rr, [r.rtype for r in reply.ar]) == (1, [], [p.OPT])
    assert len(read(world.wire("www.example", "TXT", max_bytes=65535)).rr) == 10
    blocked = Standstill()
    full = blocked.wire("malware.test")
    short = blocked.wire("malware.test", max_bytes=len(full) - 1)
    assert (answers(short), ede(short), read(short).header.tc) == (["192.0.2.1"], None, 0)
