"""Where secondaries fetch published zones: SOA, AXFR and IXFR, over TCP and UDP. Everyone else is refused.

All of it runs in the loop of the feeds process: a message is a block of a file, written when the secondary has read the one
before, so that the longest pause for others is that of one message.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import dns.name
import dns.rcode
import dns.tsig

from feeds.publish import requests, transfers
from feeds.publish.records import soa
from feeds.publish.requests import AXFR, IXFR, MOST_REQUEST_BYTES, SOA, Keyring, TransferRequest, UnsignedError
from feeds.publish.transfers import Transfer
from feeds.publish.versions import PublishedVersion, ZoneVersions
from feeds.publish.zone_file import DamagedZone
from pdns.config.addresses import IPNetwork, parse_address, parse_endpoint
from pdns.config.schema import Publish
from pdns.errors import InvalidAddress, PdnsError, WireError
from pdns.net.sockets import bind_tcp, bind_udp

MOST_CONNECTIONS: Final = 64
MOST_OF_STRANGERS: Final = 16  # from addresses that may transfer no zone
MOST_OF_ADDRESS: Final = 16
REQUEST_WITHIN_S: Final = 10.0
MESSAGE_WITHIN_S: Final = 30.0  # a secondary reads one message
TRANSFER_WITHIN_S: Final = 3600.0
BUFFERED_BYTES: Final = 64 * 1024  # of one connection, until the secondary reads
MOST_REPORTED: Final = 100  # strangers
_log = logging.getLogger(__name__)

KINDS: Final = {AXFR: "axfr", IXFR: "ixfr"}


class ServedZone(NamedTuple):
    """A zone and who may have it."""

    settings: Publish
    origin: bytes  # wire form
    versions: ZoneVersions
    networks: tuple[IPNetwork, ...]
    key: dns.tsig.Key | None

    def is_for(self, host: str, request: TransferRequest) -> bool:
        """Whether `request` of `host` is to be answered."""
        if not self.networks and self.key is None:
            return False
        if self.networks and not includes(self.networks, host):
            return False
        return self.key is None or (request.key is not None and request.key.name == self.key.name)

    def soa_of(self, serial: int) -> bytes:
        return soa(serial, self.settings.ttl_s, self.settings.refresh_s, self.settings.expire_s)


class TransferServer:
    """All endpoints and all zones."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()  # (zone, kind, result)
        self.refused: Counter[str] = Counter()  # reason -> messages that were not about a zone for the sender
        self._zones: Mapping[bytes, ServedZone] = {}
        self._keys: Keyring = {}
        self._endpoints: tuple[str, ...] = ()
        self._missing: tuple[str, ...] = ()  # of these, those that could not be had so far
        self._listening: list[asyncio.DatagramTransport | asyncio.Server] = []
        self._connections: Counter[str] = Counter()  # by address
        self._strangers = 0
        self._reported: set[str] = set()

    async def configure(self, zones: Sequence[ServedZone], endpoints: Sequence[str]) -> None:
        """Serve `zones` at `endpoints`; one that cannot be had is logged. Transfers go on."""
        self._zones = {zone.origin: zone for zone in zones}
        self._keys = {zone.key.name: zone.key for zone in zones if zone.key is not None}
        self._reported.clear()
        wanted = tuple(endpoints) if zones else ()
        if wanted != self._endpoints:
            self.close()
            self._endpoints = self._missing = wanted
            await self.listen()

    def close(self) -> None:
        """Accept nothing more."""
        for listening in self._listening:
            listening.close()
        self._listening, self._endpoints, self._missing = [], (), ()

    async def listen(self) -> None:
        """Listen where that has failed so far. Each failure is logged once."""
        missing, self._missing = self._missing, ()
        failed = [endpoint for endpoint in missing if not await self._listen(endpoint)]
        self._missing = tuple(failed)

    async def _listen(self, text: str) -> bool:
        endpoint = parse_endpoint(text)
        loop = asyncio.get_running_loop()
        udp: asyncio.DatagramTransport | None = None
        try:
            udp, _ = await loop.create_datagram_endpoint(lambda: _TransferDatagrams(self), sock=bind_udp(endpoint))
            tcp = await asyncio.start_server(self._serve, sock=bind_tcp(endpoint))
        except (PdnsError, OSError) as exc:
            if udp is not None:
                udp.close()
            if str(exc) not in self._reported:
                self._reported.add(str(exc))
                _log.error("feeds.publish_listen: %s; it is tried again", exc)
            return False
        self._listening += [udp, tcp]
        return True

    # One message.

    def on_datagram(self, wire: bytes, client: str) -> bytes | None:
        """The answer to the datagram `wire`, None for none. Never raises."""
        host = plain(client)
        found = self._understood(wire, host)
        if not isinstance(found, _Granted):
            return found
        zone, live, request = found
        if request.qtype == AXFR:  # RFC 5936, 4.2: not over UDP
            return requests.refusal(wire, dns.rcode.FORMERR, request.question)
        newest = zone.soa_of(live.serial)
        transfer = transfers.soa_only(newest)
        try:
            if request.serial is not None and not transfers.is_current(live.serial, request.serial):
                part = zone.versions.steps(request.serial, live.serial)
                if part is not None and part.bytes <= request.udp_bytes:
                    transfer = transfers.steps(part, zone.soa_of)
            answer = transfers.one_message(request, transfer, newest)
        except (OSError, DamagedZone):
            return requests.refusal(wire, dns.rcode.SERVFAIL, request.question)
        if request.qtype == IXFR:
            self._count(zone, request, transfer.kind)
        return answer

    def _understood(self, wire: bytes, host: str) -> _Granted | bytes | None:
        """What is to be answered; or the answer that says why not, or None for no answer."""
        try:
            request = requests.parse(wire, self._keys)
        except WireError as exc:
            self.refused["signature" if isinstance(exc, UnsignedError) else "malformed"] += 1
            if isinstance(exc, UnsignedError):
                self._report(host, f"its signature is refused ({exc.reason})")
            return requests.refusal(wire, exc.rcode, exc.question) if exc.rcode is not None else None
        if request is None:
            return None
        zone = self._zones.get(request.zone)
        if zone is None or not zone.is_for(host, request):
            self.refused["stranger" if zone is not None else "zone"] += 1
            if zone is not None:
                self._report(host, "allow_transfer or tsig_name does not allow it")
                self._count(zone, request, "refused")
            return requests.refusal(wire, dns.rcode.REFUSED, request.question)
        if request.qtype not in (SOA, AXFR, IXFR):
            self.refused["type"] += 1
            return requests.refusal(wire, dns.rcode.REFUSED, request.question)
        if (live := zone.versions.live) is None:
            self._count(zone, request, "failed")
            return requests.refusal(wire, dns.rcode.SERVFAIL, request.question)
        return _Granted(zone, live, request)

    def _count(self, zone: ServedZone, request: TransferRequest, result: str) -> None:
        if kind := KINDS.get(request.qtype):
            self.counts[zone.settings.zone, kind, result] += 1

    def _report(self, host: str, reason: str) -> None:
        if host not in self._reported and len(self._reported) < MOST_REPORTED:
            self._reported.add(host)
            _log.warning("feeds.publish_listen: %s is refused: %s", host, reason)

    # Connections.

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            host = plain(writer.get_extra_info("peername")[0])
        except TypeError:  # it is gone already
            writer.close()
            return
        is_stranger = not any(includes(zone.networks, host) for zone in self._zones.values() if zone.networks)
        is_stranger &= not any(zone.key is not None and not zone.networks for zone in self._zones.values())
        self._connections[host] += 1
        self._strangers += is_stranger
        try:
            too_many = self._connections.total() > MOST_CONNECTIONS or self._connections[host] > MOST_OF_ADDRESS
            if too_many or (is_stranger and self._strangers > MOST_OF_STRANGERS):
                self.refused["connections"] += 1
                return
            writer.transport.set_write_buffer_limits(high=BUFFERED_BYTES)
            while True:
                async with asyncio.timeout(REQUEST_WITHIN_S):
                    length = int.from_bytes(await reader.readexactly(2))
                    if length > MOST_REQUEST_BYTES:
                        self.refused["malformed"] += 1
                        return
                    wire = await reader.readexactly(length)
                await self._answer(wire, host, writer)
        except (TimeoutError, EOFError, OSError, asyncio.CancelledError):
            pass  # it has gone, or reads too slowly; or this process ends
        finally:
            self._strangers -= is_stranger
            self._connections[host] -= 1
            if not self._connections[host]:
                del self._connections[host]
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _answer(self, wire: bytes, host: str, writer: asyncio.StreamWriter) -> None:
        found = self._understood(wire, host)
        if found is None:
            return
        if not isinstance(found, _Granted):
            await _send(writer, found)
            return
        zone, live, request = found
        try:
            transfer = self._transfer(zone, live, request)
            async with asyncio.timeout(TRANSFER_WITHIN_S):
                try:
                    for message in transfers.messages(request, transfer.blocks):
                        await _send(writer, message)
                finally:
                    transfer.close()
        except DamagedZone:
            _log.error("%s is damaged: the zone is published anew", zone.versions.path)
            zone.versions.distrust()
            self._count(zone, request, "failed")
            raise ConnectionError from None
        except BaseException:
            self._count(zone, request, "failed")
            raise
        self._count(zone, request, transfer.kind)
        if request.qtype in KINDS:
            _log.debug("%s: %s sent to %s: %s", zone.settings.zone, KINDS[request.qtype], host, transfer.kind)

    def _transfer(self, zone: ServedZone, live: PublishedVersion, request: TransferRequest) -> Transfer:
        """What `request` is to get. Raises `OSError` and `DamagedZone`."""
        newest = zone.soa_of(live.serial)
        if request.qtype == SOA or (request.serial is not None and transfers.is_current(live.serial, request.serial)):
            return transfers.soa_only(newest)
        if request.serial is not None:
            part = zone.versions.steps(request.serial, live.serial)
            if part is not None and part.bytes < live.tail.bytes:
                return transfers.steps(part, zone.soa_of)
        zone_reader = zone.versions.open()
        return transfers.whole(zone_reader, zone.soa_of(zone_reader.head.serial))


class _Granted(NamedTuple):
    """A request that is to be answered."""

    zone: ServedZone
    live: PublishedVersion
    request: TransferRequest


class _TransferDatagrams(asyncio.DatagramProtocol):
    def __init__(self, server: TransferServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # typeshed has the base of it
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if answer := self._server.on_datagram(data, addr[0]):
            self._transport.sendto(answer, addr)


async def _send(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(len(message).to_bytes(2) + message)
    async with asyncio.timeout(MESSAGE_WITHIN_S):
        await writer.drain()


def includes(networks: Iterable[IPNetwork], host: str) -> bool:
    """Whether one of `networks` has the address `host`."""
    try:
        address = parse_address(host)
    except InvalidAddress:
        return False
    return any(address in network for network in networks)


def plain(client: str) -> str:
    """The address of a peer without its interface."""
    try:
        return str(parse_address(client.partition("%")[0]))
    except InvalidAddress:
        return client
