"""The DNS data of a small world: a signed public tree, and the internal zones of a site. Real servers serve both.

The public tree has its own view of `corp.example`, signed and delegated with a DS; the site's own view is not signed. The
validating resolvers of the site have negative trust anchors for `INSECURE_NAMES`.
"""

from __future__ import annotations

from collections.abc import Iterable

SERVICES = "203.0.113.80"  # www.corp.example as the public sees it


def zone(*records: str, ttl_s: int = 300) -> str:
    """The text of a zone with an SOA, an NS and `records`."""
    head = f"$TTL {ttl_s}\n@ IN SOA ns hostmaster 1 3600 600 86400 120\n@ IN NS ns\nns IN A 127.0.0.1\n"
    return head + "\n".join(records) + "\n"


def _texts(owner: str, number: int) -> Iterable[str]:
    return (f'{owner} IN TXT "{at:03}{"x" * 190}"' for at in range(number))


def big_texts(owner: str, number: int) -> tuple[str, ...]:
    """The answer for the TXT records `owner` of a zone."""
    return tuple(line.partition(" IN ")[2] for line in _texts(owner, number))


# The public tree. A name in `SIGNED` is signed, and its parent has a DS for it.

PUBLIC = {
    ".": zone("example. IN NS ns.example.", "arpa. IN NS ns.arpa.", "ns.example. IN A 127.0.0.1", "ns.arpa. IN A 127.0.0.1"),
    "arpa": zone("home IN NS ns.home", "ns.home IN A 127.0.0.1", "in-addr IN NS ns", "ip6 IN NS ns"),
    "in-addr.arpa": zone("10 IN NS ns", "168.192 IN NS ns", "16.172 IN NS ns", "17.172 IN NS ns"),
    "ip6.arpa": zone("d.f IN NS ns"),
    "example": zone(
        *(f"{child} IN NS ns" for child in ("public", "nsec3", "corp", "unsigned", "dnsbl", "free")),
        "malware IN A 198.51.100.66",
    ),
    "public.example": zone(
        "@ IN A 192.0.2.1", "@ IN MX 10 mail", '@ IN CAA 0 issue "ca.example"', "mail IN A 192.0.2.25",
        "www IN A 192.0.2.80", "www IN AAAA 2001:db8::80", "www IN HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.80",
        "_dns IN SVCB 1 www alpn=dot", "alias IN CNAME www", "*.wild IN A 192.0.2.77", "a.b.ent IN A 192.0.2.90",
        "moved IN DNAME nsec3.example.", "far IN CNAME www.nsec3.example.", "bad IN A 198.51.100.67",
        "cloaked IN CNAME malware.example.",
        "vpn IN CNAME vpn.corp.example.", "round IN CNAME out.corp.example.", "site IN CNAME www.branch.corp.example.",
        "missing IN CNAME missing.corp.example.", "official IN CNAME www.corp.example.", "nodata IN CNAME vpn.corp.example.",
        "sites IN DNAME branch.corp.example.", "nas IN CNAME nas.lan.", "gone IN CNAME host.priv.",
        "free IN CNAME bad.free.example.", "record IN CNAME plotter.corp.example.",
        *_texts("big", 20),
    ),
    "nsec3.example": zone("www IN A 192.0.2.83", "*.wild IN A 192.0.2.84", "back IN CNAME www.public.example."),
    "corp.example": zone(
        "@ IN A 203.0.113.1", f"www IN A {SERVICES}", "vpn IN A 203.0.113.9", "out IN A 203.0.113.10",
        "publiconly IN A 203.0.113.11", "autodiscover IN A 203.0.113.12", "shop.www IN CNAME www",
    ),
    **dict.fromkeys(("home.arpa", "10.in-addr.arpa", "168.192.in-addr.arpa", "16.172.in-addr.arpa", "17.172.in-addr.arpa",
                     "d.f.ip6.arpa"), zone()),
    "dnsbl.example": zone("www IN A 203.0.113.81", "zen IN NS ns"),
    "free.example": zone("www IN A 203.0.113.99"),
    "unsigned.example": zone(
        "www IN A 192.0.2.86", "alias IN CNAME www.public.example.",
        "rebind IN A 10.1.0.1", "rebind6 IN AAAA ::ffff:10.1.0.1", "lured IN CNAME vpn.corp.example.",
    ),
}  # fmt: skip
SIGNED = ("nsec3.example", "public.example", "corp.example", "example", "in-addr.arpa", "ip6.arpa", "arpa", ".")  # leaves first

# The site. What each of its servers serves.

