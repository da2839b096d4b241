"""DNS over HTTPS (RFC 8484): what a request asks, and the headers of its answer. The same for HTTP/2 and HTTP/3.

JSON is not offered: `?name=` without `dns` is refused, and the field `accept` is not looked at, as RFC 9110, 12.5.1, allows.
"""

# kernel: pdns/fast/doh.pyx
# kernel: pdns/fast/http2.pyx
# kernel: pdns/fast/https.pyx

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from typing import Final, NamedTuple

from pdns.wire import protocol as p

BASE_PATH: Final = b"/dns-query"
CONTENT_TYPE: Final = b"application/dns-message"
MAX_BODY_BYTES: Final = 65535
MAX_PATH_BYTES: Final = 8192  # with the message of a GET, as base64url
MAX_TOKEN_BYTES: Final = 128
MAX_HEADERS_BYTES: Final = 16384  # of a request, as SETTINGS_MAX_HEADER_LIST_SIZE counts: 32 a field and its name and value
FIELD_BYTES: Final = 32

# What is refused, and the text of the response. 404 has none: it looks the same for a path of another service, for a token that
# is unknown, and for one that was revoked.
REFUSALS: Final = {
    400: b"No DNS message: GET with dns=, base64url without padding, or POST. JSON is not offered.\n",
    404: b"",
    405: b"GET or POST.\n",
    413: b"A DNS message has at most 65535 bytes.\n",
    414: b"The path is too long: use POST.\n",
    415: b"Content-Type: application/dns-message.\n",
    429: b"Too many queries.\n",
    431: b"The header fields are too long.\n",
    503: b"Busy.\n",
}
ALLOW: Final = b"GET, POST"
HTTP_1_TEXT: Final = b"This server offers DNS over HTTPS with HTTP/2 or HTTP/3.\n"
HTTP_1_RESPONSE: Final = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(HTTP_1_TEXT), HTTP_1_TEXT)
)

_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]{1,%d}" % MAX_TOKEN_BYTES)
_BASE64URL: Final = re.compile(rb"[A-Za-z0-9_-]*")
_SIGN_BIT: Final = 1 << 31
_MIN_SOA_BYTES: Final = 22


class DohQuery(NamedTuple):
    """What a sound request asks."""

    message: bytes  # 12 to 65,535 bytes; whether they are a DNS query is not known
    token: bytes  # of the path; b"" if it has none


class DohRequest:
    """One request, as its parts arrive: `header` for each field, then `data`, then `end`. Nothing raises."""

    __slots__ = ("_base_path", "_body", "_header_bytes", "_is_message", "_method", "_path")

    def __init__(self, base_path: bytes = BASE_PATH) -> None:
        self._base_path = base_path
        self._method = self._path = b""
        self._is_message = False
        self._header_bytes = 0
        self._body = bytearray()

    def header(self, name: bytes, value: bytes) -> None:
        """Take a field, or a pseudo-header field. Of several with one name, the last one counts."""
        self._header_bytes += FIELD_BYTES + len(name) + len(value)
        if self._header_bytes > MAX_HEADERS_BYTES:
            return
        if name == b":method":
            self._method = value
        elif name == b":path":
            self._path = value
        elif name == b"content-type":
            self._is_message = is_dns_message(value)

    def data(self, data: bytes) -> None:
        """Take a part of the body. At most 65,536 bytes are kept."""
        self._body += data[: MAX_BODY_BYTES + 1 - len(self._body)]

    @property
    def refused(self) -> int:
        """The status of a refusal that is certain by now, before the end; 0: there is none. All fields have come."""
        if self._header_bytes > MAX_HEADERS_BYTES:
            return 431
        if len(self._path) > MAX_PATH_BYTES:
            return 414
        if token_of(self._path.partition(b"?")[0], self._base_path) is None:
            return 404
        if self._method == b"GET":
            return 400 if self._body or not message_of(self._path.partition(b"?")[2]) else 0
        if self._method != b"POST":
            return 405
        if not self._is_message:
            return 415
        return 413 if len(self._body) > MAX_BODY_BYTES else 0

    def end(self) -> DohQuery | int:
        """What it asks, or the status of the refusal, a key of `REFUSALS`. All of the request has come."""
        status = self.refused
        if status:
            return status
        path, _, parameters = self._path.partition(b"?")
        message = bytes(self._body) if self._method == b"POST" else message_of(parameters)
        return DohQuery(message, token_of(path, self._base_path) or b"") if len(message) >= p.HEADER_BYTES else 400


