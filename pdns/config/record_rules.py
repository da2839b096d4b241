"""Rules for local records: those of `[[record]]`, and those of hosts files and zone files."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from pdns.config.hosts_file import BadLine, Host, read_hosts
from pdns.config.rdata_text import MAX_RDATA_BYTES, TYPES, name_of, rdata_of, text_rdata, words_of
from pdns.config.record_table import Origin, Rrset, build, empty_nonterminals, is_wildcard, wildcard_of
from pdns.config.schema import LoadedRecords, Local, Record
from pdns.config.shape import Report, show
from pdns.config.zone_file import DEFAULT_TTL_S, Skipped, ZoneMistake, ZoneRecord, read_zone
from pdns.errors import InvalidName, InvalidRecord
from pdns.files.file_version import version_of
from pdns.files.safe_files import read_bounded
from pdns.wire import names
from pdns.wire import protocol as p

MAX_RECORDS: Final = 100_000  # without the PTR records that are made here
MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_NAME_BYTES: Final = 256 * 1024 * 1024  # of all names, each with all that are above it
MAX_AT_ONE_NAME: Final = 1000
MAX_CHAIN: Final = 16  # CNAME records one after the other
MAX_TOLD: Final = 20  # mistakes in one file
_MAX_TYPES: Final = 255  # at one name
_FROM_TABLES: Final = "[[record]]"
_NAME: Final = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_LOCALHOST: Final = names.from_text("localhost")
_TOO_MANY: Final = f"more than {MAX_RECORDS:,} local records: a list of names to block belongs in [[feed]]"
_SHOWN_TYPES: Final = {number: name for name, number in TYPES.items()}
_TEXTS: Final = {"a": p.A, "aaaa": p.AAAA, "mx": p.MX, "txt": p.TXT, "srv": p.SRV, "https": p.HTTPS}


class Place(NamedTuple):
    """Where a record is written."""

    source: int
    line: int  # of the file; of `[[record]]` the number of the table


class GivenRecord(NamedTuple):
    """One record."""

    rtype: int
    ttl_s: int
    rdata: bytes
    place: Place


class _TooManyError(Exception):
    pass


def bounded(tables: Mapping[str, Any], report: Report) -> Mapping[str, Any]:
    """`tables`; without the `[[record]]`, after reporting it, if there are too many to look at each."""
    records = tables.get("record")
    if isinstance(records, list | tuple) and len(records) > MAX_RECORDS:
        report.add("record", f"{_TOO_MANY}, got {len(records):,}")
        return {**tables, "record": []}
    return tables


def settle_records(records: tuple[Record, ...], report: Report) -> tuple[Record, ...]:
    """`records` in canonical form. Reports broken rules."""
    taken: dict[bytes, int] = {}
    settled = []
    for index, record in enumerate(records):
        key = f"record[{index}]"
        try:
            name = _owner(record.name)
        except InvalidRecord as error:
            report.add(f"{key}.name", f"{error.reason}, got {show(record.name)}")
            continue
        if (first := taken.setdefault(name, index)) != index:
            report.add(f"{key}.name", f'"{names.to_text(name)}" is already record[{first}]: put its data there')
        canonical = replace(
            record,
            name=_spelt(name),
            a=tuple(map(_address, record.a)),
            aaaa=tuple(map(_address, record.aaaa)),
            cname=_target(f"{key}.cname", record.cname, report) if record.cname else "",
            ptr=record.ptr
            if isinstance(record.ptr, bool)
            else tuple(_target(f"{key}.ptr[{at}]", text, report) for at, text in enumerate(record.ptr)),
        )
        found = sum(1 for _ in _of_table(canonical, index, report))
        if record.cname and found > 1:
            report.add(f"{key}.cname", f'"{canonical.name}" has other data as well: a CNAME record stands alone')
            canonical = replace(canonical, cname="")
        if not found and not any(error.key.startswith(f"{key}.") for error in report.errors):
            report.add(key, f'"{canonical.name}" has no data: give it a, aaaa, cname, mx, txt, srv or https')
        settled.append(canonical)
    return tuple(settled)


def load_records(records: Sequence[Record], local: Local | None, report: Report) -> LoadedRecords | UnsetType:
    """All local records, of settled sections: UNSET when there are none. Reports what is wrong with them and with their files."""
    if local is None or not (records or local.hosts_files or local.zone_files):
        return UNSET
    made = _Collection(report)
    try:
        for index, record in enumerate(records):
            name = names.from_text(record.name)
            for rtype, rdata in _of_table(record, index, Report(report.file)):  # its errors are reported already
                made.add(name, GivenRecord(rtype, record.ttl_s, rdata, Place(0, index)), pointer=record.ptr is True)
        for index, path in enumerate(local.hosts_files):
            made.read_hosts_file(f"local.hosts_files[{index}]", path)
        for index, path in enumerate(local.zone_files):
            made.read_zone_file(f"local.zone_files[{index}]", path)
    except _TooManyError:
        return UNSET
    return made.settled()


def _owner(text: str) -> bytes:
    """The name of a `[[record]]`. Raises `InvalidRecord`."""
    try:
        name = names.from_text(text)
    except InvalidName as error:
        raise InvalidRecord(f"expected a domain name ({error.reason})") from None
    spelt = names.to_text(name)
    if (reason := _reserved(name)) is not None:
        raise InvalidRecord(reason)
    if "\\" not in text and not _NAME.fullmatch(spelt):
        raise InvalidRecord('expected a domain name, or "*." and a domain name')
    if spelt.rpartition(".")[2].isdigit():
        raise InvalidRecord("expected a domain name, not an address")
    return name


def _spelt(name: bytes) -> str:
    """In canonical text. An asterisk that is no wildcard has to be escaped."""
    text = names.to_text(name)
    return text[:2] + text[2:].replace("*", "\\*")


def _reserved(name: bytes) -> str | None:
    """Why there can be no records at `name`."""
    if name == names.ROOT or name == wildcard_of(names.ROOT):
        return "expected a name below the root: this one would be every name"
    if names.is_at_or_below(name, _LOCALHOST):
        return "localhost has its own addresses (RFC 6761)"
    return None


def _address(text: str) -> str:
    """In canonical spelling, if it is one."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def _target(key: str, text: str, report: Report) -> str:
    try:
        return names.to_text(name_of(text, names.from_text))
    except InvalidRecord as error:
        report.add(key, error.reason)
        return ""


