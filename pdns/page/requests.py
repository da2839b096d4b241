"""What a request at the sinkhole address asks for. It may come from a browser, from an app or from malware, with any content."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from pdns.http.server import Problem

MOST_FIELDS: Final = 8
_HTML: Final = ("text/html", "application/xhtml+xml")
_FORM: Final = "application/x-www-form-urlencoded"


class Target(NamedTuple):
    """The host and path of a request."""

    host: str  # lower case, without port and last dot; "" for an address or no host at all
    path: str


def target_of(request: web.BaseRequest) -> Target:
    """The target of `request`. Raises `Problem` for more than one host or an invalid one (RFC 9112, 3.2)."""
    named = request.headers.getall("Host", [])
    if len(named) > 1:
        raise Problem(400, "expected one Host")
    path = request.raw_path
    authority = named[0] if named else ""
    if not path.startswith("/"):  # absolute-form, which counts rather than Host; or `*`, or the authority of a CONNECT
        try:
            parts = urlsplit(path)
        except ValueError:
            raise Problem(400, "expected a valid target") from None
        authority, path = (parts.netloc, parts.path) if parts.scheme and parts.netloc else (authority, path)
    return Target(host_in(authority), path.partition("?")[0])


def host_in(authority: str) -> str:
    """The host name in `authority`; "" for an address. Raises `Problem` if it is invalid."""
    try:
        host = (urlsplit(f"//{authority.strip()}").hostname or "") if authority else ""
    except ValueError:
        raise Problem(400, "expected a valid Host") from None
    host = host.rstrip(".").lower()
    if not host.isascii() or not host.isprintable() or " " in host or len(host) > 255:
        raise Problem(400, "expected a valid Host")
    return "" if _is_address(host) else host


def wants_page(request: web.BaseRequest) -> bool:
    """Whether a browser wants to show the answer as a page of its own: not an image, a script, a frame, or another program."""
    if request.method != "GET":
        return False
    destination = request.headers.get("Sec-Fetch-Dest")  # browsers send it to https and to this machine only
    if destination is not None and destination != "document":
        return False
    accept = request.headers.get("Accept", "").lower()
    return any(kind in accept for kind in _HTML)


def form_fields(request: web.BaseRequest, body: bytes) -> dict[str, str]:
    """The fields of a form, the first of each name. Raises `Problem`."""
    if request.content_type != _FORM:
        raise Problem(415, f"expected {_FORM}")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise Problem(400, "expected a form") from None
    return dict(reversed(pairs))


def name_in(text: str) -> str:
    """The host name in what a person typed: a name, or the address of a page. "" where there is none."""
    typed = text.strip()
    if not typed.isprintable():
        return ""
    try:
        host = (urlsplit(typed if "://" in typed else f"//{typed}").hostname or "").rstrip(".")
    except ValueError:
        return ""
    return host if "." in host and not _is_address(host) else ""


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
