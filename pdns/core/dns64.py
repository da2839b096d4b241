"""DNS64 (RFC 6147): IPv6 addresses for names that have none, which lead through a NAT64 to the IPv4 addresses of the name."""

# kernel: pdns/fast/dns64.pyx

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from pdns.config.schema import Dns64
from pdns.core.answers import answer_entry, negative_entry
from pdns.core.cacheable import uncompressed
from pdns.core.chain import Chain
from pdns.core.crossing import ChainHead
from pdns.core.entry import Ede, Entry
from pdns.core.rebinding import PRIVATE_NETWORKS
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.framing import MAX_MESSAGE_BYTES
from pdns.wire.message import HEADER, Message, ResourceRecord, kind_of, parse_message

WELL_KNOWN_PREFIX = "64:ff9b::/96"
MAX_TTL_S = 600  # of a synthesised address when no SOA says otherwise (RFC 6147, 5.1.7)
_IPV4ONLY = names.from_text("ipv4only.arpa")
_IPV4ONLY_ADDRESSES = (bytes((192, 0, 0, 170)), bytes((192, 0, 0, 171)))  # RFC 7050, 2.2
_IPV4ONLY_POINTERS = tuple(names.from_text(f"{last}.0.0.192.in-addr.arpa") for last in (170, 171))
_IP6_ARPA, _IN_ADDR_ARPA = names.from_text("ip6.arpa"), names.from_text("in-addr.arpa")
_NIBBLES = 32
_LOCAL_TTL_S = 10800
_MARK = b"DNS64 "


