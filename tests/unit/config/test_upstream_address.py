"""Addresses of upstreams, and the canonical spelling of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.upstream_address import PIN, TBS, parse_upstream
from pdns.errors import InvalidAddress
from pdns.wire.transport import Transport

PIN_A = "pin=sha256/" + "A" * 43 + "="
PIN_B = "pin=sha256/" + "B" * 42 + "A="
DIGEST = "tbs=sha256/" + "A" * 43 + "="


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "udp://192.0.2.1:53"),
        ("tls://192.0.2.1#Dns.Example.NET", "tls://192.0.2.1:853#dns.example.net"),
        ("https://192.0.2.1#dns.example.net", "https://192.0.2.1:443/dns-query#dns.example.net"),
        ("https://192.0.2.1/#dns.example.net", "https://192.0.2.1:443/dns-query#dns.example.net"),
        ("https://192.0.2.1:8443/a/b?c=d#dns.example.net", "https://192.0.2.1:8443/a/b?c=d#dns.example.net"),
        ("https://[2001:db8::0:1]/q#dns.example.net.", "https://[2001:db8::1]:443/q#dns.example.net"),
        ("quic://192.0.2.1#dns.example.net", "quic://192.0.2.1:853#dns.example.net"),
        (f"tls://192.0.2.1#{PIN_A}", f"tls://192.0.2.1:853#{PIN_A}"),
        (f"tls://192.0.2.1#a.test;{PIN_A};{PIN_B};{PIN_A}", f"tls://192.0.2.1:853#a.test;{PIN_A};{PIN_B}"),
        (f"https://192.0.2.1/q#a.test;{DIGEST}", f"https://192.0.2.1:443/q#a.test;{DIGEST}"),
    ],
)  # fmt: skip
def test_canonical_text(text: str, canonical: str) -> None:
    """Each spelling has one canonical text, which means the same."""
    parsed = parse_upstream(text)
    assert str(parsed) == canonical
    assert parse_upstream(canonical) == parsed


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("h3://192.0.2.1/q#a.test", "expected udp://, tcp://, tls://, https:// or quic:// before the address"),
        ("https://dns.quad9.net/dns-query", 'as in "https://192.0.2.1/dns-query#dns.quad9.net"'),
        ("https://dns.quad9.net:444/q", 'since no name is looked up to reach it, as in "https://192.0.2.1:444/q#dns.quad9.net"'),
        ("quic://dns.example.net", 'as in "quic://192.0.2.1#dns.example.net"'),
        ("https://192.0.2.1/dns-query", 'as in "https://192.0.2.1:443/dns-query#dns.example.net"'),
        ("https://192.0.2.1/dns-query{?dns}#a.test", "expected a path without {?dns}: queries are sent by POST"),
        ("https://192.0.2.1/a b#a.test", "expected a path as in URLs"),
        ("https://192.0.2.1/\u00e9#a.test", "expected a path as in URLs"),
        ("tls://192.0.2.1/dns-query#a.test", "with a numeric address"),
        ("udp://192.0.2.1#a.test", "expected #server.name with tls://, https:// or quic:// only"),
        ("tls://192.0.2.1#a.test;pin=sha1/AAAA", "pins such as pin=sha256/ and 44 characters of base64"),
        ("tls://192.0.2.1#a.test;b.test", "pins such as pin=sha256/"),
        ("tls://192.0.2.1#pin=sha256/" + "A" * 42 + "B=", "pins such as pin=sha256/"),  # another spelling of the same bits
        (f"tls://192.0.2.1#{DIGEST}", "expected also the name in its certificate"),
        (f"quic://192.0.2.1#a.test;{DIGEST}", "expected pin= instead of tbs= with quic://"),
        ("tls://192.0.2.1#", "expected also the name in its certificate"),
        ("https://0.0.0.0/#a.test", "expected the address of one server"),
        ("https://192.0.2.1:0/#a.test", "expected a port from 1 to 65535"),
    ],
)  # fmt: skip
def test_refused(text: str, reason: str) -> None:
    """What cannot be asked is refused, with what to write instead."""
    with pytest.raises(InvalidAddress) as raised:
        parse_upstream(text)
    assert reason in raised.value.reason


def test_digests() -> None:
    """Digests of keys and of certificates are kept apart."""
    parsed = parse_upstream(f"tls://192.0.2.1#a.test;{PIN_A};{DIGEST};{PIN_B}")
    assert parsed.digests(TBS) == {bytes(32)}
    assert len(parsed.digests(PIN)) == 2


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("https://192.0.2.1/q#a.test", "a.test"),
        ("https://192.0.2.1:8443/q#a.test", "a.test:8443"),
        (f"https://[2001:db8::1]/q#{PIN_A}", "[2001:db8::1]:443"),
    ],
)
def test_authority(text: str, authority: str) -> None:
    """A request names the server by name, or by address if it has none."""
    assert parse_upstream(text).authority == authority


@given(st.text(max_size=40), st.sampled_from(["", "udp://", "tls://", "https://192.0.2.1", "quic://192.0.2.1#", "sdns://"]))
def test_any_text(text: str, start: str) -> None:
    """Any text is refused, or has a canonical spelling that means the same."""
    try:
        parsed = parse_upstream(start + text)
    except InvalidAddress:
        return
    assert parse_upstream(str(parsed)) == parsed
    assert parsed.transport in Transport
