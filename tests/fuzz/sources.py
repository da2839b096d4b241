"""What sources and primaries say: signatures, checksums, pages of MISP and TAXII, zone transfers and NOTIFY."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.xfr

from feeds.fetch import misp, taxii
from feeds.fetch.candidate import Candidate
from feeds.fetch.client import FetchClient
from feeds.fetch.minisign import BadSignature, parse
from feeds.fetch.verify import published_checksum
from feeds.fetch.zone import _Inbound
from feeds.fetch.zone_text import Inconsistent
from feeds.notify import NotifyListener
from feeds.parse import parse_feed
from pdns.config.addresses import parse_zone
from pdns.config.schema import Config, Feed, Upstream
from pdns.errors import FeedError
from tests.fuzz.target import FileTarget

MAX_BYTES: Final = 1 << 20
ZONE: Final = dns.name.from_text("rpz.test.")
PRIMARY: Final = "127.0.0.1"
SIGNATURE: Final = (
    b"untrusted comment: signature from minisign secret key\n"
    b"RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n"
    b"trusted comment: timestamp:1633700835\tfile:test\tprehashed\n"
    b"wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n"
)


# What sources say beside their lists.


def _read_signature(content: bytes, _: Path) -> bool:
    try:
        parse(content)
    except BadSignature:
        return False
    return True


def _checksums() -> list[bytes]:
    return [b"0" * 64 + b"  list.txt\n" + b"1" * 64 + b" *other\n", b"SHA256 (list.txt) = " + b"a" * 64 + b"\n"]


def _read_checksum(content: bytes, _: Path) -> bool:
    found = published_checksum(content, "list.txt")
    assert found is None or len(found) == 64
    return found is not None


class _Answers:
    """What a client got from a source: one document, then empty ones."""

    def __init__(self, content: bytes) -> None:
        self._answers = itertools.chain([content], itertools.repeat(b"{}"))

    async def document(self, *_: object, **__: object) -> bytes:
        return next(self._answers)


def _asked(content: bytes, ask: Callable[[FetchClient], Coroutine[Any, Any, object]]) -> bool:
    """Whether `ask` can use the document. `feeds.fetch.client.client` makes a `FeedError` of all that is caught here."""
    coroutine = ask(cast("FetchClient", _Answers(content)))
    try:
        coroutine.send(None)
    except StopIteration:
        return True
    except (FeedError, ValueError, RecursionError):
        return False
    raise AssertionError("it waits for something else")


_TAXII: Final = Feed(name="fuzz", url="taxii+https://a.test/api/collections/x/", max_bytes=MAX_BYTES)
_MISP: Final = Feed(name="fuzz", url="misp+https://a.test/", max_bytes=MAX_BYTES)
_SEARCH: Final = Feed(name="fuzz", url="misp-api+https://a.test/?type=domain", max_bytes=MAX_BYTES)
_UUID: Final = "5c5b4c12-1234-4123-8123-123456789abc"


def _pages() -> list[bytes]:
    stix = {
        "type": "indicator",
        "id": f"indicator--{_UUID}",
        "modified": "2026-01-01T00:00:00Z",
        "pattern": "[domain-name:value = 'a.test']",
    }
    return [
        json.dumps(page).encode()
        for page in ({"objects": [stix, stix | {"revoked": True}]}, {"more": True, "next": "1", "objects": [stix]})
    ]


def _manifest_of_events() -> list[bytes]:
    return [json.dumps({_UUID: {"timestamp": "1700000000", "info": "x"}}).encode()]


def _events() -> list[bytes]:
    attribute = {"type": "domain", "value": "a.test", "to_ids": True, "uuid": _UUID}
    return [json.dumps({"Event": {"uuid": _UUID, "timestamp": "1", "info": "x", "Attribute": [attribute]}}).encode()]


def _found() -> list[bytes]:
    attribute = {"uuid": _UUID, "event_id": "1", "type": "domain", "value": "a.test", "Event": {"id": "1", "info": "x"}}
    return [json.dumps({"response": {"Attribute": [attribute, attribute]}}).encode(), b'{"response":[]}']


# DNS messages.


_SOA_5, _SOA_6 = (f"rpz.test. 60 IN SOA . . {serial} 60 60 60 60" for serial in (5, 6))
_RECORDS = (
    "a.test.rpz.test. 60 IN CNAME .",
    "*.b.test.rpz.test. 60 IN CNAME rpz-passthru.",
    '32.8.8.8.8.rpz-ip.rpz.test. 60 IN TXT "x"',
)
_SIGNED_NOTIFY = bytes.fromhex(  # by a key that is not known
    "0001240000010000000000010372707a04746573740000060001036b65790000fa00ff00000000003d0b686d61632d73686132"
    "35360000006b0beb31012c0020059289ef1c03bf27f5cb00b065922e48d7e04d00adc128218b29443044de094f000100000000"
)
_HEAD_OF_ZONE = b"$ORIGIN rpz.test.\n$TTL 60\na.test.rpz.test. IN CNAME .\nrpz.test. IN SOA . . 5 60 60 60 60\n"


def _message(rdtype: dns.rdatatype.RdataType, *records: str) -> bytes:
    response = dns.message.make_response(dns.message.make_query(ZONE, rdtype, id=1))
    for record in records:
        name, ttl, rdclass, kind, data = record.split(" ", 4)
        response.answer.append(dns.rrset.from_text(name, int(ttl), rdclass, kind, data))
    return response.to_wire(max_size=65535)


def _transfers() -> list[bytes]:
    axfr, ixfr = dns.rdatatype.AXFR, dns.rdatatype.IXFR
    return [
        _message(axfr, _SOA_6, *_RECORDS, _SOA_6),
        _message(ixfr, _SOA_6, _SOA_5, _RECORDS[0], _SOA_6, *_RECORDS[1:], _SOA_6),
        _message(ixfr, _SOA_6, *_RECORDS, _SOA_6),
        _message(ixfr, _SOA_5),
    ]


def _read_transfer(content: bytes, directory: Path) -> bool:
    """As `feeds.fetch.zone` has it transferred, asked for the whole and for what changed; what comes of it is read as a list."""
    listed = [_transferred(content, directory, serial) for serial in (None, 5)]
    return any(listed)


def _transferred(content: bytes, directory: Path, serial: int | None) -> bool:
    feed = Feed(name="fuzz", url="file:///fuzz", format="rpz", max_bytes=MAX_BYTES, addresses=True)
    before, into = directory / "before", directory / "zone"
    before.write_bytes(_HEAD_OF_ZONE)
    rdtype = dns.rdatatype.AXFR if serial is None else dns.rdatatype.IXFR
    try:
        with Candidate(into, "fuzz", MAX_BYTES) as candidate:
            zone = _Inbound(feed, parse_zone(f"axfr://{PRIMARY}/rpz.test"), candidate)
            with dns.xfr.Inbound(zone, rdtype, serial) as inbound:
                response = dns.message.from_wire(content, xfr=True, multi=True, one_rr_per_rrset=serial is not None)
                done = inbound.process_message(response)
            if zone.state is not None and zone.changes is not None:
                for piece in zone.changes.applied_to(before, zone.origin):
                    candidate.write(piece)
                candidate.write(zone.soa)
        if not done or zone.state is None:
            return False
        parse_feed(into, feed)
    except (dns.exception.DNSException, FeedError, Inconsistent):
        return False
    return True


def _notifies() -> list[bytes]:
    sound = dns.message.make_query(ZONE, dns.rdatatype.SOA, id=1)
    sound.flags = 0x2400
    return [sound.to_wire(), _SIGNED_NOTIFY, dns.message.make_query("other.test", "A", id=1).to_wire()]


def _read_notify(content: bytes, _: Path) -> bool:
    heard: list[str] = []
    listener = _listener(heard)
    answer = listener.answer(content, PRIMARY)
    assert answer is None or len(answer) >= 12
    return bool(heard)


def _listener(heard: list[str]) -> NotifyListener:
    listener = NotifyListener(heard.append)
    config = Config(upstream=Upstream(servers=(PRIMARY,)), feed=(Feed(name="a", url=f"axfr://{PRIMARY}/rpz.test", format="rpz"),))
    with suppress(StopIteration):
        listener.configure(config).send(None)
    return listener


SOURCES: Final[dict[str, FileTarget]] = {
    "minisign": FileTarget(lambda: [SIGNATURE], _read_signature),
    "checksum": FileTarget(_checksums, _read_checksum),
    "TAXII page": FileTarget(_pages, lambda content, _: _asked(content, lambda asking: taxii._ask(_TAXII, asking, ""))),
    "MISP manifest": FileTarget(
        _manifest_of_events, lambda content, _: _asked(content, lambda asking: misp._manifest(_MISP, asking, misp._base(_MISP)))
    ),
    "MISP event": FileTarget(
        _events,
        lambda content, _: _asked(content, lambda asking: misp._event(_MISP, asking, misp._base(_MISP), _UUID, MAX_BYTES)),
    ),
    "MISP search": FileTarget(_found, lambda content, _: _asked(content, lambda asking: misp._search(_SEARCH, asking))),
    "zone transfer": FileTarget(_transfers, _read_transfer, packets=True),
    "NOTIFY": FileTarget(_notifies, _read_notify, packets=True),
}  # fmt: skip