class Translation:
    """What a DNS64 makes of addresses and names. With `enabled` false there is none."""

    def __init__(self, config: Dns64) -> None:
        """`config` is settled."""
        self.enabled = bool(config.prefix)
        network = IPv6Network(config.prefix or WELL_KNOWN_PREFIX)
        self._bytes = network.prefixlen // 8
        self._prefix = network.network_address.packed[: self._bytes]
        self._exclude = [_head_and_shift(text) for text in config.exclude]
        ipv4_exclude: list[str] = list(config.ipv4_exclude)
        if config.prefix == WELL_KNOWN_PREFIX:  # RFC 6052, 3.1: never with addresses that are not global
            ipv4_exclude += [str(private) for private in PRIVATE_NETWORKS if isinstance(private, IPv4Network)]
        self._ipv4_exclude = [_head_and_shift(text) for text in ipv4_exclude]
        self._apex = _reversed_nibbles(self._prefix)
        self.mark: Ede = (p.EDE_SYNTHESISED, _MARK + str(network).encode())  # on each entry that is made here
        self.excluded = b"".join(map(_for_kernel, config.exclude))
        self.filter_keys = frozenset(map(names.filter_key, (_IP6_ARPA, _IPV4ONLY, _IN_ADDR_ARPA)) if self.enabled else ())

    # Addresses.

    def embed(self, ipv4: bytes) -> bytes:
        """The IPv6 address that leads to `ipv4` (RFC 6052, 2.2)."""
        packed = self._prefix + ipv4
        if self._bytes <= 8:
            packed = packed[:8] + b"\0" + packed[8:]
        return packed.ljust(16, b"\0")

    def extract(self, packed: bytes) -> bytes | None:
        """The IPv4 address that `embed` makes `packed` of, if there is one."""
        joined = packed if self._bytes > 8 else packed[:8] + packed[9:]
        ipv4 = joined[self._bytes : self._bytes + 4]
        return ipv4 if self.embed(ipv4) == packed else None

    def maps(self, ipv4: bytes) -> bool:
        """Whether an address is synthesised from `ipv4`."""
        return not _is_in(ipv4, self._ipv4_exclude)

    def is_excluded(self, packed: bytes) -> bool:
        """Whether an answer counts as one without this IPv6 address (RFC 6147, 5.1.4)."""
        return _is_in(packed, self._exclude)

    # Answers to AAAA.

    def lacks_addresses(self, message: Message, chain: Chain) -> bool:
        """Whether `message`, an answer to AAAA, makes A records worth asking for (RFC 6147, 5.1.1, 5.1.2 and 5.1.4).

        Not when the name does not exist.
        """
        if message.rcode != p.NOERROR:
            return message.rcode not in (p.NXDOMAIN, p.YXDOMAIN)
        addresses = [record for record in chain.records if record.rtype == p.AAAA]
        return all(self.is_excluded(message.wire[record.rdata_at : record.end]) for record in addresses)

    def without_excluded(self, message: Message, chain: Chain) -> Message:
        """`message`, an answer to AAAA, without the excluded addresses and, if there are any, the signatures of the others."""

        def is_kept(record: ResourceRecord) -> bool:
            return kind_of(message.wire, record) != p.AAAA or (
                record.rtype == p.AAAA and not self.is_excluded(message.wire[record.rdata_at : record.end])
            )

        if not any(
            record.rtype == p.AAAA and self.is_excluded(message.wire[record.rdata_at : record.end]) for record in chain.records
        ):
            return message
        kept = list(filter(is_kept, chain.records))
        return _answer(chain.names[0], uncompressed(message, kept), len(kept))

    def synthesised(self, lacking: Message, message: Message, chain: Chain) -> Message | None:
        """The answer to AAAA that follows from `message`, which answers A and whose chain is `chain`; None if nothing does.

        `lacking` is the answer to AAAA. No address lives longer than its SOA says, or than `MAX_TTL_S` if there is none
        (RFC 6147, 5.1.7). The AD flag is not set, since the addresses are not signed.
        """
        wire, end = message.wire, chain.names[-1]
        addresses = [record for record in chain.records if record.rtype == p.A and record.owner == end]
        mapped = [(record, ipv4) for record in addresses if self.maps(ipv4 := wire[record.rdata_at : record.end])]
        if not mapped or message.rcode != p.NOERROR:
            return None
        limit_s = _negative_ttl_s(lacking)
        links = [record for record in chain.records if kind_of(wire, record) in (p.CNAME, p.DNAME)]
        body = uncompressed(message, links)
        owner = b"\xc0\x0c" if end == chain.names[0] else end
        count = len(links)
        for record, ipv4 in mapped:
            ttl_s = min(record.ttl_s, limit_s)
            made = owner + p.AAAA.to_bytes(2) + p.CLASS_IN.to_bytes(2) + ttl_s.to_bytes(4) + b"\0\x10" + self.embed(ipv4)
            if p.HEADER_BYTES + len(chain.names[0]) + 4 + len(body) + len(made) > MAX_MESSAGE_BYTES:
                break
            body += made
            count += 1
        return _answer(chain.names[0], body, count)

    # Names.

    def pointer(self, qname: bytes) -> bytes | None:
        """The name below `in-addr.arpa` that tells the name of the IPv4 address behind `qname`, an address below `ip6.arpa`."""
        if not self.enabled or not names.is_at_or_below(qname, self._apex):
            return None
        labels = names.labels_of(qname)[:-2]
        digits = b"".join(reversed(labels))
        if len(labels) != _NIBBLES or len(digits) != _NIBBLES or digits.strip(b"0123456789abcdef"):
            return None
        ipv4 = self.extract(bytes.fromhex(digits.decode("ascii")))
        return None if ipv4 is None else names.from_text(f"{ip_address(ipv4).reverse_pointer}")

    def pointer_head(self, qname: bytes, target: bytes, route_mark: int) -> ChainHead:
        """The CNAME record from `qname`, whose route has `route_mark`, to `target`, which `pointer` has found
        (RFC 6147, 5.3.1).
        """
        record = qname + p.CNAME.to_bytes(2) + p.CLASS_IN.to_bytes(2) + MAX_TTL_S.to_bytes(4) + len(target).to_bytes(2) + target
        return ChainHead(record, 1, 1, ad=False, route_mark=route_mark)

    def answer(self, qname: bytes, qtype: int, now: float) -> Entry | None:
        """The answer to a question about `ipv4only.arpa`, by which hosts learn the prefix, or about the reverse names of its
        addresses (RFC 8880). None for other names, and for DS, which belongs to the zone above.
        """
        for apex in (_IPV4ONLY, *_IPV4ONLY_POINTERS):
            if names.is_at_or_below(qname, apex):
                if qname != apex:
                    return negative_entry(p.NXDOMAIN, apex, qname, "local", now, _LOCAL_TTL_S)
                return None if qtype == p.DS else self._ipv4only(apex, qtype, now)
        return None

    def _ipv4only(self, apex: bytes, qtype: int, now: float) -> Entry:
        found: Iterable[bytes] = ()
        if apex != _IPV4ONLY:
            found = (_IPV4ONLY,) if qtype == p.PTR else ()
        elif qtype == p.A:
            found = _IPV4ONLY_ADDRESSES
        elif qtype == p.AAAA:
            found = map(self.embed, _IPV4ONLY_ADDRESSES)
        rdatas = list(found)
        if rdatas:
            return answer_entry(qtype, rdatas, "local", now, _LOCAL_TTL_S)
        return negative_entry(p.NOERROR, apex, apex, "local", now, _LOCAL_TTL_S)

    def yields_to(self, zone: bytes, qname: bytes) -> bool:
        """Whether `qname` is left to a configured zone with that name: it is at least as specific as what is answered here."""
        own = next((apex for apex in (self._apex, _IPV4ONLY, *_IPV4ONLY_POINTERS) if names.is_at_or_below(qname, apex)), None)
        return own is not None and names.is_at_or_below(zone, own)

    # Entries of the cache.

    def has_to_change(self, message: Message, chain: Chain) -> bool:
        """Whether `message`, an answer to AAAA, is not one that clients get as it is."""
        return self.lacks_addresses(message, chain) or self.without_excluded(message, chain) is not message

    def is_outdated(self, ede: Ede | None) -> bool | None:
        """Whether the entry with this Extended DNS Error was made by another configuration. None: it was not made here."""
        if ede is None or ede[0] != p.EDE_SYNTHESISED or not ede[1].startswith(_MARK):
            return None
        return not self.enabled or ede != self.mark


def _answer(qname: bytes, body: bytes, count: int) -> Message:
    question = qname + p.AAAA.to_bytes(2) + p.CLASS_IN.to_bytes(2)
    return parse_message(HEADER.pack(0, p.QR | p.RA, 1, count, 0, 0) + question + body)


def _negative_ttl_s(message: Message) -> int:
    for record in message.authority:
        if record.rtype == p.SOA:  # RFC 2308, 5
            return min(record.ttl_s, int.from_bytes(message.wire[record.end - 4 : record.end]))
    return MAX_TTL_S


def _reversed_nibbles(prefix: bytes) -> bytes:
    return names.from_text(".".join([*reversed(prefix.hex()), "ip6.arpa"]))


def _head_and_shift(text: str) -> tuple[int, int]:
    network = ip_network(text)
    shift = network.max_prefixlen - network.prefixlen
    return int(network.network_address) >> shift, shift


def _is_in(packed: bytes, networks: list[tuple[int, int]]) -> bool:
    number = int.from_bytes(packed)
    return any(number >> shift == head for head, shift in networks)


def _for_kernel(text: str) -> bytes:
    network = IPv6Network(text)
    return bytes((network.prefixlen,)) + network.network_address.packed
