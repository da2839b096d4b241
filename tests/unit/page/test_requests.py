"""What requests at the sinkhole address ask for."""

from __future__ import annotations

from contextlib import suppress

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from pdns.http.server import Problem
from pdns.page.requests import form_fields, host_in, name_in, target_of, wants_page
from pdns.wire import names


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("a.example", "a.example"), ("A.Example.:8080", "a.example"), ("", ""), ("192.0.2.1", ""), ("192.0.2.1:80", ""),
        ("[2001:db8::1]:80", ""), ("user:pw@a.example", "a.example"), (" a.example ", "a.example"), ("localhost", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"), ('"><script>', '"><script>'),
    ],
)  # fmt: skip
def test_host_in(authority: str, host: str) -> None:
    """A name in lower case, without a port; nothing for an address."""
    assert host_in(authority) == host


@pytest.mark.parametrize("authority", ["[::1", "a b.example", "a\x00.example", "b\u00fccher.example", "x" * 300])
def test_invalid_hosts(authority: str) -> None:
    """They are refused."""
    with pytest.raises(Problem):
        host_in(authority)


@given(st.text(max_size=300))
def test_any_host(text: str) -> None:
    """Any text is a host or a problem."""
    with suppress(Problem):
        assert len(host_in(text)) <= 255


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("www.a.example", "www.a.example"), (" https://www.a.example/x?y#z ", "www.a.example"), ("a.example:80/x", "a.example"),
        ("a.example.", "a.example"), ("b\u00fccher.example", "b\u00fccher.example"), ("192.0.2.1", ""), ("http://[::1]/", ""),
        ("localhost", ""), ("", ""), ("what is this", ""), ("http://[", ""), ("a.example\n", "a.example"),
        ("a\u202e.example", ""),
    ],
)  # fmt: skip
def test_name_in(typed: str, name: str) -> None:
    """The name in what people type or paste."""
    assert name_in(typed) == name


@given(st.text(max_size=200))
def test_any_typed_text(typed: str) -> None:
    """Any text gives a name with a dot, or nothing; it never raises."""
    name = name_in(typed)
    assert not name or "." in name


def request(method: str = "GET", path: str = "/", **headers: str) -> web.Request:
    return make_mocked_request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


NAVIGATION = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("given_request", "expected"),
    [
        (request(Accept=NAVIGATION), True),
        (request(Accept="text/html, text/plain"), True),
        (request(Accept=NAVIGATION, Sec_Fetch_Dest="document"), True),
        (request(Accept=NAVIGATION, Sec_Fetch_Dest="iframe"), False),
        (request(Accept=NAVIGATION, Sec_Fetch_Dest="empty"), False),
        (request(Accept="*/*"), False),
        (request(Accept="image/avif,image/webp,*/*;q=0.8"), False),
        (request(), False),
        (request("HEAD", Accept=NAVIGATION), False),
        (request("POST", Accept=NAVIGATION), False),
    ],
)
def test_wants_page(given_request: web.Request, expected: bool) -> None:
    """Only a browser that opens a page."""
    assert wants_page(given_request) == expected


@pytest.mark.parametrize(
    ("given_request", "host", "path"),
    [
        (request(path="/a?b", Host="a.example"), "a.example", "/a"),
        (request(path="http://b.example:80/x?y", Host="a.example"), "b.example", "/x"),
        (request(path="*", Host="a.example"), "a.example", "*"),
        (request(path="/"), "", "/"),
        (request(path="//b.example/x", Host="a.example"), "a.example", "//b.example/x"),
    ],
)
def test_target_of(given_request: web.Request, host: str, path: str) -> None:
    """An absolute target counts rather than Host."""
    assert target_of(given_request) == (host, path)


FORM = "application/x-www-form-urlencoded"


def test_form_fields() -> None:
    """The first of each field counts."""
    assert form_fields(request(Content_Type=FORM), b"a=1&b=%C3%BC+x&a=2&c=") == {"a": "1", "b": "\u00fc x", "c": ""}


@pytest.mark.parametrize("body", [b"a=%ff", b"\xff", b"&".join(b"a%d=1" % number for number in range(20))])
def test_bad_forms(body: bytes) -> None:
    """What is not UTF-8, or has too many fields, is refused."""
    with pytest.raises(Problem):
        form_fields(request(Content_Type=FORM), body)
    with pytest.raises(Problem):
        form_fields(request(Content_Type="multipart/form-data"), b"a=1")


@given(st.binary(max_size=500))
def test_any_form(body: bytes) -> None:
    """Any body is a form or a problem."""
    with suppress(Problem):
        assert all(isinstance(value, str) for value in form_fields(request(Content_Type=FORM), body).values())


def test_names_that_are_shown_are_ascii() -> None:
    """A name is shown as DNS has it, so that no letter can be mistaken for another."""
    assert names.to_text(names.from_text(name_in("b\u00fccher.example"))) == "xn--bcher-kva.example"


def test_two_hosts_are_refused() -> None:
    """A request that names two hosts is for neither."""
    twice = make_mocked_request("GET", "/", headers=CIMultiDict([("Host", "a.example"), ("Host", "b.example")]))
    with pytest.raises(Problem, match="one Host"):
        target_of(twice)
