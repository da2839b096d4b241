"""Where primaries say that a zone has changed (RFC 1996). All it does is to have the zone looked at sooner."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import Counter, defaultdict
from collections.abc import Callable

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig

from feeds.fetch.tsig import key_of
from pdns.config.addresses import parse_address, parse_endpoint, zone_of
from pdns.config.schema import Config
from pdns.errors import FeedError, InvalidAddress, PdnsError
from pdns.net.sockets import bind_tcp, bind_udp

MAX_CONNECTIONS = 16
CONNECTION_TIMEOUT_S = 5.0
MAX_REMEMBERED = 100  # strangers that were reported
_HEADER = struct.Struct("!HHHHHH")
_QR = 0x8000
_log = logging.getLogger(__name__)


class NotifyListener:
    """One endpoint, UDP and TCP. Strangers get no answer; a primary gets one for the zones that we have from it."""

    def __init__(self, changed: Callable[[str], None]) -> None:
        """`changed` is called with the name of each feed whose zone has changed, as its primary says."""
        self._changed = changed
        self._endpoint = ""
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections = 0
        self._zones: dict[tuple[str, dns.name.Name], list[str]] = {}
        self._primaries: set[str] = set()
        self._keys: dict[dns.name.Name, dns.tsig.Key] = {}
        self._signed: dict[str, dns.name.Name] = {}  # feed -> the key that its primary must sign with
        self.refused: Counter[str] = Counter()  # reason -> messages that were not taken
        self._reported: set[str] = set()

    async def configure(self, config: Config) -> None:
        """Listen where `config` says, for its zones. An endpoint that cannot be had is logged; the zones are then only looked at
        as often as they are without.
        """
        zones = defaultdict(list)
        self._keys = {}
        self._signed = {feed.name: dns.name.from_text(feed.tsig_name) for feed in config.feed if feed.tsig_name}
        for feed in config.feed:
            primary = zone_of(feed.url)
            if primary is None:
                continue
            zones[primary.host, dns.name.from_text(primary.zone)].append(feed.name)
            try:
                key = key_of(feed)
            except FeedError as exc:
                _log.warning("%s", exc)
            else:
                self._keys.update({key.name: key} if key is not None else {})
        self._zones = dict(zones)
        self._primaries = {host for host, _ in zones}
        self._reported.clear()
        if config.feeds.notify_listen != self._endpoint:
            self.close()
            await self._listen(config.feeds.notify_listen)

    def close(self) -> None:
        """Listen no more."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        self._udp, self._tcp, self._endpoint = None, None, ""

    def answer(self, wire: bytes, client: str) -> bytes | None:
        """What to say to the message `wire` from the address `client`, None for nothing. Never raises."""
        host = _plain(client)
        if host not in self._primaries:
            self._report(host)
            self.refused["stranger"] += 1
            return None
        if len(wire) < _HEADER.size or _HEADER.unpack_from(wire)[1] & _QR:
            return None
        try:
            message = dns.message.from_wire(wire, keyring=self._keys)
        except dns.message.UnknownTSIGKey:
            self.refused["signature"] += 1
            return _short(wire, dns.rcode.NOTAUTH)
        except Exception as exc:  # noqa: BLE001 (whatever foreign bytes do to the library)
            bad_key = isinstance(exc, dns.tsig.BadSignature | dns.tsig.BadKey | dns.tsig.BadTime | dns.tsig.BadAlgorithm)
            self.refused["signature" if bad_key else "malformed"] += 1
            return _short(wire, dns.rcode.NOTAUTH if bad_key else dns.rcode.FORMERR)
        return self._respond(message, host)

    def _respond(self, message: dns.message.Message, host: str) -> bytes:
        response = dns.message.make_response(message)
        response.flags = dns.flags.QR | dns.flags.AA | dns.opcode.to_flags(message.opcode())
        if message.opcode() != dns.opcode.NOTIFY:
            response.set_rcode(dns.rcode.NOTIMP)
        elif len(message.question) != 1 or message.question[0].rdtype != dns.rdatatype.SOA:
            response.set_rcode(dns.rcode.FORMERR)
        elif (names := self._zones.get((host, message.question[0].name))) is None:
            self.refused["zone"] += 1
            response.set_rcode(dns.rcode.NOTAUTH)
        elif not (believed := [name for name in names if self._is_believed(name, message)]):
            self._report_unsigned(host, names[0], message)
            response.set_rcode(dns.rcode.NOTAUTH)
        else:
            for name in believed:
                _log.debug("feed %s: its primary says that the zone has changed", name)
                self._changed(name)
        return response.to_wire()

    def _is_believed(self, feed: str, message: dns.message.Message) -> bool:
        """Whether it is signed as the zone's transfers are (RFC 8945); where they are not, an address is all there is."""
        key = self._signed.get(feed)
        return key is None or (message.had_tsig and message.keyname == key)

    def _report_unsigned(self, host: str, feed: str, message: dns.message.Message) -> None:
        self.refused["signature" if message.had_tsig else "unsigned"] += 1
        if feed not in self._reported and len(self._reported) < MAX_REMEMBERED:
            self._reported.add(feed)
            _log.warning("feed %s: a NOTIFY of %s is refused: it is not signed with the key tsig_name", feed, host)

    async def _listen(self, text: str) -> None:
        if not text:
            return
        endpoint = parse_endpoint(text)
        loop = asyncio.get_running_loop()
        try:
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _NotifyDatagrams(self), sock=bind_udp(endpoint))
            self._tcp = await asyncio.start_server(self._serve, sock=bind_tcp(endpoint))
        except (PdnsError, OSError) as exc:
            self.close()
            _log.error("feeds.notify_listen: %s", exc)
        else:
            self._endpoint = text

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        self._connections += 1
        try:
            if self._connections > MAX_CONNECTIONS or _plain(client) not in self._primaries:
                self._report(_plain(client))
                return
            async with asyncio.timeout(CONNECTION_TIMEOUT_S):
                while True:
                    wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                    if answer := self.answer(wire, client):
                        writer.write(len(answer).to_bytes(2) + answer)
                        await writer.drain()
        except (TimeoutError, EOFError, OSError):
            pass  # it has said what it had to say
        finally:
            self._connections -= 1
            writer.close()

    def _report(self, host: str) -> None:
        if host not in self._reported and host not in self._primaries and len(self._reported) < MAX_REMEMBERED:
            self._reported.add(host)
            _log.warning("feeds.notify_listen: %s is not the primary of any feed; it gets no answer", host)


class _NotifyDatagrams(asyncio.DatagramProtocol):
    def __init__(self, listener: NotifyListener) -> None:
        self._listener = listener

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # typeshed has the base of it
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if answer := self._listener.answer(data, addr[0]):
            self._transport.sendto(answer, addr)


def _plain(client: str) -> str:
    try:
        return str(parse_address(client.partition("%")[0]))
    except InvalidAddress:
        return client


def _short(wire: bytes, rcode: dns.rcode.Rcode) -> bytes:
    """An answer without a question, for a message that could not be understood or believed."""
    number, flags, *_ = _HEADER.unpack_from(wire)
    return _HEADER.pack(number, _QR | (flags & 0x7800) | rcode, 0, 0, 0, 0)
