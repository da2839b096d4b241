"""hosts(5): an address, its name, its aliases."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from pdns.errors import InvalidName
from pdns.wire import names

_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\Z")
_LOCALHOST: Final = names.from_text("localhost")
_BOM: Final = b"\xef\xbb\xbf"
_SHOWN_CHARACTERS: Final = 60


class Host(NamedTuple):
    """One name of one line. `first`: the name proper, not an alias."""

    line: int
    address: bytes  # 4 or 16 bytes
    name: bytes
    first: bool


class BadLine(NamedTuple):
    """A line, or a name in it, that is not used."""

    line: int
    reason: str


def read_hosts(content: bytes) -> Iterator[Host | BadLine]:
    """Every name of a hosts file, and every line or name that is not valid. Names at and below `localhost` are left out."""
    for number, raw in enumerate(content.removeprefix(_BOM).split(b"\n"), 1):
        if words := raw.partition(b"#")[0].split():
            yield from _line(number, words)


def _line(number: int, words: list[bytes]) -> Iterator[Host | BadLine]:
    try:
        address = ipaddress.ip_address(words[0].decode("ascii"))
    except ValueError:  # UnicodeDecodeError is one
        yield BadLine(number, f"expected an address, got {_shown(words[0])}")
        return
    if b"%" in words[0]:
        yield BadLine(number, f"an address with an interface: {_shown(words[0])}")
        return
    if len(words) == 1:
        yield BadLine(number, f"no name after {_shown(words[0])}")
        return
    first = True
    for word in words[1:]:
        name = _name(word)
        if isinstance(name, str):
            yield BadLine(number, f"{name}: {_shown(word)}")
        elif not names.is_at_or_below(name, _LOCALHOST):  # it keeps its own addresses (RFC 6761, 6.3)
            yield Host(number, address.packed, name, first)
        first = False


def _name(word: bytes) -> bytes | str:
    """The name, or what is wrong with it."""
    try:
        name = names.from_text(word.decode())
    except InvalidName as error:
        return f"not a domain name ({error.reason})"
    except UnicodeDecodeError:
        return "not UTF-8"
    spelt = names.to_text(name)
    if b"\\" in word or not _NAME.match(spelt):
        return "not a host name"
    if spelt.rpartition(".")[2].isdigit():
        return "an address where a name is expected"
    return name


def _shown(word: bytes) -> str:
    text = word[:_SHOWN_CHARACTERS].decode(errors="replace")
    return '"' + "".join(char if char.isprintable() else "?" for char in text) + '"'
