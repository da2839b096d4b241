"""RDATA from presentation format (RFC 1035, 5.1) to wire format, and the words that it is made of."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from pdns.errors import InvalidName, InvalidRecord
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.rdata import has_names

SPF: Final = 99
SSHFP: Final = 44
TLSA: Final = 52
TYPES: Final = {
    "A": p.A, "AAAA": p.AAAA, "CAA": p.CAA, "CNAME": p.CNAME, "HTTPS": p.HTTPS, "MX": p.MX, "NAPTR": p.NAPTR, "NS": p.NS,
    "PTR": p.PTR, "SOA": p.SOA, "SPF": SPF, "SRV": p.SRV, "SSHFP": SSHFP, "SVCB": p.SVCB, "TLSA": TLSA, "TXT": p.TXT,
}  # fmt: skip
MAX_STRING_BYTES: Final = 255
MAX_RDATA_BYTES: Final = 16_384
MAX_TTL_S: Final = 2**31 - 1  # RFC 2181, 8

_FIELDS: Final = {
    p.CAA: ("u8", "tag", "rest"),
    p.CNAME: ("name",),
    p.MX: ("u16", "name"),
    p.NAPTR: ("u16", "u16", "string", "string", "string", "name"),
    p.NS: ("name",),
    p.PTR: ("name",),
    p.SOA: ("name", "name", "u32", "ttl", "ttl", "ttl", "ttl"),
    p.SRV: ("u16", "u16", "u16", "name"),
    SSHFP: ("u8", "u8", "hex"),
    TLSA: ("u8", "u8", "u8", "hex"),
}
_SHOWN_FIELDS: Final = {
    "u8": "number", "u16": "number", "u32": "number", "ttl": "seconds", "name": "name", "string": "text", "rest": "text",
    "tag": "property", "hex": "hexadecimal digits",
}  # fmt: skip
_NUMBER_BYTES: Final = {"u8": 1, "u16": 2, "u32": 4}
_TYPE: Final = re.compile(r"TYPE(\d{1,5})")
_TTL: Final = re.compile(r"(?=[0-9])(?:[0-9]{1,10}[smhdw]){0,5}(?:[0-9]{1,10})?", re.IGNORECASE)
_TTL_PART: Final = re.compile(r"([0-9]+)([smhdw]?)", re.IGNORECASE)
_UNIT_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_ESCAPE: Final = re.compile(rb"\\(\d{3}|[^\d]|\d(?!\d\d))", re.DOTALL)
_TAG: Final = re.compile(rb"[A-Za-z0-9]{1,15}")
_KEY: Final = re.compile(r"key(\d{1,5})")
_KEYS: Final = {
    "mandatory": 0, "alpn": 1, "no-default-alpn": 2, "port": 3, "ipv4hint": 4, "ech": 5, "ipv6hint": 6, "dohpath": 7, "ohttp": 8,
}  # fmt: skip
_WITHOUT_VALUE: Final = frozenset((2, 8))
_LIST: Final = re.compile(rb"(?:(?:[^,\\]|\\.)*,)+", re.DOTALL)
_LIST_ITEM: Final = re.compile(rb"((?:[^,\\]|\\.)*),", re.DOTALL)
_LIST_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_MAX_KEY: Final = 65534  # 65535 is reserved (RFC 9460, 14.3.2)

# A word: quoted, or up to the next blank; what is between quotes belongs to it, as in `alpn="h2,h3"`.
# Nothing in it is tried in two ways: what could be would be remembered, with over 100 bytes for each character.
_QUOTED: Final = r'"(?:[^"\\\n]++|\\[^\n])*+"'
WORD: Final = rf'{_QUOTED}|(?:[^\s;()"\\]|\\[^\n])(?:[^\s;()"\\]++|\\[^\n]|{_QUOTED})*+'
_WORDS: Final = re.compile(rf"({WORD})|\s+|(.)", re.DOTALL)

Absolute = Callable[[str], bytes]  # the wire name that a name in text stands for; raises `InvalidName`


class ServiceParameter(NamedTuple):
    """One SvcParam (RFC 9460, 2.2)."""

    key: int
    value: bytes


def words_of(text: str) -> list[str]:
    """The words of `text`, quotes and escapes as they stand. Raises `InvalidRecord`."""
    found = []
    for match in _WORDS.finditer(text):
        if match[2] is not None:
            raise InvalidRecord("a quote that is not closed" if match[2] == '"' else f'an unexpected "{_visible(match[2])}"')
        if match[1] is not None:
            found.append(match[1])
    return found


def type_of(word: str) -> int:
    """The number of a type. Raises `InvalidRecord` for one that cannot be served."""
    known = TYPES.get(word.upper())
    if known is not None:
        return known
    number = int(match[1]) if (match := _TYPE.fullmatch(word.upper())) else 0
    if not 0 < number < 65535 or p.NXNAME <= number <= p.ANY or number in (p.OPT, p.DNAME):
        raise InvalidRecord(f'"{_visible(word[:20])}" is not a type that can be served here')
    if number not in TYPES.values() and has_names(number):
        raise InvalidRecord(f"records of type {number} have names in them and cannot be served here")
    return number


def ttl_of(word: str) -> int | None:
    """The seconds in `300` or `1h30m`; None for what is no TTL. Raises `InvalidRecord` for one over 2147483647."""
    if not _TTL.fullmatch(word):
        return None
    ttl_s = sum(int(number) * _UNIT_S[unit.lower()] for number, unit in _TTL_PART.findall(word))
    if ttl_s > MAX_TTL_S:
        raise InvalidRecord(f"a TTL over {MAX_TTL_S}")
    return ttl_s


def rdata_of(rtype: int, words: Sequence[str], absolute: Absolute) -> bytes:
    r"""The RDATA that `words` spell; that of types without a format of their own is spelt `\# LENGTH HEX` (RFC 3597, 5).

    Its names are uncompressed and in lower case. Raises `InvalidRecord`.
    """
    if not words:
        raise InvalidRecord("no data after the type")
    if rtype in (p.A, p.AAAA):
        rdata = _address(rtype, words)
    elif rtype in (p.TXT, SPF):
        rdata = b"".join(map(_string, words))
    elif rtype in (p.HTTPS, p.SVCB):
        rdata = _service(words, absolute)
    elif rtype in _FIELDS:
        rdata = b"".join(_fields(_FIELDS[rtype], words, absolute))
    else:
        rdata = _unknown(words)
    if len(rdata) > MAX_RDATA_BYTES:
        raise InvalidRecord(f"data over {MAX_RDATA_BYTES:,} bytes")
    return rdata


def text_rdata(text: str) -> bytes:
    """The RDATA of a TXT record with `text`, in strings of 255 bytes; quoted strings (`"a" "b"`) are taken for what they are.
    Raises `InvalidRecord`.
    """
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        return rdata_of(p.TXT, words_of(text), names.from_text)
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise InvalidRecord("not valid Unicode") from None
    if len(raw) > MAX_RDATA_BYTES - MAX_RDATA_BYTES // MAX_STRING_BYTES - 1:
        raise InvalidRecord(f"data over {MAX_RDATA_BYTES:,} bytes")
    parts = [raw[at : at + MAX_STRING_BYTES] for at in range(0, len(raw), MAX_STRING_BYTES)] or [b""]
    return b"".join(bytes((len(part),)) + part for part in parts)


def _address(rtype: int, words: Sequence[str]) -> bytes:
    text = " ".join(words)
    try:
        address = ipaddress.IPv4Address(text) if rtype == p.A else ipaddress.IPv6Address(text)
    except ValueError:
        address = None
    if address is None or "%" in text:
        raise InvalidRecord(f'expected an IPv{4 if rtype == p.A else 6} address, got "{_visible(text[:60])}"')
    return address.packed


def _fields(fields: Sequence[str], words: Sequence[str], absolute: Absolute) -> Iterator[bytes]:
    if len(words) < len(fields) or (len(words) > len(fields) and fields[-1] != "hex"):
        shown = ", ".join(_SHOWN_FIELDS[field] for field in fields)
        raise InvalidRecord(f"expected {len(fields)} value{'s' * (len(fields) > 1)} ({shown}), got {len(words)}")
    for field, word in zip(fields, words, strict=False):
        match field:
            case "name":
                yield name_of(word, absolute)
            case "string":
                yield _string(word)
            case "rest":
                yield unescaped(word)
            case "tag":
                tag = unescaped(word)
                if not _TAG.fullmatch(tag):
                    raise InvalidRecord(f'expected a property such as issue, got "{_visible(word[:20])}"')
                yield bytes((len(tag),)) + tag
            case "ttl":
                ttl_s = ttl_of(word)
                if ttl_s is None:
                    raise InvalidRecord(f'expected seconds, got "{_visible(word[:20])}"')
                yield ttl_s.to_bytes(4)
            case "hex":
                yield _hex("".join(words[len(fields) - 1 :]))
            case _:
                yield _number(word, _NUMBER_BYTES[field])


def name_of(word: str, absolute: Absolute) -> bytes:
    """The name that `word` stands for. Raises `InvalidRecord`."""
    try:
        if word.startswith('"'):
            raise InvalidName("in quotes")
        return absolute(word)
    except InvalidName as error:
        raise InvalidRecord(f'expected a domain name ({error.reason}), got "{_visible(word[:60])}"') from None


def _number(word: str, size: int) -> bytes:
    number = int(word) if word.isascii() and word.isdecimal() and len(word) <= 10 else -1
    if not 0 <= number < 1 << 8 * size:
        raise InvalidRecord(f'expected a number from 0 to {(1 << 8 * size) - 1}, got "{_visible(word[:20])}"')
    return number.to_bytes(size)


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InvalidRecord("expected hexadecimal digits") from None


def _unknown(words: Sequence[str]) -> bytes:
    if len(words) < 2 or words[0] != "\\#":
        raise InvalidRecord(r"expected \# LENGTH HEX (RFC 3597)")
    length, rdata = _number(words[1], 2), _hex("".join(words[2:]))
    if int.from_bytes(length) != len(rdata):
        raise InvalidRecord(f"{int.from_bytes(length)} bytes announced, {len(rdata)} given")
    return rdata


def unescaped(word: str) -> bytes:
    r"""The bytes of a character string, without its quotes, with `\X` and `\DDD` replaced. Raises `InvalidRecord`."""
    try:
        raw = word.encode()
    except UnicodeEncodeError:
        raise InvalidRecord("not valid Unicode") from None
    if raw[:1] == raw[-1:] == b'"' and len(raw) > 1:
        raw = raw[1:-1]
    return _ESCAPE.sub(_escaped, raw) if b"\\" in raw else raw


def _escaped(match: re.Match[bytes]) -> bytes:
    if len(match[1]) < 3:
        return match[1]
    if (byte := int(match[1])) > 255:
        raise InvalidRecord("escape over 255")
    return bytes((byte,))


def _string(word: str) -> bytes:
    raw = unescaped(word)
    if len(raw) > MAX_STRING_BYTES:
        raise InvalidRecord(f"a string over {MAX_STRING_BYTES} bytes: split it into several")
    return bytes((len(raw),)) + raw


def _service(words: Sequence[str], absolute: Absolute) -> bytes:
    """RDATA of SVCB and HTTPS (RFC 9460, 2.1 and 2.2)."""
    if len(words) < 2:
        raise InvalidRecord("expected a priority and a target")
    priority, target = _number(words[0], 2), name_of(words[1], absolute)
    found = sorted(map(_parameter, words[2:]))
    keys = [parameter.key for parameter in found]
    if found and priority == b"\0\0":
        raise InvalidRecord("an alias (priority 0) has no parameters")
    if len(set(keys)) < len(keys):
        raise InvalidRecord("a parameter is there twice")
    if 2 in keys and 1 not in keys:
        raise InvalidRecord("no-default-alpn without alpn")
    if keys and keys[0] == 0:
        _check_mandatory(found[0].value, keys)
    parameters = (key.to_bytes(2) + len(value).to_bytes(2) + value for key, value in found)
    return priority + target + b"".join(parameters)


def _parameter(word: str) -> ServiceParameter:
    name, equals, text = word.partition("=")
    key = _key_of(name)
    try:
        value = _value_of(key, unescaped(text))
    except ValueError:  # also of `int`, `ipaddress`, `base64` and text that is not ASCII
        value = None
    if value is None or bool(equals) != bool(text) or (key in _KEYS.values() and bool(value) != (key not in _WITHOUT_VALUE)):
        raise InvalidRecord(f'"{_visible(word[:60])}" is not a valid parameter')
    if len(value) > MAX_RDATA_BYTES:
        raise InvalidRecord(f"data over {MAX_RDATA_BYTES:,} bytes")
    return ServiceParameter(key, value)


def _key_of(name: str) -> int:
    if (known := _KEYS.get(name)) is not None:
        return known
    match = _KEY.fullmatch(name)
    if match is None or int(match[1]) > _MAX_KEY:
        raise InvalidRecord(f'"{_visible(name[:20])}" is not a known parameter')
    return int(match[1])


def _value_of(key: int, value: bytes) -> bytes:
    """The value in wire format (RFC 9460, 7 and 8). Raises `ValueError`."""
    match key:
        case 0:
            return b"".join(sorted(_key_of(item.decode("ascii")).to_bytes(2) for item in value.split(b",")))
        case 1:
            items = [_LIST_ESCAPE.sub(rb"\1", item) for item in _LIST_ITEM.findall(value + b",")]
            if not _LIST.fullmatch(value + b",") or not all(0 < len(item) <= MAX_STRING_BYTES for item in items):
                raise ValueError("an empty or long protocol, or a backslash at the end")
            return b"".join(bytes((len(item),)) + item for item in items)
        case 3:
            return _number(value.decode("ascii"), 2)
        case 4:
            return b"".join(ipaddress.IPv4Address(item.decode("ascii")).packed for item in value.split(b","))
        case 5:
            return base64.b64decode(value, validate=True)
        case 6:
            return b"".join(ipaddress.IPv6Address(item.decode("ascii")).packed for item in value.split(b","))
    return value


def _check_mandatory(value: bytes, keys: Sequence[int]) -> None:
    listed = [int.from_bytes(value[at : at + 2]) for at in range(0, len(value), 2)]
    if len(set(listed)) < len(listed) or 0 in listed or not set(listed) <= set(keys):
        raise InvalidRecord("mandatory names a parameter that is not there, or one twice")


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
