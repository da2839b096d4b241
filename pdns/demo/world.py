"""The made-up names of the demo: what exists, what is listed where, who asks, and what each answer must be.

All of it lives under `example.` (RFC 2606), which a resolver forwards like any other name.
"""

from __future__ import annotations

from typing import NamedTuple

from pdns.wire import protocol as p

SINKHOLE_V4 = "192.0.2.1"
SINKHOLE_V6 = "2001:db8::1"
MALICIOUS_ADDRESS = "198.51.100.66"  # what a listed name really has: no client may ever see it

TENANTS = {"northmere": "127.0.1", "eastvale": "127.0.2", "westholt": "127.0.3"}  # the first three numbers of its clients
CLIENTS_PER_TENANT = 4

_ORGANISATIONS = (
    "cityhall", "library", "schools", "benefits", "parking", "museum", "clinic", "ambulance", "buses", "trams", "weather", "news",
    "maps", "video", "photos", "search", "shop", "bank", "post", "tax", "jobs", "pensions", "planning", "housing", "waste",
    "water", "power", "sport", "theatre", "archive",
)  # fmt: skip
_HOSTS = ("www", "cdn", "api", "login", "mail", "static", "portal", "docs", "status")

_BAIT = (
    "parcel",
    "invoice",
    "refund",
    "account",
    "voucher",
    "codec",
    "update",
    "wallet",
    "crypto",
    "prize",
    "delivery",
    "security",
)
_TRAP = ("login", "verify", "unlock", "free", "now", "secure", "alert", "bonus", "helpdesk", "gateway")

FRESH = "fresh.example"  # every name below it exists, so there is always a name that was never asked before
BULKY = "policy.archive.example"  # its TXT records need TCP
CLOAKED = "newsletter.shop.example"  # listed nowhere, but an alias of a listed name
EXEMPT = "prize-verify.example"  # one tenant allows it
EXEMPT_TENANT = "westholt"
PUBLISHED_LATER = "zero-day.example"  # joins the malware feed while the demo runs


class DemoListing(NamedTuple):
    """One name of one feed, and whether the names below it are listed too."""

    name: str
    and_below: bool = True


def _listed(first: int, count: int) -> list[DemoListing]:
    pairs = [f"{bait}-{trap}.example" for bait in _BAIT for trap in _TRAP]
    return [DemoListing(name) for name in pairs[first : first + count]]


FEEDS: dict[str, tuple[DemoListing, ...]] = {  # neighbours share ten names, as real feeds do
    "malware": tuple(_listed(0, 50)),
    "phishing": tuple(_listed(40, 50)),
    "botnet": (*_listed(80, 40), DemoListing("beacon.shop.example", and_below=False)),
}
EXCEPTION = "appeals." + FEEDS["phishing"][20].name  # the phishing feed, alone in listing its parent, excepts it
BENIGN_BELOW_EXACT = "www.beacon.shop.example"

BENIGN_NAMES = tuple(f"{host}.{org}.example" for host in _HOSTS for org in _ORGANISATIONS)  # the most popular first
_NUMBER = {name: number for number, name in enumerate((*BENIGN_NAMES, EXCEPTION, BENIGN_BELOW_EXACT), 1)}
_APEXES = frozenset(f"{org}.example" for org in _ORGANISATIONS)
_LISTED = {listed.name: listed.and_below for feed in FEEDS.values() for listed in feed} | {PUBLISHED_LATER: True}

SHORT_TTL_NAMES = frozenset(BENIGN_NAMES[:12])  # half of the traffic; these go stale while the upstream is away


def address_v4(name: str) -> str:
    """The IPv4 address of a benign name, from the benchmarking network (RFC 2544)."""
    number = _NUMBER.get(name, 999)
    return f"198.18.{number >> 8}.{number & 255}"


def address_v6(name: str) -> str:
    """The IPv6 address of a benign name, from the documentation network (RFC 3849)."""
    return f"2001:db8:1::{_NUMBER.get(name, 999):x}"


def reverse_name(name: str) -> str:
    """The name that the PTR record of a benign name's IPv4 address is at."""
    return ".".join(reversed(address_v4(name).split("."))) + ".in-addr.arpa"


_REVERSE = {reverse_name(name): name for name in BENIGN_NAMES}


def records(name: str, qtype: int) -> list[tuple[str, int, str]] | None:
    """What exists at `name` for `qtype`: owner, type and text of each record. None: there is no such name.

    `name` is lower-case text without the last dot.
    """
    if name == CLOAKED:
        target = "click." + FEEDS["malware"][0].name
        alias = [(name, p.CNAME, target + ".")]
        return alias + ([(target, p.A, MALICIOUS_ADDRESS)] if qtype == p.A else [])
    if name in _NUMBER or name.endswith("." + FRESH):
        return _host(name, qtype)
    if is_listed(name):
        return [(name, p.A, MALICIOUS_ADDRESS)] if qtype == p.A else []
    if name == BULKY:
        return [(name, p.TXT, f'"v=policy{number} {"x" * 180}"') for number in range(12)] if qtype == p.TXT else []
    if name in _APEXES:
        apex = {p.MX: f"10 mail.{name}.", p.TXT: '"v=spf1 mx -all"', p.NS: f"ns.{name}."}
        return [(name, qtype, apex[qtype])] if qtype in apex else []
    if name in _REVERSE:
        return [(name, p.PTR, _REVERSE[name] + ".")] if qtype == p.PTR else []
    return None


def _host(name: str, qtype: int) -> list[tuple[str, int, str]]:
    if qtype == p.A:
        return [(name, p.A, address_v4(name))]
    if qtype == p.AAAA and not name.startswith("mail."):
        return [(name, p.AAAA, address_v6(name))]
    if qtype == p.HTTPS and name.startswith(("www.", "cdn.")):
        return [(name, p.HTTPS, "1 . alpn=h2,h3")]
    return []


def listed_name(name: str) -> str | None:
    """The listed name that `name` is or lies below, or None when none is or an exception takes it out."""
    if name == EXCEPTION:
        return None
    if name == CLOAKED:
        return FEEDS["malware"][0].name
    if name in _LISTED:
        return name
    labels = name.split(".")
    above = (".".join(labels[cut:]) for cut in range(1, len(labels)))
    return next((parent for parent in above if _LISTED.get(parent, False)), None)


def is_listed(name: str) -> bool:
    """Whether some feed lists `name`, itself or by a parent, and no exception takes it out."""
    return name != CLOAKED and listed_name(name) is not None


def must_block(name: str, tenant: str) -> bool:
    """Whether a client of `tenant` that asks for `name` must get a blocked answer."""
    if tenant == EXEMPT_TENANT and (name == EXEMPT or name.endswith("." + EXEMPT)):
        return False
    return listed_name(name) is not None
