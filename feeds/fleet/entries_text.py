r"""The entries of one feed as text: what a publisher compiled, and from which a node compiles the same.

    # protective-dns entries 1
    Ac000020018 TAB 3 TAB 20000                     a network: address and prefix length, hexadecimal
    C0a00000008 TAB 0 TAB 0 TAB n=["drop",[]]       a network of clients
    N3com7example TAB 3 TAB 20000 TAB t="phishing"  a name, root first, each label behind one character for its length

One line an entry, ended by LF. Lines are sorted bytewise, which is the order of the keys. No line refers to another one, so texts
are compared and merged line by line. The fields of a line are its bits (hexadecimal) and its first day (days since the epoch).
Fields for whatever else is known of the entry follow, in this order:

    t= threat, r= reference: JSON strings    s= first seen, e= expires: seconds since the epoch
    n= action for the name, b= action for what is below: JSON, [kind, [[type, [RDATA in Base64]]]]

The length of a label is the character `0` plus that many. A byte of a label up to `!` is `!` and the byte plus 64; one from `~`
on is `~` and two hexadecimal digits. There is one text for the same entries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, Literal, NamedTuple

import msgspec

from feeds.annotations import NameAnnotation
from pdns.core.listing import ListedAction, is_sound
from pdns.errors import PdnsError

HEAD: Final = b"# protective-dns entries 1\n"
MAX_LINE_BYTES: Final = 1024 * 1024
MAX_FIRST_DAY: Final = 0xFFFF
Kind = Literal["A", "C", "N"]  # network, network of clients, name
NETWORK: Final[Kind] = "A"
CLIENT: Final[Kind] = "C"
NAME: Final[Kind] = "N"
NOTHING_SAID: Final = NameAnnotation()
_MOST_KNOWN: Final = 65_536  # suffixes that are remembered
_BUFFER_LINES: Final = 4096
_NETWORK_BYTES: Final = (5, 17)
_MAX_LABEL_BYTES: Final = 63
_MAX_KEY_BYTES: Final = 254
_LENGTH_ZERO: Final = 0x30
_PLAIN: Final = bytes(range(0x22, 0x7E))
_ESCAPED: Final = {byte: b"!" + bytes((byte + 0x40,)) for byte in range(0x22)} | {
    byte: b"~%02x" % byte for byte in range(0x7E, 0x100)
}
_HEX: Final = b"0123456789abcdef"


class BadText(PdnsError):
    """Text that is not what `EntriesWriter` writes. The message names the line."""


class Said(NamedTuple):
    """What a feed says of an entry."""

    bits: int  # BLOCK_* and ALLOW_*; 0 for clients
    first_day: int  # since the epoch; 0: unknown
    annotation: NameAnnotation = NOTHING_SAID
    at_name: ListedAction | None = None  # None: as the policy says
    below: ListedAction | None = None


class TextEntry(NamedTuple):
    """One line."""

    kind: Kind
    key: bytes  # reversed key of a name; bytes of the address and one of prefix length
    said: Said


class TextSummary(NamedTuple):
    """What was written."""

    sha256: str
    size_bytes: int
    entries: int


def suffix_of(said: Said) -> bytes:
    """The rest of the line, behind its key."""
    parts = [b"\t%x\t%d" % (said.bits, said.first_day)]
    told = said.annotation
    for tag, text in ((b"t", told.threat), (b"r", told.reference)):
        if text:
            parts.append(b"\t%b=%b" % (tag, msgspec.json.encode(text)))
    for tag, at_s in ((b"s", told.first_seen_s), (b"e", told.expires_s)):
        if at_s:
            parts.append(b"\t%b=%b" % (tag, repr(float(at_s)).encode()))
    for tag, action in ((b"n", said.at_name), (b"b", said.below)):
        if action is not None:
            parts.append(b"\t%b=%b" % (tag, msgspec.json.encode(action)))
    parts.append(b"\n")
    return b"".join(parts)


def said_of(suffix: bytes) -> Said:
    """The reverse of `suffix_of`. Raises `BadText`."""
    try:
        _, bits, first_day, *others = suffix[:-1].split(b"\t")
        fields = dict(field.split(b"=", 1) for field in others)
        said = Said(
            int(bits, 16),
            int(first_day),
            NameAnnotation(_text(fields, b"t"), _text(fields, b"r"), float(fields.get(b"s", 0)), float(fields.get(b"e", 0))),
            _action(fields, b"n"),
            _action(fields, b"b"),
        )
    except (ValueError, msgspec.DecodeError, RecursionError):
        raise BadText("not the fields of an entry") from None
    if suffix_of(said) != suffix or not 0 <= said.first_day <= MAX_FIRST_DAY or said.bits > 0xF:
        raise BadText("not the fields of an entry, as they are written")
    return said


def _text(fields: dict[bytes, bytes], tag: bytes) -> str:
    return msgspec.json.decode(fields[tag], type=str) if tag in fields else ""


def _action(fields: dict[bytes, bytes], tag: bytes) -> ListedAction | None:
    if tag not in fields:
        return None
    action = msgspec.json.decode(fields[tag], type=ListedAction)
    if not is_sound(action):
        raise ValueError
    return action


class NameTexts:
    """Names to text and back. Quick for names in their order: the label above is kept from one name to the next."""

    def __init__(self) -> None:
        self._key, self._text = b"", b"N"  # of the name above the last one

    def text_of(self, key: bytes) -> bytes:
        """The beginning of the line of the name with that reversed key. `key` must be sound."""
        if not key.startswith(self._key):
            self._key, self._text = b"", b"N"
        text, at = self._text, len(self._key)
        while at < len(key):
            self._key, self._text = key[:at], text
            end = at + 1 + key[at]
            label = key[at + 1 : end]
            if label.translate(None, _PLAIN):
                label = b"".join([_ESCAPED.get(byte) or bytes((byte,)) for byte in label])
            text = b"%b%c%b" % (text, key[at] + _LENGTH_ZERO, label)
            at = end
        return text

    def key_of(self, text: bytes) -> bytes:
        """The reverse of `text_of`. Raises `BadText`."""
        if not text.startswith(self._text):
            self._key, self._text = b"", b"N"
        key, at = self._key, len(self._text)
        while at < len(text):
            self._key, self._text = key, text[:at]
            size = text[at] - _LENGTH_ZERO
            at += 1
            label = text[at : at + size] if size > 0 else b""
            if label.translate(None, _PLAIN):
                label, at = _unescaped(text, at, size)
            else:
                at += size
            if len(label) != size or not 0 < size <= _MAX_LABEL_BYTES:
                raise BadText("not a name")
            key += bytes((size,)) + label
        if len(key) > _MAX_KEY_BYTES:
            raise BadText("a name that is too long")
        return key


def _unescaped(text: bytes, at: int, size: int) -> tuple[bytes, int]:
    """A label of `size` bytes that begins at `at`, and where it ends. Raises `BadText`."""
    label = bytearray()
    while len(label) < size and at < len(text):
        first = text[at]
        step = 2 if first == 0x21 else 3 if first == 0x7E else 1
        part = text[at : at + step]
        if step == 1:
            byte = first
        elif step == 2:
            byte = part[-1] - 0x40
        else:
            byte = _HEX.find(part[1:2]) << 4 | _HEX.find(part[2:3])
        if not 0 <= byte <= 0xFF or (_ESCAPED.get(byte) or bytes((byte,))) != part:
            raise BadText("not a name")
        label.append(byte)
        at += step
    return bytes(label), at


def network_line(kind: Kind, key: bytes) -> bytes:
    """The beginning of the line of a network."""
    return b"%b%b" % (kind.encode(), key.hex().encode())


class EntriesWriter:
    """Writes the text of one feed. Nothing but the last lines is in memory."""

    def __init__(self, file: BinaryIO) -> None:
        """Raises `OSError`, as all methods."""
        self._file = file
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._entries = 0
        self._lines = [HEAD]
        self._last = b""

    def put(self, begins: bytes, suffix: bytes) -> None:
        """One line, of its beginning (`NameTexts.text_of`, `network_line`) and `suffix_of` what is said. In their order."""
        line = begins + suffix
        assert begins > self._last
        if len(line) > MAX_LINE_BYTES:
            raise BadText(f"an entry of {len(line):,} bytes")
        self._last = begins
        self._lines.append(line)
        self._entries += 1
        if len(self._lines) >= _BUFFER_LINES:
            self._flush()

    def end(self) -> TextSummary:
        """To be called once, behind the last entry."""
        self._flush()
        return TextSummary(self._digest.hexdigest(), self._size_bytes, self._entries)

    def _flush(self) -> None:
        data = b"".join(self._lines)
        self._lines.clear()
        self._digest.update(data)
        self._size_bytes += len(data)
        self._file.write(data)


def write_text(file: BinaryIO, entries: Iterable[TextEntry]) -> TextSummary:
    """Write `entries`, which are in the order of kinds and keys. Raises `OSError` and `BadText`."""
    writer, names = EntriesWriter(file), NameTexts()
    for kind, key, said in entries:
        writer.put(names.text_of(key) if kind == NAME else network_line(kind, key), suffix_of(said))
    return writer.end()


def read_text(file: BinaryIO) -> Iterator[TextEntry]:
    """Every entry, in order; entries that say the same share their `said`. Raises `BadText` at the first line that is wrong."""
    known: dict[bytes, Said] = {}
    names = NameTexts()
    if file.readline(len(HEAD)) != HEAD:
        raise BadText("not the entries of a feed, or of another version")
    last, number = b"", 1
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        begins, tab, rest = line.partition(b"\t")
        suffix = tab + rest
        try:
            if begins <= last or not line.endswith(b"\n") or len(line) > MAX_LINE_BYTES:
                raise BadText("not in order, or cut short")
            last = begins
            if (said := known.get(suffix)) is None:
                if len(known) >= _MOST_KNOWN:
                    known.clear()
                said = known[suffix] = said_of(suffix)
            entry = TextEntry(NAME, names.key_of(begins), said) if begins[:1] == b"N" else _network(begins, said)
            if (entry.kind == CLIENT) != (not said.bits):
                raise BadText("not the bits of such an entry")
        except BadText as exc:
            raise BadText(f"line {number}: {exc}") from None
        yield entry


def _network(begins: bytes, said: Said) -> TextEntry:
    kind: Kind = NETWORK if begins[:1] == b"A" else CLIENT
    try:
        key = bytes.fromhex(begins[1:].decode("ascii"))
    except ValueError:
        raise BadText("not a network") from None
    if network_line(kind, key) != begins or len(key) not in _NETWORK_BYTES or key[-1] > 8 * (len(key) - 1):
        raise BadText("not a network")
    if kind == CLIENT and said.at_name is None:
        raise BadText("clients without an action")
    return TextEntry(kind, key, said)
