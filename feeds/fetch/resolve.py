"""Where a feed's host is. Asked of the configured upstreams, never of this resolver itself.

On a cold start the resolver is not ready until the feeds are there: a look-up that went through `/etc/resolv.conf` back to it
would wait for itself. And a feed that lists another feed's host must not lock that one out.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
from aiohttp.abc import AbstractResolver, ResolveResult

from feeds.fetch import encrypted_upstreams
from feeds.fetch.network import Network
from pdns.config.upstream_address import UpstreamAddress

ATTEMPT_TIMEOUT_S = 3.0
System = Callable[[str, socket.AddressFamily], Awaitable[list[str]]]
_QTYPES = {
    socket.AF_INET: (dns.rdatatype.A,),
    socket.AF_INET6: (dns.rdatatype.AAAA,),
    socket.AF_UNSPEC: (dns.rdatatype.A, dns.rdatatype.AAAA),
}


class UpstreamResolver(AbstractResolver):
    """Asks each upstream in turn over its transport: UDP with TCP on truncation, TCP alone, TLS, HTTPS or QUIC.

    The system's own resolver has the second word: for names without a dot (`/etc/hosts`, containers), and when no upstream knows
    an address. If that leads back to us it costs the feed this attempt, nothing else.
    """

    def __init__(self, network: Network, system: System | None = None) -> None:
        self._network = network
        self._system = system or _ask_system

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises `OSError` when there are none."""
        addresses = [] if "." not in host.rstrip(".") else await self._ask_upstreams(host, family)
        if not addresses:
            addresses = await self._system(host, family)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is kept open between look-ups."""

    async def _ask_upstreams(self, host: str, family: socket.AddressFamily) -> list[str]:
        for upstream in self._network.upstreams:
            answers = await asyncio.gather(*(_ask(upstream, self._network, host, qtype) for qtype in _QTYPES[family]))
            addresses = [address for answer in answers for address in answer or ()]
            if addresses or None not in answers:
                return addresses
        return []


async def _ask(upstream: UpstreamAddress, network: Network, host: str, qtype: dns.rdatatype.RdataType) -> list[str] | None:
    """The addresses that `upstream` knows, [] when it says that there are none, None when it says nothing of use."""
    try:
        query = dns.message.make_query(host, qtype)
        if not upstream.transport.is_stream:
            response, _ = await dns.asyncquery.udp_with_fallback(query, upstream.host, ATTEMPT_TIMEOUT_S, upstream.port)
        elif encrypted_upstreams.is_needed(upstream):
            found = await encrypted_upstreams.ask(upstream, network.upstream_ca_file, host, qtype, ATTEMPT_TIMEOUT_S)
            if found is None:
                return None
            response = found
        elif upstream.transport.is_encrypted:
            response = await dns.asyncquery.tls(
                query,
                upstream.host,
                ATTEMPT_TIMEOUT_S,
                upstream.port,
                ssl_context=network.upstream_tls,
                server_hostname=upstream.server_name,
            )
        else:
            response = await dns.asyncquery.tcp(query, upstream.host, ATTEMPT_TIMEOUT_S, upstream.port)
        if response.rcode() == dns.rcode.NXDOMAIN:
            return []
        if response.rcode() != dns.rcode.NOERROR or not isinstance(response, dns.message.QueryMessage):
            return None
        answer = response.resolve_chaining().answer
    except (dns.exception.DNSException, OSError, EOFError):
        return None
    return [rdata.address for rdata in answer or ()]


async def _ask_system(host: str, family: socket.AddressFamily) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, family=family, type=socket.SOCK_STREAM)
    return [str(ipaddress.ip_address(sockaddr[0])) for _, _, _, _, sockaddr in found]
