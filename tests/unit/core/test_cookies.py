"""DNS cookies: as RFC 9018 has them, believed for an hour, and good over a change of secrets."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from pdns.config.schema import Server
from pdns.core.cookies import ROLL_S, Options, make, siphash24
from pdns.core.query import Query
from pdns.wire.transport import Transport
from tests.wire import query

SECRET = bytes(range(16))
ON_IPV6 = "2001:db8:220:1:59de:d0f4:8769:82b8"
CLIENT_COOKIE = bytes.fromhex("2464c4abcf10c957")


@pytest.mark.parametrize(
    ("secret", "client_cookie", "address", "expected"),
    [
        ("e5e973e5a6b2a43f48e7dc849e37bfcf", "2464c4abcf10c957", "198.51.100.100", "010000005cf79f111f8130c3eee29480"),
        ("dd3bdf9344b678b185a6f5cb60fca715", "22681ab97d52c298", ON_IPV6, "010000005cf7c57926556bd0934c72f8"),
        ("445536bcd2513298075a5d379663c962", "22681ab97d52c298", ON_IPV6, "010000005cf7c609a6bb79d16625507a"),
    ],
)  # fmt: skip
def test_the_examples_of_rfc_9018(secret: str, client_cookie: str, address: str, expected: str) -> None:
    """Appendix A, to the byte."""
    made = bytes.fromhex(expected)
    time_s = int.from_bytes(made[4:8])
    assert make(bytes.fromhex(secret), bytes.fromhex(client_cookie), time_s, ip_address(address).packed) == made


def test_siphash() -> None:
    """The last vector of the authors' paper."""
    assert siphash24(bytes(range(16)), bytes(range(15))) == 0xA129CA6149BE45E5


def asked(
    cookie: bytes,
    *,
    now: float,
    address: str = "192.0.2.1",
    transport: Transport = Transport.UDP,
    keepalive: bool = False,
    nsid: bool = False,
    identity: str = "",
) -> Query:
    one = query("a.test")
    one.cookie, one.keepalive, one.nsid = cookie, keepalive, nsid
    Options(SECRET, Server(identity=identity)).take_up(one, address, transport, now)
    return one


def test_a_cookie_is_good_for_its_client_and_for_an_hour() -> None:
    """The first answer gives one. It proves the address of its client for an hour; after half an hour there is a new one."""
    first = asked(CLIENT_COOKIE, now=1000.0)
    assert (first.verified, first.options[:4], len(first.options)) == (False, b"\0\x0a\0\x18", 28)
    cookies = first.options[4:]
    assert cookies.startswith(CLIENT_COOKIE)
    ages = ((0, True, True), (1800, True, True), (1801, True, False), (3601, False, False), (-301, False, False))
    for age_s, valid, same in ages:
        again = asked(cookies, now=1000.0 + age_s)
        assert (again.verified, again.options == first.options) == (valid, same)
    assert not asked(cookies, now=1000.0, address="192.0.2.2").verified
    assert not asked(b"12345678" + cookies[8:], now=1000.0).verified
    assert not asked(cookies[:-1], now=1000.0).verified
    assert not asked(cookies + bytes(8), now=1000.0).verified


def test_cookies_outlive_a_change_of_secrets() -> None:
    """A cookie of the day before is believed as long as any other, by who never saw that day too."""
    cookies = asked(CLIENT_COOKIE, now=ROLL_S - 10.0).options[4:]
    assert asked(cookies, now=ROLL_S + 10.0).verified
    assert asked(CLIENT_COOKIE, now=ROLL_S + 10.0).options[4:] != cookies


def test_keepalive_is_for_tcp() -> None:
    """A client that asks over TCP is told the idle time-out, in tenths of a second; over UDP it is not (RFC 7828, 3.2.1)."""
    assert asked(b"", now=0.0, keepalive=True).options == b""
    over_tcp = asked(b"", now=0.0, keepalive=True, transport=Transport.TCP)
    assert (over_tcp.options, over_tcp.verified) == (b"\0\x0b\0\2\0\x64", True)
    assert asked(CLIENT_COOKIE, now=0.0, keepalive=True, transport=Transport.TCP).options[28:] == b"\0\x0b\0\2\0\x64"


def test_who_asks_for_the_server_is_told_its_name() -> None:
    """NSID, over UDP and TCP, behind the other options (RFC 5001, 2.3); nothing without a name, and nothing unasked."""
    assert asked(b"", now=0.0, nsid=True, identity="ns1.ams").options == b"\0\3\0\7ns1.ams"
    assert asked(b"", now=0.0, nsid=True).options == b""
    assert asked(CLIENT_COOKIE, now=0.0, identity="ns1.ams").options[28:] == b""
    every = asked(CLIENT_COOKIE, now=0.0, keepalive=True, nsid=True, identity="x" * 64, transport=Transport.TCP).options
    assert (len(every), every[28:]) == (102, b"\0\x0b\0\2\0\x64" + b"\0\3\0\x40" + b"x" * 64)
