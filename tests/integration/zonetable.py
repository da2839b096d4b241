"""What the program answers between `zonedata`'s servers: one row a question, with its right answer.

An answer's records are written in the order of its chain. A record without an owner belongs to the name asked for, or, behind a
CNAME, to its target. `*` stands for data that differ in every run.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from tests.integration.running_pdns import SINKHOLE
from tests.integration.zonedata import SERVICES, big_texts


class Secure(Enum):
    """Who sets AD for a client that asks for it."""

    NOBODY = "nobody"
    EVERYBODY = "everybody"  # the upstream validates, and so do resolvers in front
    FRONT = "front"  # a validating resolver in front, by the root's proof
    UPSTREAM = "upstream"  # a name that the upstream validates, and resolvers in front have a negative trust anchor for


class Row(NamedTuple):
    name: str
    qtype: str
    answer: tuple[str, ...] = ()
    rcode: str = "NOERROR"
    soa: str = ""  # the owner of the SOA of a negative answer; "" for none, or where none is looked at
    secure: Secure = Secure.NOBODY
    fronts: str = ""  # asked through these only


_LOCALLY = "udp tcp"  # resolvers in front have an answer of their own, or believe nothing unsigned here
_NOT_VALIDATING = "udp tcp dnsmasq resolved"
_NOT_RESOLVED = "udp tcp dnsmasq named unbound"  # systemd-resolved compresses the target of a DNAME, which others refuse to read


def _yes(name: str, qtype: str, *answer: str, secure: Secure = Secure.NOBODY, fronts: str = "") -> Row:
    return Row(name, qtype, answer, secure=secure, fronts=fronts)


def _no(name: str, qtype: str, rcode: str, soa: str, *answer: str, secure: Secure = Secure.NOBODY, fronts: str = "") -> Row:
    return Row(name, qtype, answer, rcode, soa, secure, fronts)


_ALL, _FRONT, _UPSTREAM = Secure.EVERYBODY, Secure.FRONT, Secure.UPSTREAM
_LDAP = ("SRV 0 100 389 dc1.corp.example.", "SRV 0 100 389 dc2.corp.example.")
_CONTROLLERS = ("A 10.1.0.1", "A 10.1.0.2")
_INTRANET = ("CNAME intranet.corp.example.", "A 10.1.0.80")
_INTRANET6 = ("CNAME intranet.corp.example.", "AAAA fd00:1::80")

ACTIVE_DIRECTORY = (
    _yes("corp.example", "A", *_CONTROLLERS),
    _yes("corp.example", "MX", "MX 10 mail.corp.example."),
    _yes("corp.example", "SOA", "SOA ns.corp.example. hostmaster.corp.example. 1 3600 600 86400 120"),
    _yes("corp.example", "NS", "NS ns.corp.example."),
    _yes("corp.example", "TXT", 'TXT "v=spf1 -all"'),
    _yes("_ldap._tcp.corp.example", "SRV", *_LDAP),
    _yes("_LDAP._TCP.CORP.EXAMPLE", "SRV", *_LDAP),
    _yes("_kerberos._tcp.corp.example", "SRV", "SRV 0 100 88 dc1.corp.example."),
    _yes("_kerberos._udp.corp.example", "SRV", "SRV 0 100 88 dc1.corp.example."),
    _yes("_kpasswd._tcp.corp.example", "SRV", "SRV 0 100 464 dc1.corp.example."),
    _yes("_kpasswd._udp.corp.example", "SRV", "SRV 0 100 464 dc1.corp.example."),
    _yes("_gc._tcp.corp.example", "SRV", "SRV 0 100 3268 dc1.corp.example."),
    _yes("_vlmcs._tcp.corp.example", "SRV", "SRV 0 0 1688 kms.corp.example."),
    _yes("_ldap._tcp.Default-First-Site-Name._sites.corp.example", "SRV", "SRV 0 100 389 dc1.corp.example."),
    _yes("_kerberos._tcp.Default-First-Site-Name._sites.corp.example", "SRV", "SRV 0 100 88 dc1.corp.example."),
    _yes("_gc._tcp.Default-First-Site-Name._sites.corp.example", "SRV", "SRV 0 100 3268 dc1.corp.example."),
    _yes("DomainDnsZones.corp.example", "A", "A 10.1.0.1"),
    _yes("_ldap._tcp.DomainDnsZones.corp.example", "SRV", "SRV 0 100 389 dc1.corp.example."),
    _yes("ForestDnsZones.corp.example", "A", "A 10.1.0.1"),
    _yes("dc1.corp.example", "A", "A 10.1.0.1"),
    _yes("dc1.corp.example", "AAAA", "AAAA fd00:1::1"),
    _yes("dc2.corp.example", "A", "A 10.1.0.2"),
    _yes("kms.corp.example", "A", "A 10.1.0.30"),
    _no("wpad.corp.example", "A", "NXDOMAIN", "corp.example"),
    _no("publiconly.corp.example", "A", "NXDOMAIN", "corp.example"),
    # _msdcs is a zone of its own, on another server.
    _yes("_ldap._tcp.dc._msdcs.corp.example", "SRV", *_LDAP),
    _yes("_kerberos._tcp.dc._msdcs.corp.example", "SRV", "SRV 0 100 88 dc1.corp.example."),
    _yes("_ldap._tcp.pdc._msdcs.corp.example", "SRV", "SRV 0 100 389 dc1.corp.example."),
    _yes("_ldap._tcp.gc._msdcs.corp.example", "SRV", "SRV 0 100 3268 dc1.corp.example."),
    _yes("gc._msdcs.corp.example", "A", "A 10.1.0.1"),
    _yes("_ldap._tcp.Default-First-Site-Name._sites.dc._msdcs.corp.example", "SRV", "SRV 0 100 389 dc1.corp.example."),
    _yes("_ldap._tcp.Default-First-Site-Name._sites.gc._msdcs.corp.example", "SRV", "SRV 0 100 3268 dc1.corp.example."),
    _yes("_ldap._tcp.2e6f8d6c-1f7a-4c0b-9a3e-6f1f0a2b3c4d.domains._msdcs.corp.example", "SRV", "SRV 0 100 389 dc1.corp.example."),
    _yes("5b1d3c7e-90aa-4f6e-8d21-b3c1a7e5f002._msdcs.corp.example", "A", "CNAME dc1.corp.example.", "A 10.1.0.1"),
    _yes("5b1d3c7e-90aa-4f6e-8d21-b3c1a7e5f002._msdcs.corp.example", "CNAME", "CNAME dc1.corp.example."),
    _no("dc._msdcs.corp.example", "A", "NOERROR", "_msdcs.corp.example"),
    _no("_ldap._tcp.nowhere._msdcs.corp.example", "SRV", "NXDOMAIN", "_msdcs.corp.example"),
    _yes("_msdcs.corp.example", "NS", "NS ns._msdcs.corp.example."),
    # A domain whose name has one label.
    _yes("corp", "A", "A 10.3.0.1"),
    _yes("dc1.corp", "A", "A 10.3.0.1"),
    _yes("_ldap._tcp.dc._msdcs.corp", "SRV", "SRV 0 100 389 dc1.corp."),
    _yes("_kerberos._tcp.corp", "SRV", "SRV 0 100 88 dc1.corp."),
    _no("nowhere.corp", "A", "NXDOMAIN", "corp"),
    # A domain below a special-use name.
    _no("local", "A", "NOERROR", "", fronts="udp tcp dnsmasq named unbound"),
    _yes("dc1.council.local", "A", "A 10.7.0.1"),
    _yes("_ldap._tcp.council.local", "SRV", "SRV 0 100 389 dc1.council.local."),
    _no("_services._dns-sd._udp.local", "PTR", "NXDOMAIN", "", fronts="udp tcp dnsmasq named"),
    _yes("www.council.local", "A", "CNAME www.public.example.", "A 192.0.2.80"),
    _no("dc2.council.local", "A", "NXDOMAIN", "council.local"),
    _yes("up.corp", "A", *_INTRANET),  # the server does not follow it (RFC 1034, 5.3.3)
    _yes("up.corp", "AAAA", *_INTRANET6),
)

REVERSE = (
    _yes("1.0.1.10.in-addr.arpa", "PTR", "PTR dc1.corp.example."),
    _yes("80.0.1.10.in-addr.arpa", "PTR", "PTR intranet.corp.example."),
    _yes("1.0.3.10.in-addr.arpa", "PTR", "PTR dc1.corp."),
    _yes("65.0.2.10.in-addr.arpa", "PTR", "CNAME 65.64-27.0.2.10.in-addr.arpa.", "PTR printer.branch.corp.example."),
    _yes("66.0.2.10.in-addr.arpa", "PTR", "CNAME 66.rev.branch.corp.example.", "PTR scanner.branch.corp.example."),
    _no("9.9.9.10.in-addr.arpa", "PTR", "NXDOMAIN", "10.in-addr.arpa"),
    _yes("10.in-addr.arpa", "NS", "NS ns.10.in-addr.arpa."),
    _yes("10.1.168.192.in-addr.arpa", "PTR", "PTR nas.home.arpa."),
    _no("99.1.168.192.in-addr.arpa", "PTR", "NXDOMAIN", ""),
    _yes("5.0.16.172.in-addr.arpa", "PTR", "PTR nas.lan."),
    _no("6.0.16.172.in-addr.arpa", "PTR", "NXDOMAIN", "16.172.in-addr.arpa"),
    _no("1.0.17.172.in-addr.arpa", "PTR", "NXDOMAIN", "17.172.in-addr.arpa"),  # no zone: answered here
    _yes(f"1.{'0.' * 23}1.0.0.0.0.0.d.f.ip6.arpa", "PTR", "PTR dc1.corp.example."),
    _yes(f"5.{'0.' * 23}4.0.0.0.0.0.d.f.ip6.arpa", "PTR", "PTR nas.lan."),
    _no(f"9.{'0.' * 23}4.0.0.0.0.0.d.f.ip6.arpa", "PTR", "NXDOMAIN", "d.f.ip6.arpa"),
)

BLOCKLISTS_OF_MAIL = (
    _yes("2.0.0.127.zen.dnsbl.example", "A", "A 127.0.0.2", "A 127.0.0.4", "A 127.0.0.10"),
    _yes(
        "2.0.0.127.zen.dnsbl.example", "TXT",
        'TXT "https://dnsbl.example/query/127.0.0.2"', 'TXT "https://dnsbl.example/pbl"',
    ),
    _no("1.0.0.127.zen.dnsbl.example", "A", "NXDOMAIN", "zen.dnsbl.example"),
    _no("2.0.0.127.zen.dnsbl.example", "AAAA", "NOERROR", "zen.dnsbl.example"),
    _yes("10.113.0.203.zen.dnsbl.example", "A", "A 127.0.0.11"),
    _no("10.113.0.203.zen.dnsbl.example", "TXT", "NOERROR", "zen.dnsbl.example"),
    _yes("77.100.51.198.zen.dnsbl.example", "A", "A 127.0.0.3"),
    _yes("77.100.51.198.zen.dnsbl.example", "TXT", 'TXT "listed network"'),
    _yes(f"1.{'0.' * 23}8.b.d.0.1.0.0.2.zen.dnsbl.example", "A", "A 127.0.0.2"),
    _yes("spam.example.org.zen.dnsbl.example", "A", "A 127.0.1.2"),
    _yes("www.dnsbl.example", "A", "A 203.0.113.81"),  # beside the zone
)  # fmt: skip

INSIDE_ZONES = (
    _yes("intranet.corp.example", "A", "A 10.1.0.80"),
    _yes("intranet.corp.example", "AAAA", "AAAA fd00:1::80"),
    _yes("InTrAnEt.CoRp.ExAmPlE", "A", "A 10.1.0.80"),
    _yes("camelcase.corp.example", "A", "A 10.1.0.91"),
    _no("intranet.corp.example", "MX", "NOERROR", "corp.example"),
    _no("below.intranet.corp.example", "A", "NXDOMAIN", "corp.example"),
    _yes("portal.corp.example", "A", *_INTRANET),
    _yes("portal.corp.example", "CNAME", "CNAME intranet.corp.example."),
    _no("portal.corp.example", "MX", "NOERROR", "corp.example", "CNAME intranet.corp.example."),
    _no("dangling.corp.example", "A", "NXDOMAIN", "corp.example", "CNAME nowhere.corp.example."),
    _yes("vpn.corp.example", "A", "A 10.1.0.9"),
    _yes("x.apps.corp.example", "A", "A 10.1.0.81"),
    _yes("x.y.apps.corp.example", "TXT", 'TXT "wild"'),
    _no("x.apps.corp.example", "AAAA", "NOERROR", "corp.example"),
    _no("apps.corp.example", "A", "NOERROR", "corp.example"),
    _yes("x.alias.corp.example", "A", *_INTRANET),
    _yes("a.b.ent.corp.example", "A", "A 10.1.0.90"),
    _no("b.ent.corp.example", "A", "NOERROR", "corp.example"),
    _no("ent.corp.example", "TXT", "NOERROR", "corp.example"),
    _no("x.ent.corp.example", "A", "NXDOMAIN", "corp.example"),
    _yes("svc.corp.example", "HTTPS", 'HTTPS 1 . alpn="h2" ipv4hint="10.1.0.80"'),
    _yes("_dns.corp.example", "SVCB", 'SVCB 1 dc1.corp.example. alpn="dot"'),
    _yes("big.corp.example", "TXT", *big_texts("big", 20)),
    _yes(
        "chain8.corp.example", "A", *(f"CNAME chain{at}.corp.example." for at in range(7, -1, -1)), *_INTRANET, fronts=_LOCALLY
    ),
    _yes("chain4.corp.example", "A", *(f"CNAME chain{at}.corp.example." for at in range(3, -1, -1)), *_INTRANET),
)  # fmt: skip

ACROSS_ZONES = (
    # A zone inside a zone.
    _yes("branch.corp.example", "A", "A 10.2.0.1"),
    _yes("www.branch.corp.example", "A", "A 10.2.0.80"),
    _yes("x.wild.branch.corp.example", "A", "A 10.2.0.77"),
    _no("nowhere.branch.corp.example", "A", "NXDOMAIN", "branch.corp.example"),
    _no("www.branch.corp.example", "AAAA", "NOERROR", "branch.corp.example"),
    _yes("hq.branch.corp.example", "A", *_INTRANET),
    _yes("to-branch.corp.example", "A", "CNAME www.branch.corp.example.", "A 10.2.0.80"),
    _no("to-branch.corp.example", "AAAA", "NOERROR", "branch.corp.example", "CNAME www.branch.corp.example."),
    _yes("zig.branch.corp.example", "A", "CNAME zag.corp.example.", "CNAME zig2.branch.corp.example.", *_INTRANET),
    _no("loop.corp.example", "A", "SERVFAIL", ""),
    # An exception inside a zone: the public's own view.
    _yes("www.corp.example", "A", f"A {SERVICES}", secure=_UPSTREAM),
    _yes("shop.www.corp.example", "A", "CNAME www.corp.example.", f"A {SERVICES}", secure=_UPSTREAM),
    _no("www.corp.example", "AAAA", "NOERROR", "corp.example", secure=_UPSTREAM),
    _no("nowhere.www.corp.example", "A", "NXDOMAIN", "corp.example", secure=_UPSTREAM),
    _yes("to-www.corp.example", "A", "CNAME www.corp.example.", f"A {SERVICES}"),
    _yes("official.branch.corp.example", "A", "CNAME www.corp.example.", f"A {SERVICES}"),
    # From a zone to the public.
    _yes("out.corp.example", "A", "CNAME www.public.example.", "A 192.0.2.80"),
    _yes("out.corp.example", "AAAA", "CNAME www.public.example.", "AAAA 2001:db8::80"),
    _no("out.corp.example", "MX", "NOERROR", "public.example", "CNAME www.public.example."),
    _yes("outout.corp.example", "A", "CNAME out.corp.example.", "CNAME www.public.example.", "A 192.0.2.80"),
    _yes("unsafe.corp.example", "A", "CNAME www.unsigned.example.", "A 192.0.2.86"),
    _no("lost.corp.example", "A", "NXDOMAIN", "public.example", "CNAME nowhere.public.example."),
    _no("six.corp.example", "AAAA", "NOERROR", "public.example", "CNAME mail.public.example."),
    _yes("ext.branch.corp.example", "A", "CNAME www.public.example.", "A 192.0.2.80"),
    _yes("web.lan", "A", "CNAME www.public.example.", "A 192.0.2.80"),
    # From the public into a zone, and back.
    _yes("vpn.public.example", "A", "CNAME vpn.corp.example.", "A 10.1.0.9"),
    _no("nodata.public.example", "MX", "NOERROR", "corp.example", "CNAME vpn.corp.example."),
    _no("missing.public.example", "A", "NXDOMAIN", "corp.example", "CNAME missing.corp.example."),
    _yes("site.public.example", "A", "CNAME www.branch.corp.example.", "A 10.2.0.80"),
    _yes("round.public.example", "A", "CNAME out.corp.example.", "CNAME www.public.example.", "A 192.0.2.80"),
    _yes("nas.public.example", "A", "CNAME nas.lan.", "A 10.4.0.5"),
    _yes("nas.public.example", "CNAME", "CNAME nas.lan.", secure=_ALL),
    _yes("official.public.example", "A", "CNAME www.corp.example.", f"A {SERVICES}", secure=_UPSTREAM),
    # DNAME.
    _yes(
        "www.old.corp.example", "A",
        "old.corp.example DNAME branch.corp.example.", "CNAME www.branch.corp.example.", "A 10.2.0.80",
        fronts=_NOT_RESOLVED,
    ),
    _no(
        "nowhere.old.corp.example", "A", "NXDOMAIN", "branch.corp.example",
        "old.corp.example DNAME branch.corp.example.", "CNAME nowhere.branch.corp.example.", fronts=_NOT_RESOLVED,
    ),
    _yes("old.corp.example", "DNAME", "DNAME branch.corp.example.", fronts=_NOT_RESOLVED),
    _yes(
        "www.gone.corp.example", "A", "gone.corp.example DNAME public.example.", "CNAME www.public.example.", "A 192.0.2.80",
        fronts=_NOT_RESOLVED,
    ),
    _yes(
        "www.sites.public.example", "A",
        "sites.public.example DNAME branch.corp.example.", "CNAME www.branch.corp.example.", "A 10.2.0.80", fronts=_NOT_RESOLVED,
    ),
)  # fmt: skip

PUBLIC = (
    _yes("www.public.example", "A", "A 192.0.2.80", secure=_ALL),
    _yes("WWW.Public.Example", "AAAA", "AAAA 2001:db8::80", secure=_ALL),
    _yes("public.example", "MX", "MX 10 mail.public.example.", secure=_ALL),
    _yes("public.example", "CAA", 'CAA 0 issue "ca.example"', secure=_ALL),
    _yes("www.public.example", "HTTPS", 'HTTPS 1 . alpn="h2,h3" ipv4hint="192.0.2.80"', secure=_ALL),
    _yes("_dns.public.example", "SVCB", 'SVCB 1 www.public.example. alpn="dot"', secure=_ALL),
    _yes("alias.public.example", "A", "CNAME www.public.example.", "A 192.0.2.80", secure=_ALL),
    _yes("far.public.example", "A", "CNAME www.nsec3.example.", "A 192.0.2.83", secure=_ALL),
    _yes("x.y.wild.public.example", "A", "A 192.0.2.77", secure=_ALL),
    _yes("x.wild.nsec3.example", "A", "A 192.0.2.84", secure=_ALL),
    _yes(
        "www.moved.public.example", "A",
        "moved.public.example DNAME nsec3.example.", "CNAME www.nsec3.example.", "A 192.0.2.83",
        secure=_ALL, fronts=_NOT_RESOLVED,
    ),
    _yes("big.public.example", "TXT", *big_texts("big", 20), secure=_ALL),
    _no("nowhere.public.example", "A", "NXDOMAIN", "public.example", secure=_ALL),
    _no("nowhere.nsec3.example", "A", "NXDOMAIN", "nsec3.example", secure=_ALL),
    _no("www.public.example", "MX", "NOERROR", "public.example", secure=_ALL),
    _no("b.ent.public.example", "A", "NOERROR", "public.example", secure=_ALL),
    _yes("www.unsigned.example", "A", "A 192.0.2.86"),
    _yes("alias.unsigned.example", "A", "CNAME www.public.example.", "A 192.0.2.80"),
    _no("nowhere.unsigned.example", "A", "NXDOMAIN", "unsigned.example"),
    _yes("public.example", "DS", "DS *", secure=_ALL),
    _no("unsigned.example", "DS", "NOERROR", "example", secure=_ALL),
)  # fmt: skip

SPECIAL_NAMES = (
    _yes("nas.lan", "A", "A 10.4.0.5"),
    _yes("nas.lan", "AAAA", "AAAA fd00:4::5"),
    _yes("tv.lan", "A", "CNAME nas.lan.", "A 10.4.0.5"),
    _no("nowhere.lan", "A", "NXDOMAIN", "lan"),
    _no("nas.lan", "MX", "NOERROR", "lan"),
    _yes("app.internal", "A", "A 10.5.0.1"),
    _yes("db.prod.internal", "A", "A 10.5.0.2"),
    _yes("api.internal", "A", "CNAME app.internal.", "A 10.5.0.1"),
    _no("prod.internal", "A", "NOERROR", "internal"),
    _no("nowhere.internal", "A", "NXDOMAIN", "internal"),
    _yes("nas.home.arpa", "A", "A 192.168.1.10"),
    _yes("tv.home.arpa", "A", "A 192.168.1.11"),
    _yes("tv.home.arpa", "AAAA", "AAAA fd00:9::11"),
    _yes("media.home.arpa", "A", "CNAME nas.home.arpa.", "A 192.168.1.10"),
    _yes("_ipp._tcp.home.arpa", "SRV", "SRV 0 0 631 nas.home.arpa."),
    _yes("nas.home.arpa", "TXT", 'TXT "hello"'),
    _no("nowhere.home.arpa", "A", "NXDOMAIN", ""),
    _no("nas.home.arpa", "AAAA", "NOERROR", ""),
    # Never forwarded, except what a zone knows.
    _no("host.priv", "A", "NXDOMAIN", "priv", fronts=_NOT_VALIDATING),
    _no("priv", "A", "NOERROR", "", fronts="udp tcp named resolved unbound"),  # a zone is below it (RFC 8020)
    _yes("dc1.ad.priv", "A", "A 10.6.0.1"),
    _yes("_ldap._tcp.ad.priv", "SRV", "SRV 0 100 389 dc1.ad.priv."),
    _no("dc9.ad.priv", "A", "NXDOMAIN", "ad.priv"),
    _no("www.fritz.box", "A", "NXDOMAIN", "fritz.box"),
    _no("printer", "A", "NXDOMAIN", "", secure=_FRONT),
    _no("printer", "AAAA", "NXDOMAIN", "", secure=_FRONT),
    _no("nas.lan", "TXT", "NOERROR", "lan"),  # now that a resolver in front has the root's proof that there are no such names
    _no("x.invalid", "A", "NXDOMAIN", "invalid", fronts=_LOCALLY),
    _no("printer.local", "A", "NXDOMAIN", "local", fronts=_LOCALLY),
    _yes("localhost", "A", "A 127.0.0.1", fronts=_NOT_VALIDATING),
    # ANY gets a minimal answer (RFC 8482).
    _yes("corp.example", "ANY", 'HINFO "RFC8482" ""', fronts=_LOCALLY),
    _yes("nas.lan", "ANY", 'HINFO "RFC8482" ""', fronts=_LOCALLY),
    _yes("www.public.example", "ANY", 'HINFO "RFC8482" ""', fronts=_LOCALLY),
)  # fmt: skip

# DS at the apex of a zone belongs to the parent (RFC 4035, 3.1.4.1).
DELEGATIONS = (
    _yes("corp.example", "DS", "DS *", secure=_UPSTREAM, fronts=_LOCALLY),
    _no("branch.corp.example", "DS", "NOERROR", "corp.example"),
    _no("_msdcs.corp.example", "DS", "NOERROR", "corp.example"),
    _no("www.corp.example", "DS", "NOERROR", "corp.example", fronts=_LOCALLY),
    _no("intranet.corp.example", "DS", "NOERROR", "corp.example"),
    _no("10.in-addr.arpa", "DS", "NOERROR", "in-addr.arpa", secure=_ALL),
    _no("16.172.in-addr.arpa", "DS", "NOERROR", "in-addr.arpa", secure=_ALL),
    _no("d.f.ip6.arpa", "DS", "NOERROR", "ip6.arpa", secure=_ALL),
    _no("home.arpa", "DS", "NOERROR", "arpa", secure=_ALL),
    _no("zen.dnsbl.example", "DS", "NOERROR", "dnsbl.example"),
    _no("free.example", "DS", "NOERROR", "example", secure=_ALL),
    _no("internal", "DS", "NOERROR", "", fronts=_LOCALLY),  # the zone is here, whatever the root says (RFC 8020)
    _no("lan", "DS", "NOERROR", "", fronts=_LOCALLY),  # a local record is below it
)

_BLOCKED = f"A {SINKHOLE}"
BLOCKING = (
    _yes("malware.example", "A", _BLOCKED, fronts=_NOT_VALIDATING),
    _yes("www.malware.example", "A", _BLOCKED, fronts=_NOT_VALIDATING),
    _yes("bad.public.example", "A", _BLOCKED, fronts=_NOT_VALIDATING),
    _yes("cloaked.public.example", "A", _BLOCKED, fronts=_NOT_VALIDATING),
    _no("bad.public.example", "AAAA", "NOERROR", "", fronts=_NOT_VALIDATING),
    # Inside zones that lists apply to.
    _yes("bad.corp.example", "A", _BLOCKED),
    _yes("BAD.corp.EXAMPLE", "A", _BLOCKED),
    _yes("bad.branch.corp.example", "A", _BLOCKED),
    _yes("to-bad.corp.example", "A", _BLOCKED),
    _yes("to-malware.corp.example", "A", _BLOCKED),
    # Inside a zone with block = false.
    _yes("www.free.example", "A", "A 192.0.2.99"),
    _yes("bad.free.example", "A", "A 192.0.2.66"),
    _no("x.bad.free.example", "A", "NXDOMAIN", "free.example"),
    _yes("to-bad.free.example", "A", "CNAME bad.free.example.", "A 192.0.2.66"),
    _yes("free.public.example", "A", "CNAME bad.free.example.", "A 192.0.2.66"),
    # From there to names that lists apply to.
    _yes("to-malware.free.example", "A", _BLOCKED),
    _yes("into.free.example", "A", _BLOCKED),
    # Private addresses of public names are refused, also where an alias leads to them.
    _no("rebind.unsigned.example", "A", "NOERROR", ""),
    _no("rebind6.unsigned.example", "AAAA", "NOERROR", ""),
    _no("lured.unsigned.example", "A", "NOERROR", ""),
)

_PLOTTER = ("CNAME plotter.corp.example.", "A 10.9.0.1")
LOCAL_RECORDS = (
    _yes("plotter.corp.example", "A", "A 10.9.0.1"),
    _yes("plotter.corp.example", "TXT", 'TXT "third floor"'),
    _no("plotter.corp.example", "AAAA", "NOERROR", ""),
    _yes("1.0.9.10.in-addr.arpa", "PTR", "PTR plotter.corp.example."),
    _no("2.0.9.10.in-addr.arpa", "PTR", "NXDOMAIN", "10.in-addr.arpa"),
    _yes("x.dev.corp.example", "A", "A 10.9.0.2"),
    # From a zone and from the public to a record, and from records to zones and to the public.
    _yes("to-record.corp.example", "A", *_PLOTTER),
    _no("to-record.corp.example", "AAAA", "NOERROR", "", "CNAME plotter.corp.example."),
    _yes("record.public.example", "A", *_PLOTTER),
    _yes("bench.corp.example", "A", "CNAME www.branch.corp.example.", "A 10.2.0.80"),
    _no("bench.corp.example", "AAAA", "NOERROR", "branch.corp.example", "CNAME www.branch.corp.example."),
    _yes("sign.lan", "A", "CNAME www.public.example.", "A 192.0.2.80"),
    _yes("sign.lan", "AAAA", "CNAME www.public.example.", "AAAA 2001:db8::80"),
)

TABLE = (
    *ACTIVE_DIRECTORY, *REVERSE, *BLOCKLISTS_OF_MAIL, *INSIDE_ZONES, *ACROSS_ZONES,
    *PUBLIC, *SPECIAL_NAMES, *DELEGATIONS, *BLOCKING, *LOCAL_RECORDS,
)  # fmt: skip
