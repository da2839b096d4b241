"""Packets to start from: well-formed ones of every kind that matters, and the known ways to break them."""

from __future__ import annotations

import os
from pathlib import Path

from tests.wire import query_wire, response_wire

SOA = "example 900 IN SOA ns.example. host.example. 1 2 3 4 300"

QUERIES = [
    query_wire("www.example"),
    query_wire("malware.test", "AAAA", do=True, cd=1),
    query_wire("malware.test", "HTTPS", edns=None),
    query_wire("x." * 100 + "malware.test", "TXT"),
    query_wire("version.bind", "TXT", qclass="CH"),
    query_wire("localhost", "ANY", edns=65535),
    query_wire(".", "NS", rd=0),
]
RESPONSES = [
    response_wire("www.example", "A", "www.example 300 IN CNAME b.example.\nb.example 60 IN A 192.0.2.1", edns=True),
    response_wire(
        "www.example", "HTTPS", "www.example 300 IN HTTPS 1 svc.example. alpn=h2 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1"
    ),
    response_wire(
        "www.example", "MX", "www.example 300 IN MX 10 mail.example.\nwww.example 300 IN MX 20 mail2.example.", edns=True
    ),
    response_wire("no.example", "A", authority=SOA, rcode=3),
    response_wire("www.example", "SOA", SOA, additional="ns.example 60 IN AAAA 2001:db8::1"),
    response_wire("sub.example", "A", "example 60 IN DNAME other.example.\nsub.example 60 IN CNAME sub.other.example."),
]


def real_packets() -> list[Path]:
    """The malformed packets of others, when PDNS_DATA says where they are unpacked."""
    if "PDNS_DATA" not in os.environ:
        return []
    return sorted(
        path for path in Path(os.environ["PDNS_DATA"]).glob("corpora--*/corpora/**/*") if path.is_file() and path.suffix != ".rpl"
    )
