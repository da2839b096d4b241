"""Requests for the HTTP ports that no sound client sends, and some that one does: bytes, from a seed."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Iterator

_METHODS = (b"GET", b"GET", b"GET", b"POST", b"POST", b"DELETE", b"HEAD", b"PUT", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT",
            b"get", b"G\xffT", b"", b"PRI", b"X" * 300, b"GET\0")  # fmt: skip
_PATHS = (
    b"/", b"/metrics", b"/healthz", b"/readyz", b"/api/feeds", b"/api/feeds/held", b"/api/feeds/release", b"/api/feeds/x/hold",
    b"/api/feeds/x/explode", b"/api/indicators", b"/api/indicators?format=csv", b"/api/indicators/x.example",
    b"/api/explain?name=x.example", b"/api/explain?name=%ff%00&client=%", b"/api/explain?name=" + b"a." * 2000, b"*", b"//",
    b"/api/indicators/%2e%2e%2f%ff", b"/api/indicators/\xff", b"/\xc3\xa9", b"/?" + b"&=%" * 500, b"/" + b"a" * 9000,
    b"/%", b"/..//.",
    b"http://evil.example/metrics", b"http://[::1/", b"http://a:99999/", b"localhost:80", b"x", b"", b"/ /", b"/\r", b"/\t",
    b"/api/explain?name=%ed%a0%80", b"/api/explain?tenant=%f0%9f&name=%c0%80", b"/api/explain?name=" + b"%ff" * 100,
)  # fmt: skip
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.\xff", b"", b"HTTP/9" * 50)
_HOSTS = (
    b"localhost", b"127.0.0.1", b"localhost", b"127.0.0.1:1", b"evil.example", b"[::1]", b"[::1", b"", b"\xff", b"a b", b"a:b",
    b"127.0.0.1:", b"x" * 5000, b"localhost\x00", b"xn--\xff", b"@", b"[v1.x]", b"0x7f.1", b"%6c", b"a,b", b"\xe2\x80\xae",
)  # fmt: skip
_VALUES = (
    b"", b"x", b"\xff", b"\xff" * 100, b"a" * 9000, b"\xe2\x80\xaeevil", b"a\tb", b"gzip", b"deflate", b"br",
    b"chunked", b"identity",
    b"gzip, chunked", b"-1", b"0", b"5", b"99999999999999999999", b"1e3", b"0x10", b"5, 5", b"close", b"upgrade", b"keep-alive",
    b"websocket", b"h2c", b"100-continue", b"application/json", b"text/html", b"*/*", b"application/openmetrics-text; version=x",
    b"application/openmetrics-text; version=1.0.0; escaping=\xff", b"application/openmetrics-text;version=1.0.0.0.0;escaping=x",
    b"text/plain; version=1.0.0; escaping=values", b"multipart/form-data", b"multipart/form-data; boundary=", b"bytes=0-",
    b"=?utf-8?q?=ff?=", b'"', b"%", b";;;", b"\x00", b"\x01", b"a\rb", b"\xc0\x80",
)  # fmt: skip
_FIELDS = (
    b"Authorization", b"Authorization", b"Content-Encoding", b"Content-Length", b"Transfer-Encoding", b"Content-Type", b"Accept",
    b"Accept-Encoding", b"Connection", b"Upgrade", b"Expect", b"Cookie", b"Range", b"X", b"Host", b"If-Modified-Since", b"TE",
    b"Sec-WebSocket-Key", b"Sec-WebSocket-Version", b"X-Forwarded-For", b"", b" ", b"a b", b"\xff", b"A" * 9000,
    b"a(b", b"Referer",
)  # fmt: skip
_BODIES = (
    b"", b"{}", b"null", b"[]", b"{", b'{"action":"block"}', b'{"for":"1h"}', b'{"name":"\\ud800"}', b'{"name":1}', b"\xff" * 50,
    b'{"reason":"' + b"\xe2\x80\xae" * 1000 + b'"}', b"[" * 5000, b'{"a":' * 3000, b"a" * 70_000, b"0\r\n\r\n",
    b"5\r\nab", b"zz\r\n",
    b"-1\r\n\r\n", b"ffffffffffffffffff\r\n", b"1;" + b"x" * 9000 + b"\r\na\r\n0\r\n\r\n", b"0\r\nX: \xff\r\n\r\n", b"\0" * 100,
    gzip.compress(b"{}"), gzip.compress(b"{}")[:-3], gzip.compress(b" " * 5_000_000), zlib.compress(b"{}"),
    b"\x1f\x8b" + b"\xff" * 40,
)  # fmt: skip


def requests(seed: int, count: int, token: bytes = b"") -> Iterator[bytes]:
    """So many, in an order that follows from `seed`; with a `token`, half of them bring it."""
    draw = random.Random(seed)
    for _ in range(count):
        yield _damaged(draw, _request(draw, token))


def _request(draw: random.Random, token: bytes) -> bytes:
    line = b" ".join((draw.choice(_METHODS), draw.choice(_PATHS), draw.choice(_VERSIONS)))
    fields = [] if draw.random() < 0.05 else [(b"Host", draw.choice(_HOSTS[:4] if draw.random() < 0.7 else _HOSTS))]
    if token and draw.random() < 0.5:
        fields.append((b"Authorization", b"Bearer " + token))
    elif draw.random() < 0.3:
        fields.append((b"Authorization", b"Bearer " + draw.choice(_VALUES)))
    fields += [
        (draw.choice(_FIELDS), draw.choice(_VALUES))
        for _ in range(draw.choice((0, 0, 1, 1, 2, 5, 200 if draw.random() < 0.1 else 3)))
    ]
    body = draw.choice(_BODIES) if draw.random() < 0.6 else b""
    if body and draw.random() < 0.6:
        fields.append((b"Content-Length", b"%d" % (len(body) + draw.choice((0, 0, 0, 0, 1, -1)))))
    if body and draw.random() < 0.2:
        fields.append((b"Transfer-Encoding", b"chunked"))
    if body and draw.random() < 0.3:
        fields.append((b"Content-Encoding", draw.choice((b"gzip", b"deflate", b"br", b"x"))))
    end = draw.choice((b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"))
    head = line + end + b"".join(name + draw.choice((b": ", b":", b" :")[: 3 if draw.random() < 0.05 else 2]) + value + end
                                 for name, value in fields)  # fmt: skip
    return head + end + body


def _damaged(draw: random.Random, request: bytes) -> bytes:
    kind = draw.random()
    if kind < 0.75 or not request:
        return request
    at = draw.randrange(len(request))
    if kind < 0.85:
        return request[:at] + bytes([draw.randrange(256)]) + request[at + 1 :]
    if kind < 0.9:
        return request[:at]
    if kind < 0.95:
        return request[:at] + draw.randbytes(draw.choice((1, 4, 60))) + request[at:]
    return request + request if kind < 0.98 else draw.randbytes(draw.choice((1, 30, 5000, 20_000)))
