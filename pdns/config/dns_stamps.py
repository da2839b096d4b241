"""DNS stamps (https://dnscrypt.info/): an address in the spelling that `parse_upstream` takes."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from pdns.errors import InvalidAddress

STAMP: Final = "sdns://"

_PLAIN, _DNSCRYPT, _DOH, _DOT, _DOQ = range(5)
_SCHEMES = {_DOH: "https", _DOT: "tls", _DOQ: "quic"}
_REFUSED = {
    _DNSCRYPT: "DNSCrypt is not spoken: choose a DNS stamp of the same server for DoH, DoT or DoQ",
    0x05: "Oblivious DoH is not spoken: choose a DNS stamp for DoH, DoT or DoQ",
    0x81: "relays of DNSCrypt are not used: choose a DNS stamp for DoH, DoT or DoQ",
    0x85: "relays of Oblivious DoH are not used: choose a DNS stamp for DoH, DoT or DoQ",
}
_DAMAGED = "expected a whole DNS stamp (sdns://): it is damaged or cut short"
_WHERE = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([0-9]*))?")
_PROPERTIES_BYTES = 8  # what a server says of itself: DNSSEC, no logs, no filter
_DIGEST_BYTES = 32


def stamp_text(text: str) -> str:
    """The address in the DNS stamp `text`. The digests in it become `tbs=sha256/BASE64`.

    The self-description of the server is left out, and so are addresses of resolvers to look up its name with: an address must
    be in the DNS stamp. Raises `InvalidAddress`.
    """
    reader = _Reader(_decoded(text))
    kind = reader.take(1)[0]
    if kind in _REFUSED:
        raise InvalidAddress(_REFUSED[kind])
    if kind != _PLAIN and kind not in _SCHEMES:
        raise InvalidAddress(f"expected a DNS stamp for DoH, DoT, DoQ or plain DNS, got one of the unknown kind 0x{kind:02x}")
    reader.take(_PROPERTIES_BYTES)
    where = reader.text()
    if kind == _PLAIN:
        reader.end()
        return f"udp://{_located(where, '')}"
    digests = [digest for digest in reader.several() if digest]
    host, _, port = reader.text().partition(":")
    path = reader.text() if kind == _DOH else ""
    if not reader.is_at_end:
        reader.several()  # resolvers to look up the name with
    reader.end()
    if any(len(digest) != _DIGEST_BYTES for digest in digests):
        raise InvalidAddress("expected a DNS stamp with digests of 32 bytes (SHA-256)")
    proofs = [f"tbs=sha256/{base64.b64encode(digest).decode()}" for digest in digests]
    return f"{_SCHEMES[kind]}://{_located(where, port)}{path}#{';'.join((host, *proofs))}"


def _located(where: str, port: str) -> str:
    """The address and port `where`, with `port` if it has none."""
    parts = _WHERE.fullmatch(where)
    host, own = parts.groups("") if parts else (f"[{where}]", "")  # an IPv6 address without brackets
    if not host:
        raise InvalidAddress("expected a DNS stamp with the address of the server, since no name is looked up to reach it")
    return f"{host}:{own or port}" if own or port else host


def _decoded(text: str) -> bytes:
    data = text[len(STAMP) :]
    try:
        return base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidAddress(_DAMAGED) from None


class _Reader:
    """The fields of a DNS stamp, in turn."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) != count:
            raise InvalidAddress(_DAMAGED)
        self._at += count
        return found

    def text(self) -> str:
        """A field behind its length."""
        try:
            return self.take(self.take(1)[0]).decode("ascii")
        except UnicodeDecodeError:
            raise InvalidAddress(_DAMAGED) from None

    def several(self) -> list[bytes]:
        """Fields behind their lengths; the high bit of a length says that another field follows."""
        found = []
        while True:
            length = self.take(1)[0]
            found.append(self.take(length & 0x7F))
            if not length & 0x80:
                return found

    def end(self) -> None:
        if not self.is_at_end:
            raise InvalidAddress(_DAMAGED)