def _of_table(record: Record, index: int, report: Report) -> Iterator[tuple[int, bytes]]:
    """The valid records of a settled table: types and RDATA. Reports the others."""
    key = f"record[{index}]"
    for field, rtype in _TEXTS.items():
        for at, text in enumerate(getattr(record, field)):
            try:
                rdata = text_rdata(text) if rtype == p.TXT else rdata_of(rtype, words_of(text), names.from_text)
            except InvalidRecord as error:
                report.add(f"{key}.{field}[{at}]", error.reason)
            else:
                yield rtype, rdata
    for text in record.ptr if isinstance(record.ptr, tuple) else ():
        if text:
            yield p.PTR, names.from_text(text)
    if record.cname:
        yield p.CNAME, names.from_text(record.cname)


class _Collection:
    def __init__(self, report: Report) -> None:
        self._report = report
        self._entries: dict[bytes, list[GivenRecord]] = {}
        self._pointers: dict[bytes, tuple[bytes, GivenRecord]] = {}  # address -> the first name that has it
        self._sources = [_FROM_TABLES]
        self._keys = ["record"]
        self._versions: dict[str, tuple[int, ...]] = {}
        self._notes: list[str] = []
        self._known: set[tuple[bytes, int, bytes]] = set()
        self._name_bytes = 0

    def add(self, name: bytes, entry: GivenRecord, *, pointer: bool) -> None:
        """Raises `_TooManyError`, after reporting it."""
        if (name, entry.rtype, entry.rdata) in self._known:
            return  # RFC 2181, 5
        entries = self._entries.setdefault(name, [])
        if not entries:
            self._name_bytes += sum(map(len, names.ancestors(name)))
            if self._name_bytes > MAX_NAME_BYTES:
                self._add_error(entry.place, "the names of all local records together have too many labels")
                raise _TooManyError
        if len(entries) == MAX_AT_ONE_NAME:
            self._add_error(entry.place, f'"{names.to_text(name)}" has more than {MAX_AT_ONE_NAME:,} records')
            raise _TooManyError
        if len(self._known) == MAX_RECORDS:
            self._add_error(entry.place, _TOO_MANY)
            raise _TooManyError
        self._known.add((name, entry.rtype, entry.rdata))
        entries.append(entry)
        if pointer and entry.rtype in (p.A, p.AAAA) and not is_wildcard(name):
            self._pointers.setdefault(entry.rdata, (name, entry))

    def read_hosts_file(self, key: str, path: str) -> None:
        """A line that is not valid is left out, and noted. A file with more of them than of others is refused."""
        content = self._read(key, path)
        if content is None:
            return
        source = self._source(key, path)
        good, bad = 0, list[BadLine]()
        bad_count = 0
        for one in read_hosts(content):
            if isinstance(one, Host):
                good += 1
                rtype = p.A if len(one.address) == 4 else p.AAAA
                self.add(one.name, GivenRecord(rtype, DEFAULT_TTL_S, one.address, Place(source, one.line)), pointer=one.first)
            else:
                bad_count += 1
                if len(bad) < MAX_TOLD:
                    bad.append(one)
        if bad_count > good:
            self._report.add(key, f"{path}: not a hosts file: line {bad[0].line}: {bad[0].reason}")
            return
        self._notes += [f"{path}: line {line}: {reason}: left out" for line, reason in bad]
        if bad_count > len(bad):
            self._notes.append(f"{path}: {bad_count - len(bad):,} more lines or names are left out")

    def read_zone_file(self, key: str, path: str) -> None:
        """A mistake is an error: records depend on the lines before them."""
        content = self._read(key, path)
        if content is None:
            return
        source = self._source(key, path)
        signatures = mistakes = 0
        for one in read_zone(content):
            if isinstance(one, Skipped):
                signatures += 1
            elif (reason := one.reason if isinstance(one, ZoneMistake) else _reserved(one.name)) is not None:
                mistakes += 1
                if mistakes <= MAX_TOLD:
                    self._report.add(key, f"{path}: line {one.line}: {reason}")
            elif isinstance(one, ZoneRecord):
                self.add(one.name, GivenRecord(one.rtype, one.ttl_s, one.rdata, Place(source, one.line)), pointer=True)
        if mistakes > MAX_TOLD:
            self._report.add(key, f"{path}: {mistakes - MAX_TOLD:,} more mistakes")
        if signatures:
            self._notes.append(f"{path}: {signatures:,} DNSSEC records are left out: answers from here are not signed")

    def settled(self) -> LoadedRecords | UnsetType:
        """Everything as one value; UNSET after reporting why it cannot be."""
        self._point_back()
        self._check()
        if self._report.errors:
            return UNSET
        table = build({name: Origin(entries[0].place.source, _rrsets(entries)) for name, entries in self._entries.items()})
        return LoadedRecords(
            table=table, sources=tuple(self._sources), versions=self._versions, notes=tuple(self._notes)
        )  # fmt: skip

    def _read(self, key: str, path: str) -> bytes | None:
        self._versions[path] = version_of(path)
        try:
            return read_bounded(Path(path), MAX_FILE_BYTES, follow_links=True)
        except OSError as error:
            self._report.add(key, f"{path}: cannot be read: {error.strerror}")
            return None

    def _source(self, key: str, path: str) -> int:
        self._sources.append(path)
        self._keys.append(key)
        return len(self._sources) - 1

    def _add_error(self, place: Place, reason: str) -> None:
        if place.source == 0:
            self._report.add(f"record[{place.line}]", reason)
        else:
            self._report.add(self._keys[place.source], f"{self._sources[place.source]}: line {place.line}: {reason}")

    def _where(self, place: Place) -> str:
        return f"record[{place.line}]" if place.source == 0 else f"{self._sources[place.source]}: line {place.line}"

    def _point_back(self) -> None:
        """PTR records of addresses whose reverse name has no records of its own."""
        for packed, (name, entry) in self._pointers.items():
            address = ipaddress.ip_address(packed)
            if not (address.is_loopback or address.is_unspecified or address.is_multicast):
                reverse = names.from_text(address.reverse_pointer)
                if reverse not in self._entries:
                    self._entries[reverse] = [GivenRecord(p.PTR, entry.ttl_s, name, entry.place)]

    def _check(self) -> None:
        aliases = {}
        for name, entries in self._entries.items():
            if any(entry.rtype == p.CNAME for entry in entries):
                aliases[name] = next(entry for entry in entries if entry.rtype == p.CNAME)
                if len(entries) > 1:
                    places = " and ".join(dict.fromkeys(self._where(entry.place) for entry in entries[:-1]))
                    reason = f'"{names.to_text(name)}" has a CNAME record and other data ({places}): a CNAME record stands alone'
                    self._add_error(entries[-1].place, reason)
            self._check_sizes(name, entries)
        if aliases:
            existing = {*self._entries, *empty_nonterminals(self._entries)}
            for name in aliases:
                if not self._check_chain(name, aliases, existing):
                    return

    def _check_sizes(self, name: bytes, entries: list[GivenRecord]) -> None:
        sizes: dict[int, int] = {}
        owner_bytes = names.MAX_NAME_BYTES if is_wildcard(name) else len(name)  # an alias may lead to any name that it covers
        for entry in entries:
            sizes[entry.rtype] = sizes.get(entry.rtype, 0) + owner_bytes + 10 + len(entry.rdata)
            if sizes[entry.rtype] > 2 * MAX_RDATA_BYTES:
                kind = _SHOWN_TYPES.get(entry.rtype, f"TYPE{entry.rtype}")
                self._add_error(entry.place, f'"{names.to_text(name)}" has more {kind} records than fit into a message')
                return
        if len(sizes) > _MAX_TYPES:
            self._add_error(entries[-1].place, f'"{names.to_text(name)}" has records of more than {_MAX_TYPES} types')

    def _check_chain(self, name: bytes, aliases: Mapping[bytes, GivenRecord], existing: set[bytes]) -> bool:
        """Reports a chain that comes back to `name`, or is too long, and returns False then."""
        chain = [name]
        while (at := _answering(aliases[chain[-1]].rdata, aliases, existing)) is not None:
            if at == name:
                what = "a loop of CNAME records"
            elif at in chain:
                return True  # it is reported at its own names
            elif len(chain) == MAX_CHAIN:
                what = f"more than {MAX_CHAIN} CNAME records one after the other"
            else:
                chain.append(at)
                continue
            self._add_error(aliases[name].place, f"{what}: {' -> '.join(map(names.to_text, [*chain[:4], at]))}")
            return False
        return True


def _answering(target: bytes, aliases: Mapping[bytes, GivenRecord], existing: set[bytes]) -> bytes | None:
    """The name whose CNAME record answers for `target`, after RFC 4592."""
    if target in existing:
        return target if target in aliases else None
    encloser = next((above for above in names.ancestors(target) if above in existing), None)
    return None if encloser is None or wildcard_of(encloser) not in aliases else wildcard_of(encloser)


def _rrsets(entries: list[GivenRecord]) -> list[Rrset]:
    """The records of a name by type; an RRset has the lowest of its TTLs (RFC 2181, 5.2)."""
    by_type: dict[int, list[GivenRecord]] = {}
    for entry in entries:
        by_type.setdefault(entry.rtype, []).append(entry)
    return [
        Rrset(rtype, min(entry.ttl_s for entry in found), tuple(entry.rdata for entry in found))
        for rtype, found in by_type.items()
    ]
