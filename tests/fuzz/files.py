"""Everything else that is read and that somebody may have written for us: state files, requests, answers of sources, messages.

`TARGETS` has, for each, sound examples and what reads one input as the program does. An input is read or refused as its reader
says that it may be; any other exception is a finding.
"""

from __future__ import annotations

import itertools
import json
import random
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.xfr
import msgspec

from feeds.entries import DamagedEntries, Entries, whole, write_entries
from feeds.fetch import Validators, misp, taxii
from feeds.fetch.candidate import Candidate
from feeds.fetch.client import FetchClient
from feeds.fetch.minisign import BadSignature, parse
from feeds.fetch.verify import published_checksum
from feeds.fetch.zone import _Inbound
from feeds.fetch.zone_text import Inconsistent
from feeds.notify import NotifyListener
from feeds.parse import parse_feed
from feeds.popular import popular_keys
from feeds.quarantine import RECORD as HOLD_RECORD
from feeds.quarantine import Quarantine, QuarantineRecord
from feeds.store import RECORD, Copy, FeedStore, Reading
from pdns.blockset.reader import Blockset
from pdns.config.addresses import parse_zone
from pdns.config.load import load
from pdns.config.schema import Config, Feed, Upstream
from pdns.errors import BlocksetError, ConfigError, FeedError
from pdns.state import commands, feed_hits, feed_status, in_force, overrides
from pdns.state.commands import Command, CommandError
from pdns.state.overrides import Disabled, Indicator, Overrides
from tests.blocksets import write_all
from tests.fuzz.mutate import Mutator, landmarks

NOW_S: Final = 1_800_000_000.0
MAX_BYTES: Final = 1 << 20
MAX_CONFIGURATION_BYTES: Final = 4096  # it is the administrator's own, and tomllib takes long for a long key with many dots
ZONE: Final = dns.name.from_text("rpz.test.")
PRIMARY: Final = "127.0.0.1"
SIGNATURE: Final = (
    b"untrusted comment: signature from minisign secret key\n"
    b"RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n"
    b"trusted comment: timestamp:1633700835\tfile:test\tprehashed\n"
    b"wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n"
)


class FileTarget(NamedTuple):
    """`examples` are sound; `read` says whether it took an input, and may use the directory. `packets`: they are DNS messages."""

    examples: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], bool]
    packets: bool = False


def inputs(target: str, seed: int, count: int) -> Iterator[bytes]:
    """So many for one target: its examples, and those changed, cut, repeated and put together; the same for the same seed."""
    from tests.fuzz.lists import Mutant  # noqa: PLC0415 - it has these targets beside its own

    examples = TARGETS[target].examples()
    if TARGETS[target].packets:
        packets, draw = Mutator(examples, seed), random.Random(seed)
        yield from examples
        for _ in range(count - len(examples)):
            example = draw.choice(examples)
            yield packets.broken(example, landmarks(example))
        return
    yield from itertools.islice(Mutant(seed).around(examples), count)


# Requests and state files.


def _orders() -> list[bytes]:
    return [
        msgspec.json.encode(Command(command="block", user="x", name="bad.test", reason="a reason", for_s=3600.0)),
        msgspec.json.encode(Command(command="release", user="x", feed="a", all=True, kind="order", category="malware")),
        b'{"command":"disable","user":"x","feed":"a","reason":"\\u202e","for_s":1e308}',
    ]


def _read_order(content: bytes, directory: Path) -> bool:
    path = directory / "1-1-1.order"
    path.write_bytes(content)
    try:
        order = commands.read(path)
        commands.showable(order)
        commands.checked(order)
    except (CommandError, OSError):  # OSError: it is too long
        return False
    return True


def _overrides() -> list[bytes]:
    indicators = (
        Indicator(name="*.a.test", action="block", reason="r", author="x", added_s=NOW_S),
        Indicator(name="b.test", action="allow", reason="=1+1", author="x", added_s=NOW_S, expires_s=NOW_S + 60),
    )
    disabled = {"a": Disabled(reason="r", author="x", since_s=NOW_S, until_s=NOW_S + 60)}
    return [msgspec.json.encode(Overrides(disabled=disabled, indicators=indicators, revision=7)), b"{}"]


def _read_overrides(content: bytes, directory: Path) -> bool:
    (directory / overrides.FILE_NAME).write_bytes(content)
    try:
        read = overrides.read(directory)
    except msgspec.DecodeError:
        return False
    read.rules(NOW_S)
    read.next_end_s(NOW_S)
    overrides.as_csv(read.indicators)
    return True


def _status() -> list[bytes]:
    feed = feed_status.FeedStatus(
        url="https://a.test/", category="malware", mode="block", required=True, last_error="x", results={"error": 1},
        held_names=feed_status.HeldNames(held=1, names={"a.test": "popular"}),
        odd={"url": feed_status.SkippedLines(count=1, examples=["x"])},
    )  # fmt: skip
    return [msgspec.json.encode(feed_status.FeedsStatus(written_s=NOW_S, generation=3, feeds={"a": feed}))]