DOMAIN_CONTROLLER = {
    "corp.example": zone(
        "@ IN A 10.1.0.1", "@ IN A 10.1.0.2", "@ IN MX 10 mail", '@ IN TXT "v=spf1 -all"',
        "dc1 IN A 10.1.0.1", "dc1 IN AAAA fd00:1::1", "dc2 IN A 10.1.0.2", "mail IN A 10.1.0.25",
        "_ldap._tcp IN SRV 0 100 389 dc1", "_ldap._tcp IN SRV 0 100 389 dc2",
        "_kerberos._tcp IN SRV 0 100 88 dc1", "_kerberos._udp IN SRV 0 100 88 dc1",
        "_kpasswd._tcp IN SRV 0 100 464 dc1", "_kpasswd._udp IN SRV 0 100 464 dc1",
        "_gc._tcp IN SRV 0 100 3268 dc1", "_vlmcs._tcp IN SRV 0 0 1688 kms", "kms IN A 10.1.0.30",
        "_ldap._tcp.Default-First-Site-Name._sites IN SRV 0 100 389 dc1",
        "_kerberos._tcp.Default-First-Site-Name._sites IN SRV 0 100 88 dc1",
        "_gc._tcp.Default-First-Site-Name._sites IN SRV 0 100 3268 dc1",
        "DomainDnsZones IN A 10.1.0.1", "_ldap._tcp.DomainDnsZones IN SRV 0 100 389 dc1", "ForestDnsZones IN A 10.1.0.1",
        "intranet IN A 10.1.0.80", "intranet IN AAAA fd00:1::80", "portal IN CNAME intranet", "vpn IN A 10.1.0.9",
        "out IN CNAME www.public.example.", "outout IN CNAME out", "unsafe IN CNAME www.unsigned.example.",
        "dangling IN CNAME nowhere", "lost IN CNAME nowhere.public.example.", "six IN CNAME mail.public.example.",
        "to-branch IN CNAME www.branch", "to-www IN CNAME www", "to-malware IN CNAME malware.example.", "to-bad IN CNAME bad",
        "to-record IN CNAME plotter", "plotter IN A 10.1.0.97",
        "old IN DNAME branch", "gone IN DNAME public.example.",
        "*.apps IN A 10.1.0.81", '*.apps IN TXT "wild"', "*.alias IN CNAME intranet", "a.b.ent IN A 10.1.0.90",
        "bad IN A 10.1.0.66", "svc IN HTTPS 1 . alpn=h2 ipv4hint=10.1.0.80", "_dns IN SVCB 1 dc1 alpn=dot",
        "CamelCase IN A 10.1.0.91", "www IN A 10.1.0.99", "shop.www IN A 10.1.0.98",
        "zag IN CNAME zig2.branch", "loop IN CNAME loop.branch",
        "_msdcs IN NS ns", "branch IN NS ns",
        "chain0 IN CNAME intranet", *(f"chain{at} IN CNAME chain{at - 1}" for at in range(1, 9)),
        *_texts("big", 20),
    ),
    "corp": zone(
        "@ IN A 10.3.0.1", "dc1 IN A 10.3.0.1", "_ldap._tcp.dc._msdcs IN SRV 0 100 389 dc1", "_kerberos._tcp IN SRV 0 100 88 dc1",
        "up IN CNAME intranet.corp.example.",
    ),
    "council.local": zone("dc1 IN A 10.7.0.1", "_ldap._tcp IN SRV 0 100 389 dc1", "www IN CNAME www.public.example."),
    "10.in-addr.arpa": zone(
        "1.0.1 IN PTR dc1.corp.example.", "80.0.1 IN PTR intranet.corp.example.", "1.0.3 IN PTR dc1.corp.",
        "65.0.2 IN CNAME 65.64-27.0.2", "65.64-27.0.2 IN PTR printer.branch.corp.example.",
        "66.0.2 IN CNAME 66.rev.branch.corp.example.",
    ),
}  # fmt: skip
SITE_SERVER = {
    "_msdcs.corp.example": zone(
        "_ldap._tcp.dc IN SRV 0 100 389 dc1.corp.example.", "_ldap._tcp.dc IN SRV 0 100 389 dc2.corp.example.",
        "_kerberos._tcp.dc IN SRV 0 100 88 dc1.corp.example.", "_ldap._tcp.pdc IN SRV 0 100 389 dc1.corp.example.",
        "_ldap._tcp.gc IN SRV 0 100 3268 dc1.corp.example.", "gc IN A 10.1.0.1",
        "_ldap._tcp.Default-First-Site-Name._sites.dc IN SRV 0 100 389 dc1.corp.example.",
        "_ldap._tcp.Default-First-Site-Name._sites.gc IN SRV 0 100 3268 dc1.corp.example.",
        "_ldap._tcp.2e6f8d6c-1f7a-4c0b-9a3e-6f1f0a2b3c4d.domains IN SRV 0 100 389 dc1.corp.example.",
        "5b1d3c7e-90aa-4f6e-8d21-b3c1a7e5f002 IN CNAME dc1.corp.example.",
    ),
    "branch.corp.example": zone(
        "@ IN A 10.2.0.1", "www IN A 10.2.0.80", "printer IN A 10.2.0.20", "*.wild IN A 10.2.0.77",
        "hq IN CNAME intranet.corp.example.", "ext IN CNAME www.public.example.", "official IN CNAME www.corp.example.",
        "zig IN CNAME zag.corp.example.", "zig2 IN CNAME intranet.corp.example.", "loop IN CNAME loop.corp.example.",
        "66.rev IN PTR scanner.branch.corp.example.", "bad IN A 10.2.0.66",
    ),
    "lan": zone("nas IN A 10.4.0.5", "nas IN AAAA fd00:4::5", "tv IN CNAME nas", "web IN CNAME www.public.example."),
    "internal": zone("app IN A 10.5.0.1", "db.prod IN A 10.5.0.2", "api IN CNAME app"),
    "ad.priv": zone("dc1 IN A 10.6.0.1", "_ldap._tcp IN SRV 0 100 389 dc1"),
    "16.172.in-addr.arpa": zone("5.0 IN PTR nas.lan."),
    "d.f.ip6.arpa": zone(
        f"1.{'0.' * 23}1.0.0.0.0.0 IN PTR dc1.corp.example.", f"5.{'0.' * 23}4.0.0.0.0.0 IN PTR nas.lan."
    ),
    "zen.dnsbl.example": zone(
        "2.0.0.127 IN A 127.0.0.2", "2.0.0.127 IN A 127.0.0.4", "2.0.0.127 IN A 127.0.0.10",
        '2.0.0.127 IN TXT "https://dnsbl.example/query/127.0.0.2"', '2.0.0.127 IN TXT "https://dnsbl.example/pbl"',
        "10.113.0.203 IN A 127.0.0.11", "*.100.51.198 IN A 127.0.0.3", '*.100.51.198 IN TXT "listed network"',
        f"1.{'0.' * 23}8.b.d.0.1.0.0.2 IN A 127.0.0.2", "spam.example.org IN A 127.0.1.2",
    ),
    "free.example": zone(
        "www IN A 192.0.2.99", "bad IN A 192.0.2.66", "to-bad IN CNAME bad", "to-malware IN CNAME malware.example.",
        "into IN CNAME bad.corp.example.",
    ),
}  # fmt: skip
HOME_NAMES = ("home.arpa", "168.192.in-addr.arpa")
HOME_OPTIONS = (
    "--local=/home.arpa/", "--local=/168.192.in-addr.arpa/", "--host-record=nas.home.arpa,192.168.1.10",
    "--host-record=tv.home.arpa,192.168.1.11,fd00:9::11", "--cname=media.home.arpa,nas.home.arpa",
    "--srv-host=_ipp._tcp.home.arpa,nas.home.arpa,631", "--txt-record=nas.home.arpa,hello", "--local-ttl=60",
)  # fmt: skip

UNCHECKED = ("zen.dnsbl.example", "free.example")  # lists do not apply to them
# What the program knows itself.
RECORDS = [
    {"name": "plotter.corp.example", "a": ["10.9.0.1"], "txt": ["third floor"]},
    {"name": "bench.corp.example", "cname": "www.branch.corp.example"},
    {"name": "*.dev.corp.example", "a": ["10.9.0.2"], "ptr": False},
    {"name": "sign.lan", "cname": "www.public.example"},
]
LISTED = ("malware.example", "bad.public.example", "bad.corp.example", "bad.branch.corp.example", "bad.free.example")
INSECURE_NAMES = ("corp.example", "corp", "lan", "local", "internal", "priv", "fritz.box")
# Validating resolvers answer these themselves unless told otherwise.
OTHERWISE_THEIRS = ("home.arpa", "10.in-addr.arpa", "168.192.in-addr.arpa", "16.172.in-addr.arpa", "17.172.in-addr.arpa",
                    "d.f.ip6.arpa", "internal")  # fmt: skip
