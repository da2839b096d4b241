"""Messages for tests, made and read by other people's libraries: a second opinion on every byte."""

from __future__ import annotations

from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dnslib import CLASS, EDNS0, QTYPE, DNSHeader, DNSLabel, DNSQuestion, DNSRecord

from pdns.core.query import Query
from pdns.reference.query import parse_query
from pdns.wire.names import from_text, labels_of


def query_wire(
    name: str,
    qtype: str = "A",
    *,
    query_id: int = 0x1234,
    rd: int = 1,
    ad: int = 0,
    cd: int = 0,
    edns: int | None = 1232,
    do: bool = False,
    qclass: str = "IN",
) -> bytes:
    """A query as a client sends it; `edns=None` without an OPT record."""
    record = DNSRecord(
        DNSHeader(id=query_id, rd=rd, ad=ad, cd=cd, qr=0), q=DNSQuestion(_label(name), _qtype(qtype), _qclass(qclass))
    )
    if edns is not None:
        record.add_ar(EDNS0(flags="do" if do else "", udp_len=edns))
    return bytes(record.pack())


def query(name: str, qtype: str = "A", **options: Any) -> Query:
    """The same, parsed."""
    return parse_query(query_wire(name, qtype, **options))


def response_wire(
    name: str,
    qtype: str = "A",
    *zones: str,
    authority: str = "",
    additional: str = "",
    rcode: int = 0,
    ad: int = 0,
    edns: bool = False,
) -> bytes:
    """An upstream's response with the records of `zones` (zone file text) in its answer section."""
    message = dns.message.Message(id=0x1234)
    message.flags = dns.flags.QR | dns.flags.RD | dns.flags.RA | (dns.flags.AD if ad else 0)
    message.set_rcode(dns.rcode.Rcode(rcode))
    message.question = [dns.rrset.RRset(dns.name.from_text(name), dns.rdataclass.IN, dns.rdatatype.from_text(qtype))]
    message.answer = _records("\n".join(zones))
    message.authority = _records(authority)
    message.additional = _records(additional)
    if edns:
        message.use_edns(0, payload=1232)
    return message.to_wire(max_size=65535)


def _records(text: str) -> list[dns.rrset.RRset]:
    """One RRset a line, in order, so that nothing is merged."""
    records = []
    for line in filter(None, text.splitlines()):
        owner, ttl_s, rclass, rtype, rdata = line.split(None, 4)
        value = dns.rdata.from_text(rclass, rtype, rdata, origin=dns.name.root, relativize=False)
        records.append(dns.rrset.from_rdata(dns.name.from_text(owner), int(ttl_s), value))
    return records


def read(wire: bytes) -> DNSRecord:
    """`wire` as dnslib reads it."""
    return DNSRecord.parse(wire)


def answers(wire: bytes) -> list[str]:
    """The RDATA of the answer section, as text."""
    return [str(record.rdata) for record in read(wire).rr]


def ede(wire: bytes) -> tuple[int, str] | None:
    """The Extended DNS Error of a response."""
    for record in read(wire).ar:
        if record.rtype == QTYPE.OPT:
            for option in record.rdata:
                if option.code == 15:
                    return int.from_bytes(option.data[:2]), option.data[2:].decode()
    return None


def _label(text: str) -> DNSLabel:
    return DNSLabel(labels_of(from_text(text))) if "\\" in text else DNSLabel(text)


def _qtype(text: str) -> int:
    return int(text[4:]) if text.startswith("TYPE") else int(getattr(QTYPE, text))


def _qclass(text: str) -> int:
    return 255 if text == "ANY" else int(getattr(CLASS, text))
