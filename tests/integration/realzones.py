"""Zones that hold what real zones hold, for real servers to serve."""

from __future__ import annotations

import time

import dns.dnssec
import dns.dnssectypes
import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_HEAD = """\
$TTL 300
@   IN SOA ns hostmaster.example.com. 2024010101 3600 1200 604800 120
@   IN NS ns
ns  IN A 192.0.2.53
"""
LONGEST = ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 48))  # 255 bytes, with the origin
_BIG_TXT = "\n".join(f'big IN TXT "{number:03}{"x" * 200}"' for number in range(15))
_HUGE_TXT = "\n".join(f'huge IN TXT "{number:03}{"x" * 240}"' for number in range(230))
REAL = f"""{_HEAD}
@           IN MX 10 Mail
            IN MX 20 mail.example.net.
            IN TXT "v=spf1 -all" "second; \\"quoted\\" \\009\\255"
            IN TXT ""
            IN CAA 0 issue "ca.example.net; account=1"
            IN CAA 128 iodef "mailto:security@example.net"
            IN HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::2 key65400="\\001x"
            IN NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.net!" .
            IN RP Host.Master.real.example. txt
            IN LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
            IN TYPE65280 \\# 6 c00cdeadbeef
Mail        IN A 192.0.2.25
            IN AAAA 2001:db8::25
www         IN A 192.0.2.1
            IN A 192.0.2.2
            IN A 192.0.2.3
            IN AAAA 2001:db8::1
alias       IN HTTPS 0 svc.example.net.
_dns        IN SVCB 2 dot.example.net. alpn="dot" mandatory=alpn
_sip._tcp   IN SRV 0 5 5060 Sip
            IN SRV 1 5 5060 sip.example.net.
_443._tcp   IN TLSA 3 1 1 {"ab" * 32}
1.2         IN PTR www
*.wild      IN A 192.0.2.77
            IN TXT "wild"
*.wildalias IN CNAME www
hop1        IN CNAME hop2
hop2        IN CNAME Hop3
hop3        IN CNAME www
outside     IN CNAME www.example.net.
tonowhere   IN CNAME nowhere
tonothing   IN CNAME mail
moved       IN DNAME new
a.b.new     IN A 192.0.2.9
below.ent   IN A 192.0.2.10
{LONGEST} IN A 192.0.2.63
dot\\.ted\\000\\255 IN A 192.0.2.11
{_BIG_TXT}
{_HUGE_TXT}
"""
SIGNED = f"""{_HEAD}
@         IN MX 10 mail
www       IN A 192.0.2.1
          IN A 192.0.2.2
alias     IN CNAME www
*.wild    IN A 192.0.2.77
*.wild2   IN CNAME www
odd       IN TYPE65280 \\# 4 deadbeef
moved     IN DNAME new
a.new     IN A 192.0.2.9
below.ent IN A 192.0.2.10
tampered  IN A 192.0.2.66
          IN TXT "sound"
insecure  IN NS ns.insecure
{_BIG_TXT}
"""
INSECURE = f"{_HEAD}www IN A 192.0.2.99\n"
TAMPERED = "203.0.113.66"


class Signed:
    """`SIGNED` with the signatures it needs, one address changed afterwards, and the key to trust."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        dnskey = dns.dnssec.make_dnskey(key.public_key(), dns.dnssectypes.Algorithm.ED25519, flags=257)
        zone = dns.zone.from_text(SIGNED, "signed.example.", relativize=False)
        dns.dnssec.sign_zone(zone, keys=[(key, dnskey)], inception=time.time() - 3600, lifetime=86400)
        zone.replace_rdataset("tampered.signed.example.", dns.rdataset.from_text("IN", "A", 300, TAMPERED))
        self.text = zone.to_text()
        self.anchor = f"signed.example. IN DNSKEY {dnskey}"