def read_request(headers: Iterable[tuple[bytes, bytes]], body: bytes = b"", base_path: bytes = BASE_PATH) -> DohQuery | int:
    """What a whole request asks, or the status of the refusal."""
    request = DohRequest(base_path)
    for name, value in headers:
        request.header(name, value)
    request.data(body)
    return request.end()


def token_of(path: bytes, base_path: bytes = BASE_PATH) -> bytes | None:
    """The token behind `base_path`; b"" if there is none; None for another path."""
    if path == base_path:
        return b""
    prefix = base_path.rstrip(b"/") + b"/"
    token = path.removeprefix(prefix)
    return token if path.startswith(prefix) and _TOKEN.fullmatch(token) else None


def message_of(parameters: bytes) -> bytes:
    """The value of `dns`, decoded; b"" if it is not there once, or not base64url without padding (RFC 4648, 5)."""
    values = [part[4:] for part in parameters.split(b"&") if part.startswith(b"dns=")]
    if len(values) != 1 or len(values[0]) % 4 == 1 or not _BASE64URL.fullmatch(values[0]):
        return b""
    return urlsafe_b64decode(values[0] + b"=" * (-len(values[0]) % 4))


def is_dns_message(content_type: bytes) -> bool:
    """Whether a value of `content-type` names a DNS message; parameters are ignored."""
    return content_type.partition(b";")[0].rstrip(b" \t").lower() == CONTENT_TYPE


def answer_headers(size: int, max_age_s: int) -> list[tuple[bytes, bytes]]:
    """The fields of the response with an answer of `size` bytes. Answers depend on who asks: no shared cache may keep one."""
    return [
        (b":status", b"200"),
        (b"content-type", CONTENT_TYPE),
        (b"cache-control", b"private, max-age=%d" % max_age_s),
        (b"content-length", b"%d" % size),
    ]


def refusal_headers(status: int) -> list[tuple[bytes, bytes]]:
    """The fields of a refusal; its body is `REFUSALS[status]`."""
    fields = [(b":status", b"%d" % status), (b"content-length", b"%d" % len(REFUSALS[status]))]
    if REFUSALS[status]:
        fields.insert(1, (b"content-type", b"text/plain"))
    return [*fields, (b"allow", ALLOW)] if status == 405 else fields


def max_age_s(answer: bytes) -> int:
    """For how long an HTTP cache may keep `answer`, in seconds (RFC 8484, 5.1).

    The smallest TTL of the answer section; a SOA record of the authority section counts with its TTL and its MINIMUM. 0 if
    there is neither, if the rcode is neither NOERROR nor NXDOMAIN, if the answer is truncated, and if it is not sound.
    """
    if len(answer) < p.HEADER_BYTES:
        return 0
    flags, questions, answers, authorities = (int.from_bytes(answer[at : at + 2]) for at in (2, 4, 6, 8))
    if flags & p.TC or flags & p.RCODE_MASK not in (p.NOERROR, p.NXDOMAIN):
        return 0
    at, smallest = p.HEADER_BYTES, _SIGN_BIT
    for _ in range(questions):
        at = _behind_name(answer, at) + 4
    for number in range(answers + authorities):
        at = _behind_name(answer, at) + 10
        if at > len(answer):
            return 0
        rtype, ttl_s, size = (
            int.from_bytes(answer[start:end]) for start, end in ((at - 10, at - 8), (at - 6, at - 2), (at - 2, at))
        )
        at += size
        if at > len(answer):
            return 0
        ttl_s = 0 if ttl_s & _SIGN_BIT else ttl_s
        if number < answers:
            smallest = min(smallest, ttl_s)
        elif rtype == p.SOA and size >= _MIN_SOA_BYTES:
            minimum_s = int.from_bytes(answer[at - 4 : at])
            smallest = min(smallest, ttl_s, 0 if minimum_s & _SIGN_BIT else minimum_s)
    return 0 if smallest & _SIGN_BIT else smallest


def _behind_name(message: bytes, at: int) -> int:
    """Where the name at `at` ends; beyond the message if it does not."""
    while at < len(message):
        if message[at] == 0:
            return at + 1
        if message[at] >= 0xC0:
            return at + 2
        at += 1 + message[at]
    return len(message) + 1
