"""An authoritative server for a zone on a loopback port: nsd when it is installed, else a small one in this process."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.node
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.zone

from loadtest.client import Client
from loadtest.loopback import Address, free_port
from loadtest.packets import query
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.framing import frame

_START_TIMEOUT_S = 15.0
_MAX_HOPS = 8
_MIN_UDP_BYTES = 512

_NSD_CONFIG = """\
server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    username: ""
    zonesdir: "{directory}"
    zonelistfile: "{directory}/zone.list"
    xfrdfile: "{directory}/xfrd.state"
    pidfile: ""
    logfile: "{directory}/nsd.log"
    database: ""
    hide-version: yes
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: "."
    zonefile: "zone.txt"
"""


@contextlib.asynccontextmanager
async def serving(zone_text: str, directory: Path, *, python: bool = False) -> AsyncIterator[Address]:
    """Serves the zone `.` over UDP and TCP until left. `python`: do not look for nsd. Raises `OSError`."""
    nsd = None if python else shutil.which("nsd") or shutil.which("nsd", path="/usr/sbin:/usr/local/sbin")
    async with _nsd(nsd, zone_text, directory) if nsd else _python(zone_text) as address:
        yield address


@contextlib.asynccontextmanager
async def _nsd(nsd: str, zone_text: str, directory: Path) -> AsyncIterator[Address]:
    address = Address("127.0.0.1", free_port())
    (directory / "zone.txt").write_text(zone_text)
    config = directory / "nsd.conf"
    config.write_text(_NSD_CONFIG.format(port=address.port, directory=directory))
    child = await asyncio.create_subprocess_exec(nsd, "-d", "-c", config)
    try:
        async with asyncio.timeout(_START_TIMEOUT_S), Client(address) as client:
            while await client.ask(query(names.ROOT, p.SOA), timeout_s=0.1) is None:
                if child.returncode is not None:
                    log = directory / "nsd.log"
                    raise OSError(f"nsd ended with {child.returncode}: {log.read_text() if log.exists() else ''}")
                await asyncio.sleep(0.02)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        await child.wait()


@contextlib.asynccontextmanager
async def _python(zone_text: str) -> AsyncIterator[Address]:
    zone = dns.zone.from_text(zone_text, origin=dns.name.root, relativize=False)
    loop = asyncio.get_running_loop()
    address = Address("127.0.0.1", free_port())
    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(zone), local_addr=(address.host, address.port))

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                length = int.from_bytes(await reader.readexactly(2))
                if answer := answer_to(zone, await reader.readexactly(length), udp=False):
                    writer.write(frame(answer))
        writer.close()

    server = await asyncio.start_server(connection, address.host, address.port)
    try:
        yield address
    finally:
        server.close()
        transport.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, zone: dns.zone.Zone) -> None:
        self._zone = zone
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # which asyncio's own does not derive from

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and (answer := answer_to(self._zone, data, udp=True)):
            self._transport.sendto(answer, addr)


def answer_to(zone: dns.zone.Zone, wire: bytes, *, udp: bool) -> bytes | None:
    """The authoritative answer to a query (RFC 1034, 4.3.2; no delegations, no wildcards); None for silence."""
    try:
        asked = dns.message.from_wire(wire)
    except (dns.exception.DNSException, ValueError):
        return None
    if asked.flags & dns.flags.QR or len(asked.question) != 1:
        return None
    response = dns.message.make_response(asked)
    response.flags |= dns.flags.AA
    question = asked.question[0]
    if question.rdclass == dns.rdataclass.IN:
        _fill(zone, response, question.name, question.rdtype)
    else:
        response.set_rcode(dns.rcode.REFUSED)
    try:
        answer = response.to_wire(max_size=max(_MIN_UDP_BYTES, asked.payload) if udp else 65535)
    except dns.exception.TooBig:
        response.flags |= dns.flags.TC
        response.answer.clear()
        answer = response.to_wire()
    end = p.HEADER_BYTES + len(question.name.to_wire() or b"") + 4
    return answer[: p.HEADER_BYTES] + wire[p.HEADER_BYTES : end] + answer[end:]  # in the case of the question


def _fill(zone: dns.zone.Zone, response: dns.message.Message, name: dns.name.Name, rdtype: dns.rdatatype.RdataType) -> None:
    for _ in range(_MAX_HOPS):
        node = zone.get_node(name)
        found = _matching(node, rdtype)
        response.answer += [dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset)) for rdataset in found]
        if not found or found[0].rdtype != dns.rdatatype.CNAME or rdtype in (dns.rdatatype.CNAME, dns.rdatatype.ANY):
            break
        name = found[0][0].target
    if found:
        return
    soa = zone.get_rdataset(dns.name.root, dns.rdatatype.SOA)
    assert soa is not None
    response.authority.append(dns.rrset.from_rdata_list(dns.name.root, min(soa.ttl, soa[0].minimum), list(soa)))
    if node is None and not any(other.is_subdomain(name) for other in zone.nodes):
        response.set_rcode(dns.rcode.NXDOMAIN)


def _matching(node: dns.node.Node | None, rdtype: dns.rdatatype.RdataType) -> list[dns.rdataset.Rdataset]:
    if node is None:
        return []
    every = [each for each in node if rdtype == dns.rdatatype.ANY or each.rdtype == rdtype]
    return every or [each for each in node if each.rdtype == dns.rdatatype.CNAME]
