"""What counts as a tunnel: the configuration, and names that look like one without being one."""

from __future__ import annotations

from typing import Final

from pdns.config.schema import Config
from pdns.core.tunnels import TunnelRules
from pdns.wire.names import from_text

ALLOWED: Final = """
# Names below which every query is a new one by design, with the source of each. Only names of whose zone no customer gets a part:
# a name server of an attacker is never asked there.

in-addr.arpa            RFC 1035, 3.5: addresses
ip6.arpa                RFC 3596, 2.5: addresses

# Antivirus products that look up hashes of files
avqs.mcafee.com         Trellix KB53782: GTI file reputation
avts.mcafee.com         Trellix KB53782: GTI file reputation
sophosxl.net            Sophos KB 111334: Live Protection; SANS ISC diary 24844
e5.sk                   ESET KB332: LiveGrid and antispam
hash.cymru.com          team-cymru.com: malware hash registry
asn.cymru.com           team-cymru.com: addresses to AS numbers

# Lists of mail servers and domains (RFC 5782)
spamhaus.org            www.spamhaus.org: ZEN, DBL
spamhaus.net            docs.spamhaus.com: Data Query Service
barracudacentral.org    www.barracudacentral.org/rbl
spamcop.net             www.spamcop.net: bl.spamcop.net
surbl.org               www.surbl.org: multi.surbl.org
uribl.com               www.uribl.com: multi.uribl.com
dnswl.org               www.dnswl.org: list.dnswl.org
mailspike.net           www.mailspike.org
psbl.surriel.com        psbl.org
senderscore.com         senderscore.org: bl.score.senderscore.com

# Content delivery and clouds: names of customers, caches and measurements. All are in the MISP warning lists cisco_top20k or
# tranco10k.
akadns.net              Akamai
akamai.net              Akamai
akamaiedge.net          Akamai
akamaihd.net            Akamai
akamaized.net           Akamai
edgekey.net             Akamai
edgesuite.net           Akamai
fastly.net              Fastly
fastlylb.net            Fastly
cloudfront.net          Amazon CloudFront
amazonaws.com           Amazon Web Services: buckets, load balancers
awsglobalaccelerator.com  Amazon Web Services
elasticbeanstalk.com    Amazon Web Services
azureedge.net           Microsoft Azure
azurefd.net             Microsoft Azure
cloudapp.net            Microsoft Azure
cloudapp.azure.com      Microsoft Azure
trafficmanager.net      Microsoft Azure
windows.net             Microsoft Azure: storage, service bus
msedge.net              Microsoft
footprintdns.com        Microsoft: measures the way to its services, by 32 hexadecimal digits
sharepoint.com          Microsoft 365: tenants
googleusercontent.com   Google
googlevideo.com         Google: caches of videos
gvt1.com                Google: downloads
gvt2.com                Google: measurements
fbcdn.net               Facebook
nflxvideo.net           Netflix
steamcontent.com        Steam
ttvnw.net               Twitch
aaplimg.com             Apple
apple-dns.net           Apple
llnwd.net               Limelight; MISP microsoft-win10-connection-endpoints
cdn77.org               CDN77
"""
_NAMES: Final = frozenset(
    from_text(line.split()[0]) for line in ALLOWED.splitlines() if line.strip() and not line.startswith("#")
)


def tunnel_rules(config: Config) -> TunnelRules:
    """The rules of a worker; `config` is its share of the configuration."""
    findings, events = config.findings, config.events
    return TunnelRules.of(
        findings.tunnel_bytes_per_minute if events.enabled else 0,
        max(1, config.server.workers),
        (*_NAMES, *map(from_text, findings.tunnel_allow)),
        keep_clients=any(
            detail not in ("", "none") for detail in (events.clients, *(one.events_clients for one in config.tenant))
        ),
    )
