"""Response policy zones (draft-vixie-dnsop-dns-rpz) as zone files: the part of RFC 1035, 5, that published lists use.

`x CNAME .` is about the name x alone, `*.x CNAME .` about what is below it, up to
names that the zone has there (RFC 4592). `rpz-passthru.`, and a CNAME to the owner itself, make x an exception. Whatever else
a record would answer (NXDOMAIN, NODATA, nothing, other data), x is listed, with that answer if the feed wants what is given.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator

from feeds.formats.collector import Collector
from feeds.formats.rpz_actions import PASSTHRU_ACTION, SPECIAL_TARGETS, action_of
from feeds.normalise import NetworkEntry, Reason, read_entry

_TTL = re.compile(rb"\d+(?:[smhdw]\d*)*", re.IGNORECASE).fullmatch
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"?')
_KEPT = re.compile(rb'"(\d+)"')
_CLASSES = frozenset((b"IN", b"CH", b"HS"))
_TYPE = re.compile(rb"[A-Z][A-Z0-9-]*").fullmatch
_INFRASTRUCTURE = frozenset(
    (b"SOA", b"NS", b"RRSIG", b"NSEC", b"NSEC3", b"NSEC3PARAM", b"DNSKEY", b"DS", b"ZONEMD", b"CDS", b"CDNSKEY")
)
_MAX_RECORD_BYTES = 1 << 16
_ADDRESS_TRIGGER = b"rpz-ip"
_NAMESERVER_TRIGGERS = (b"rpz-nsdname", b"rpz-nsip")
_CLIENT_TRIGGER = b"rpz-client-ip"
_PASSTHRU = b"rpz-passthru"
_MAX_QUOTED = 1000  # strings of one record


def read(lines: Iterable[bytes], out: Collector) -> None:
    """Collect every record."""
    zone = _Zone()
    quoted: list[bytes] | None = [] if out.given else None
    for line in _whole_records(lines, quoted):
        words = line.split()
        if not words:
            continue
        if words[0].startswith(b"$"):
            zone.directive(words, out)
            continue
        if line[:1] not in b" \t":
            zone.owner = words.pop(0)
        while words and (_TTL(words[0]) or words[0].upper() in _CLASSES):
            words.pop(0)
        if words and _TYPE(rtype := words[0].upper()):
            _read_record(zone, rtype, words[1:] if not quoted else _restored(words[1:], quoted), out)
        else:
            out.refuse(Reason.UNKNOWN_LINE)
    if not zone.has_soa:
        out.notes.append("no SOA record: this is no whole zone, or not all of it")
    out.stop_wildcards()
    out.carve()


def _whole_records(lines: Iterable[bytes], quoted: list[bytes] | None) -> Iterator[bytes]:
    """Lines without comments and quoted text, those between parentheses joined to the one before. In `quoted` is the quoted text
    of the record, with its number where it stood.
    """
    held: list[bytes] = []
    held_bytes = 0

    def without(found: re.Match[bytes]) -> bytes:
        if quoted is None or len(quoted) >= _MAX_QUOTED:
            return b'""'  # it decides nothing
        quoted.append(found[0])
        return b'"%d"' % (len(quoted) - 1)

    for line in lines:
        if quoted and not held:
            quoted.clear()
        if b'"' in line:
            line = _QUOTED.sub(without, line)  # noqa: PLW2901
        if b";" in line:
            line = line.partition(b";")[0]  # noqa: PLW2901
        if held or b"(" in line:
            held.append(line)
            held_bytes += len(line) + 1
            if b")" not in line and held_bytes <= _MAX_RECORD_BYTES:
                continue
            line = b" ".join(held).replace(b"(", b" ").replace(b")", b" ")  # noqa: PLW2901
            held, held_bytes = [], 0
        yield line
    if held:
        yield b" ".join(held)


def _restored(words: list[bytes], quoted: list[bytes]) -> list[bytes]:
    """`words`, with the text that was quoted in them."""
    return [_KEPT.sub(lambda found: quoted[int(found[1])], word) for word in words]


class _Zone:
    """Where the file is: what relative names end in, and what its own name is. Text in lower case, without the last dot."""

    def __init__(self) -> None:
        self.owner = b"@"
        self.apex: bytes | None = None
        self.has_soa = False
        self._origin: bytes | None = None
        self._unfinished = False  # the names of the file are absolute, but for the final dot

    def directive(self, words: list[bytes], out: Collector) -> None:
        match words[0].upper(), words[1:]:
            case b"$ORIGIN", [name, *_]:
                self._origin = self.absolute(name)
                self.apex = self._origin if self.apex is None else self.apex
            case b"$TTL", _:
                pass
            case _:
                out.refuse(Reason.UNSUPPORTED_RULE)

    def start(self) -> None:
        """The SOA record: its owner is the name of the zone."""
        self.has_soa = True
        self.apex = self.absolute(self.owner)
        if self._origin is None:
            self._origin = self.apex
            self._unfinished = self.owner != b"@" and not self.owner.endswith(b".")

    def absolute(self, name: bytes) -> bytes:
        """A name of the file with what it leaves out."""
        name = name.lower()
        if name == b"@":
            return self._origin or b""
        if name.endswith(b"."):
            return name[:-1]
        if self._unfinished and self.apex and (name == self.apex or name.endswith(b"." + self.apex)):
            return name
        return name + b"." + self._origin if self._origin else name

    def trigger(self) -> bytes | None:
        """The owner without the name of the zone; b"" for the zone itself, None for a name outside it."""
        name = self.absolute(self.owner)
        if not self.apex:
            return name
        if name == self.apex:
            return b""
        return name[: -1 - len(self.apex)] if name.endswith(b"." + self.apex) else None

    def target(self, name: bytes) -> bytes:
        """The target of a CNAME; that of an exception may be written without its last dot."""
        return self.absolute(name) if name.lower() not in SPECIAL_TARGETS else name.lower()


def _read_record(zone: _Zone, rtype: bytes, rdata: list[bytes], out: Collector) -> None:
    if rtype == b"SOA":
        zone.start()
    if rtype in _INFRASTRUCTURE:
        return
    trigger = zone.trigger()
    if trigger is None:
        out.refuse(Reason.OUT_OF_ZONE)
        return
    if not trigger:
        return  # the zone's own data
    target = zone.target(rdata[0]) if rtype == b"CNAME" and rdata else b""
    allow = target != b"" and (target == _PASSTHRU or target in (trigger, zone.target(zone.owner)))
    last = trigger.rpartition(b".")[2]
    if last in _NAMESERVER_TRIGGERS:
        out.refuse(Reason.NAMESERVER_TRIGGER)
        return
    if out.given:
        action = PASSTHRU_ACTION if allow else action_of(rtype, rdata, target, zone.absolute)
        if isinstance(action, Reason):
            out.refuse(action)
            return
        out.action = action
    if last == _ADDRESS_TRIGGER:
        _read_address(trigger[: -1 - len(last)], out, allow=allow)
    elif last == _CLIENT_TRIGGER:
        _read_client(trigger[: -1 - len(last)], out)
    elif trigger == b"*":
        out.add_root(allow=allow)
    elif b"\\" in trigger:
        out.refuse(Reason.BAD_CHARACTERS)
    else:
        out.add(trigger, exact=True, allow=allow)


def _read_address(text: bytes, out: Collector, *, allow: bool) -> None:
    entry = _network(text)
    if isinstance(entry, NetworkEntry):
        out.add_network(entry.key, entry.reason, special=entry.special, allow=allow)
    else:
        out.refuse(entry)


def _read_client(text: bytes, out: Collector) -> None:
    entry = _network(text)
    if isinstance(entry, NetworkEntry):
        out.add_client(entry.key)
    else:
        out.refuse(entry)


def _network(text: bytes) -> NetworkEntry | Reason:
    """`24.0.2.0.192`, `48.zz.db8.2001`: the prefix length, then the address backwards, `zz` for `::`."""
    prefix_bits, _, backwards = text.partition(b".")
    words = backwards.decode("ascii", "replace").split(".")[::-1]
    if len(words) == 4 and "zz" not in words:
        address = ".".join(words)
    else:
        address = ":".join("" if word == "zz" else word for word in words)
        if words[0] == "zz":
            address = ":" + address
        if words[-1] == "zz":
            address += ":"
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return Reason.BAD_CHARACTERS
    entry = read_entry(f"{address}/".encode() + prefix_bits)
    return entry if isinstance(entry, NetworkEntry | Reason) else Reason.BAD_CHARACTERS