def _read_status(content: bytes, directory: Path) -> bool:
    (directory / feed_status.FILE_NAME).write_bytes(content)
    return feed_status.read(directory) is not None


def _hits() -> list[bytes]:
    return [
        msgspec.msgpack.encode(
            feed_hits.Hits(since_s=1.0, written_s=2.0, feeds={"a": feed_hits.FeedHits(1, 1)}, names={2**60: 20_000})
        )
    ]


def _read_hits(content: bytes, directory: Path) -> bool:
    (directory / feed_hits.FILE_NAME).write_bytes(content)
    read = feed_hits.read(directory)
    book = feed_hits.HitBook(directory, NOW_S)
    book.saw([1, 2], NOW_S)
    book.state([], NOW_S)
    return read is not None


def _in_force() -> list[bytes]:
    return [msgspec.json.encode(in_force.InForce(overrides=5, generation=6))]


def _read_in_force(content: bytes, directory: Path) -> bool:
    (directory / in_force.FILE_NAME).write_bytes(content)
    return in_force.read(directory) != in_force.InForce()


def _copy() -> Copy:
    reading = Reading(source="s", reader="r", parsed="p.parsed", format="hosts", lines=1, entries=1, addresses=0)
    return Copy(
        url="https://a.test/", raw="raw", sha256="0" * 64, size_bytes=3, validators=Validators(etag='"x"'), last_success_s=NOW_S,
        last_changed_s=NOW_S, reading=reading,
    )  # fmt: skip


def _read_copy(content: bytes, directory: Path) -> bool:
    (directory / "raw").write_bytes(b"abc")
    (directory / RECORD).write_bytes(content)
    return FeedStore(directory).load() is not None


def _holds() -> list[bytes]:
    return [msgspec.json.encode(QuarantineRecord(url="https://a.test/", frozen="x", released=("0" * 64,)))]


def _read_hold(content: bytes, directory: Path) -> bool:
    (directory / HOLD_RECORD).write_bytes(content)
    hold = Quarantine(FeedStore(directory), "https://a.test/")
    return bool(hold.frozen or hold.names_fingerprint or hold.usual)


def _entries_file() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        raw, out = Path(directory, "raw"), Path(directory, "out")
        raw.write_text("a.test\nb.a.test\n*.c.test\n8.8.8.8\n")
        write_entries(out, parse_feed(raw, Feed(name="x", url="file:///x", addresses=True, format="domains")), None, 1, 1)
        return out.read_bytes()


def _read_entries(content: bytes, directory: Path) -> bool:
    path = directory / "entries"
    path.write_bytes(content)
    try:
        entries = Entries(path)
        whole(entries)
        entries.gone()
    except DamagedEntries:
        return False
    return True


def _blockset(directory: Path) -> None:
    write_all(
        directory, generation=1, created_s=1.0, feeds=[], names={b"\4test\1a": 0}, networks={b"\x08\x08\x08\x08\x20": 0},
        combinations=[[]],
    )  # fmt: skip


def _manifests() -> list[bytes]:
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory, "blockset")
        _blockset(place)
        return [(place / "manifest.json").read_bytes()]


def _read_manifest(content: bytes, directory: Path) -> bool:
    place = directory / "blockset"
    if not place.is_dir():
        _blockset(place)
    (place / "manifest.json").write_bytes(content)
    try:
        Blockset.open(place)
    except BlocksetError:
        return False
    return True


def _configurations() -> list[bytes]:
    tables = (
        b'[upstream]\nservers = ["192.0.2.1", "tls://192.0.2.2#dns.test"]\n\n[[feed]]\nname = "a"\nurl = "https://a.test/list"\n'
        b'category = "malware"\n\n[[tenant]]\nname = "t"\nnetworks = ["10.0.0.0/8"]\n\n[block]\nallow = ["b.test"]\n'
    )
    return [tables]


def _read_configuration(content: bytes, directory: Path) -> bool:
    path = directory / "pdns.toml"
    path.write_bytes(content[:MAX_CONFIGURATION_BYTES])
    try:
        load(path)
    except ConfigError:
        return False
    return True


def _read_popular(content: bytes, directory: Path) -> bool:
    path = directory / "popular"
    path.write_bytes(content)
    keys = popular_keys(path)
    assert all(0 < len(key) <= 259 for key in keys)
    return bool(keys)


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


TARGETS: Final[dict[str, FileTarget]] = {
    "order": FileTarget(_orders, _read_order),
    "overrides": FileTarget(_overrides, _read_overrides),
    "feed status": FileTarget(_status, _read_status),
    "hits": FileTarget(_hits, _read_hits),
    "in force": FileTarget(_in_force, _read_in_force),
    "copy record": FileTarget(lambda: [msgspec.json.encode(_copy())], _read_copy),
    "hold record": FileTarget(_holds, _read_hold),
    "entries": FileTarget(lambda: [_entries_file()], _read_entries),
    "manifest": FileTarget(_manifests, _read_manifest),
    "configuration": FileTarget(_configurations, _read_configuration),
    "popularity": FileTarget(lambda: [b"1,google.com\n2,example.org\nexample.net\n"], _read_popular),
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
