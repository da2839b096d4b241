"""Everything else that is read and that somebody may have written for us: state files, requests, answers of sources, messages.

`TARGETS` has, for each, sound examples and what reads one input as the program does. An input is read or refused as its reader
says that it may be; any other exception is a finding.
"""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from feeds.entries import DamagedEntries, Entries, whole, write_entries
from feeds.fetch import Validators
from feeds.parse import parse_feed
from feeds.popular import popular_keys
from feeds.quarantine import RECORD as HOLD_RECORD
from feeds.quarantine import Quarantine, QuarantineRecord
from feeds.store import RECORD, Copy, FeedStore, Reading
from pdns.blockset.reader import Blockset
from pdns.config.load import load
from pdns.config.schema import Config, Feed, Upstream
from pdns.errors import BlocksetError, ConfigError, WireError
from pdns.fast import proxy_header as compiled_proxy_header
from pdns.files.records import DamagedError
from pdns.state import commands, feed_hits, feed_status, in_force, live_config, overrides
from pdns.state.commands import Command, CommandError
from pdns.state.overrides import Disabled, Indicator, Overrides
from pdns.wire import proxy_header
from tests.blocksets import write_all
from tests.fuzz.mutate import Mutator, landmarks
from tests.fuzz.nametables import NAME_TABLES
from tests.fuzz.recordfiles import RECORD_FILES
from tests.fuzz.sources import SOURCES
from tests.fuzz.target import FileTarget
from tests.proxied import header, tlv

NOW_S: Final = 1_800_000_000.0
MAX_CONFIGURATION_BYTES: Final = 4096  # it is the administrator's own, and tomllib takes long for a long key with many dots


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


def _commands() -> list[bytes]:
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


def _live() -> list[bytes]:
    config = Config(
        upstream=Upstream(servers=("192.0.2.1",)), feed=(Feed(name="a", url="https://a.test/list", category="malware"),)
    )
    with tempfile.TemporaryDirectory() as directory:
        live_config.write(Path(directory), Path("/etc/pdns/pdns.toml"), config)
        return [Path(directory, live_config.FILE_NAME).read_bytes()]


def _read_live(content: bytes, directory: Path) -> bool:
    (directory / live_config.FILE_NAME).write_bytes(content)
    try:
        live_config.read(directory)
    except DamagedError:
        return False
    return True


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


_ZONE = "@ SOA . . 1 1 1 1 1\na.test CNAME .\nb.test A 192.0.2.1\n32.1.2.0.192.rpz-client-ip CNAME rpz-drop.\n"


def _entries_file(*, zone: bool = False) -> bytes:
    feed = Feed(name="x", url="file:///x", addresses=True, format="domains")
    if zone:
        feed = Feed(name="x", url="file:///x", addresses=True, format="rpz", rpz_action="given")
    with tempfile.TemporaryDirectory() as directory:
        raw, out = Path(directory, "raw"), Path(directory, "out")
        raw.write_text(_ZONE if zone else "a.test\nb.a.test\n*.c.test\n8.8.8.8\n")
        write_entries(out, parse_feed(raw, feed), None, 1, 1)
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


# What load balancers say.


def _headers() -> list[bytes]:
    tlvs = tlv(1, b"dns") + tlv(0x20, b"\1\0\0\0\0" + tlv(0x21, b"TLSv1.3"))
    return [
        header("198.51.100.7") + bytes(12),
        header("2001:db8::7", means=1, tlvs=tlvs, checksum=True),
        header("::ffff:198.51.100.7", tlvs=tlv(4, bytes(40))),
        header(),
    ]


def _outcome(parse: Callable[[bytes], proxy_header.ProxyHeader], content: bytes) -> proxy_header.ProxyHeader | str:
    try:
        return parse(content)
    except WireError as error:
        return error.reason


def _read_header(content: bytes, _: Path) -> bool:
    """As from a datagram, by both parsers, and as from a connection, byte by byte."""
    read = _outcome(proxy_header.parse_header, content)
    assert _outcome(compiled_proxy_header.parse_header, content) == read
    if isinstance(read, str):
        assert read in proxy_header.REASONS
        return False
    assert {proxy_header.header_bytes(content[:count]) for count in range(read.size + 1)} == {0, read.size}
    return True


TARGETS: Final[dict[str, FileTarget]] = {
    "order": FileTarget(_commands, _read_order),
    "overrides": FileTarget(_overrides, _read_overrides),
    "feed status": FileTarget(_status, _read_status),
    "hits": FileTarget(_hits, _read_hits),
    "in force": FileTarget(_in_force, _read_in_force),
    "live configuration": FileTarget(_live, _read_live),
    "copy record": FileTarget(lambda: [msgspec.json.encode(_copy())], _read_copy),
    "hold record": FileTarget(_holds, _read_hold),
    "entries": FileTarget(lambda: [_entries_file(), _entries_file(zone=True)], _read_entries),
    "manifest": FileTarget(_manifests, _read_manifest),
    "configuration": FileTarget(_configurations, _read_configuration),
    "popularity": FileTarget(lambda: [b"1,google.com\n2,example.org\nexample.net\n"], _read_popular),
    "PROXY header": FileTarget(_headers, _read_header),
    **RECORD_FILES,
    **NAME_TABLES,
    **SOURCES,
}
