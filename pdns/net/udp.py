"""DNS over UDP (RFC 1035, 4.2.1): which datagrams get no answer."""

from __future__ import annotations

from typing import Final

from pdns.net.sockets import has_address

MAX_QUERY_BYTES: Final = 4096  # no real query is longer
WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 (compared with, not bound to)


def junk_reason(size: int, client: str, port: int, own_host: str) -> str:
    """Why a datagram that is suspicious by its size or its port gets no answer; "" when it may have one."""
    if not port:
        return "udp_source_port_zero"  # no client listens there; an answer could only hurt a third party
    if size > MAX_QUERY_BYTES:
        return "udp_too_long"
    if client == own_host or (own_host in WILDCARDS and has_address(client, if_unknown=False)):
        return "udp_own_address"  # forged: an answer would come back to us, and be answered
    return ""
