"""Domain names in wire form (RFC 1035, 3.1): lower case, uncompressed, ending in the root label.

Text exists only in configuration, feeds and logs. A length byte (at most 63) is below every ASCII letter,
so `bytes.lower()` folds a whole wire name at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from pdns.errors import InvalidName

ROOT = b"\0"
MAX_NAME_BYTES = 255
MAX_LABEL_BYTES = 63
_COUNTRY_BYTES, _SUFFIX_BYTES = 2, 3  # of the labels of a suffix like co.uk

_PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
_JOINERS = "\u200c\u200d"
_QUOTED = frozenset(b'.\\"();@$')


def from_text(text: str) -> bytes:
    r"""The name that `text` spells in presentation format (RFC 1035, 5.1), with or without the last dot.

    `\.` and `\DDD` escapes are understood; a label with non-ASCII letters becomes its A-label (UTS 46).
    Raises `InvalidName`.
    """
    if text in (".", ""):
        if not text:
            raise InvalidName("empty")
        return ROOT
    if "\\" in text:
        labels = _unescape(text)
    else:
        if not text.isascii():
            text = to_ascii(text)
        labels = text.encode("ascii").lower().split(b".")
        if not labels[-1]:
            labels.pop()
    return from_labels(labels)


def from_labels(labels: list[bytes]) -> bytes:
    """The wire name of `labels`, leftmost first, lower-cased. Raises `InvalidName`."""
    wire = bytearray()
    for label in labels:
        if not label:
            raise InvalidName("empty label")
        if len(label) > MAX_LABEL_BYTES:
            raise InvalidName("label over 63 bytes")
        wire.append(len(label))
        wire += label
    wire.append(0)
    if len(wire) > MAX_NAME_BYTES:
        raise InvalidName("name over 255 bytes")
    return bytes(wire).lower()


def to_ascii(text: str) -> str:
    """`text` with every U-label turned into its A-label (UTS 46, non-transitional). Raises `InvalidName`.

    Symbols that IDNA 2008 refuses and UTS 46 does not, such as a heart, are encoded: such names exist, and browsers look them up.
    """
    import idna  # noqa: PLC0415 (0.4 MB of tables, which most processes never need)

    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        pass
    try:
        mapped = idna.uts46_remap(text, std3_rules=False, transitional=False)
        return ".".join([label if label.isascii() else _a_label(label) for label in mapped.split(".")])
    except (idna.IDNAError, UnicodeError):
        raise InvalidName("not a valid internationalised name") from None


def _a_label(label: str) -> str:
    """The A-label of a label that is mapped already, after the criteria of UTS 46, 4.1. Raises `IDNAError` or `UnicodeError`."""
    import unicodedata  # noqa: PLC0415

    import idna  # noqa: PLC0415

    if label[2:4] == "--" or label.startswith("-") or label.endswith("-") or unicodedata.category(label[0]).startswith("M"):
        raise idna.IDNAError("hyphens or a combining mark where none may be")
    if any(char.isascii() and char.encode() not in _PLAIN for char in label):
        raise idna.IDNAError("a character that no name has")
    for at, char in enumerate(label):
        if char in _JOINERS and not idna.valid_contextj(label, at):
            raise idna.IDNAError("a joiner where none may be")
    idna.check_bidi(label)
    return "xn--" + label.encode("punycode").decode("ascii")


def load_tables() -> None:
    """Import now what names with other than ASCII letters need, in a process that may soon open no further files."""
    import unicodedata  # noqa: F401, PLC0415

    import idna  # noqa: F401, PLC0415


def to_text(name: bytes) -> str:
    """`name` in presentation format, without the last dot; the root is `.`."""
    return ".".join(_escape(label) for label in labels_of(name)) or "."


def labels_of(name: bytes) -> list[bytes]:
    """The labels of `name`, leftmost first, without the root label."""
    labels = []
    at = 0
    while length := name[at]:
        labels.append(name[at + 1 : at + 1 + length])
        at += 1 + length
    return labels


def ancestors(name: bytes) -> Iterator[bytes]:
    """`name`, then each name above it, the root last."""
    at = 0
    while length := name[at]:
        yield name[at:]
        at += 1 + length
    yield ROOT


def parent(name: bytes) -> bytes:
    """The name one label up; the root is its own parent."""
    return name[1 + name[0] :] if name[0] else name


def filter_key(name: bytes) -> bytes:
    """The last two labels of `name`, or what it has of them, with the root label."""
    above = last = at = 0
    while length := name[at]:
        above = last
        last = at
        at += 1 + length
    return name[above:]


def domain_of(name: bytes) -> bytes:
    """The last labels of `name` that somebody has registered, as near as the labels themselves tell: the last two, or the last
    three where those two look like the suffix of a country (`gov.uk`).
    """
    third = above = last = at = 0
    while length := name[at]:
        third, above, last = above, last, at
        at += 1 + length
    return name[third if name[last] == _COUNTRY_BYTES and name[above] <= _SUFFIX_BYTES else above :]


def is_at_or_below(name: bytes, ancestor: bytes) -> bool:
    """Whether `name` is `ancestor` or a name under it, by whole labels."""
    filter_key = len(name) - len(ancestor)
    if filter_key < 0 or name[filter_key:] != ancestor:
        return False
    at = 0
    while at < filter_key:
        at += 1 + name[at]
    return at == filter_key


def reversed_key(name: bytes) -> bytes:
    """`name` with its labels reversed, each still behind its length byte, without the root label.

    The key of a name is a byte prefix of the key of every name below it, and of no other: the length bytes keep
    `evil.test` from matching `notevil.test` and an escaped dot from passing for a label end.
    """
    key = b""
    at = 0
    while length := name[at]:
        end = at + 1 + length
        key = name[at:end] + key
        at = end
    return key


def from_reversed_key(key: bytes) -> bytes:
    """The name whose `reversed_key` is `key`."""
    return reversed_key(key + ROOT) + ROOT


def _unescape(text: str) -> list[bytes]:
    labels: list[bytes] = []
    label = bytearray()
    raw = text.encode("utf-8")
    at = 0
    while at < len(raw):
        byte = raw[at]
        at += 1
        if byte == ord("."):
            labels.append(bytes(label))
            label.clear()
            continue
        if byte == ord("\\"):
            digits = raw[at : at + 3]
            if len(digits) == 3 and digits.isdigit():
                byte = int(digits)
                at += 3
                if byte > 255:
                    raise InvalidName("escape over 255")
            elif at < len(raw):
                byte = raw[at]
                at += 1
            else:
                raise InvalidName("unfinished escape")
        label.append(byte)
    if label or not labels:
        labels.append(bytes(label))
    return labels


def _escape(label: bytes) -> str:
    if not label.translate(None, _PLAIN):
        return label.decode("ascii")
    return "".join(map(_escape_byte, label))


def _escape_byte(byte: int) -> str:
    if byte in _PLAIN:
        return chr(byte)
    if byte in _QUOTED:
        return "\\" + chr(byte)
    return chr(byte) if 0x21 <= byte <= 0x7E else f"\\{byte:03}"
