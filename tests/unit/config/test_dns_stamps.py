"""DNS stamps, in the spelling of addresses."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.dns_stamps import stamp_text
from pdns.config.upstream_address import parse_upstream
from pdns.errors import InvalidAddress

PROPERTIES = bytes(8)
DIGEST = bytes(range(32))
DIGEST_TEXT = "tbs=sha256/" + base64.b64encode(DIGEST).decode()
OTHER_TEXT = "tbs=sha256/" + base64.b64encode(DIGEST[::-1]).decode()


def field(text: str | bytes, more: int = 0) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return bytes((len(data) | more,)) + data


def encoded(*parts: bytes) -> str:
    return "sdns://" + base64.urlsafe_b64encode(b"".join(parts)).decode().rstrip("=")


def doh(address: str, *digests: bytes, host: str = "dns.example.net", path: str = "/dns-query", more: bytes = b"") -> str:
    several = b"".join(field(one, 0x80) for one in digests[:-1]) + field(digests[-1] if digests else b"")
    return encoded(b"\2", PROPERTIES, field(address), several, field(host), field(path), more)


def encrypted(kind: int, address: str, host: str, *digests: bytes) -> str:
    several = b"".join(field(one, 0x80) for one in digests[:-1]) + field(digests[-1] if digests else b"")
    return encoded(bytes((kind,)), PROPERTIES, field(address), several, field(host))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        # published by Cloudflare and Quad9
        ("sdns://AgcAAAAAAAAABzEuMC4wLjEAEmRucy5jbG91ZGZsYXJlLmNvbQovZG5zLXF1ZXJ5",
         "https://1.0.0.1:443/dns-query#dns.cloudflare.com"),
        ("sdns://AgMAAAAAAAAABzkuOS45LjkgsBkgdEu7dsmrBT4B4Ht-BQ5HPSD3n3vqQ1-v5DydJC8SZG5zOS5xdWFkOS5uZXQ6NDQzCi9kbnMtcXVlcnk",
         "https://9.9.9.9:443/dns-query#dns9.quad9.net;tbs=sha256/sBkgdEu7dsmrBT4B4Ht+BQ5HPSD3n3vqQ1+v5DydJC8="),
        (doh("192.0.2.1:8443"), "https://192.0.2.1:8443/dns-query#dns.example.net"),
        (doh("192.0.2.1", host="dns.example.net:8443"), "https://192.0.2.1:8443/dns-query#dns.example.net"),
        (doh("[2001:db8::1]:444", DIGEST, DIGEST[::-1]),
         f"https://[2001:db8::1]:444/dns-query#dns.example.net;{DIGEST_TEXT};{OTHER_TEXT}"),
        (doh("2001:db8::1"), "https://[2001:db8::1]:443/dns-query#dns.example.net"),
        (doh("192.0.2.1", more=field("192.0.2.53")), "https://192.0.2.1:443/dns-query#dns.example.net"),
        (encrypted(3, "192.0.2.1", "dns.example.net", DIGEST), f"tls://192.0.2.1:853#dns.example.net;{DIGEST_TEXT}"),
        (encrypted(4, "192.0.2.1", "dns.example.net"), "quic://192.0.2.1:853#dns.example.net"),
        (encoded(b"\0", PROPERTIES, field("192.0.2.1:5353")), "udp://192.0.2.1:5353"),
        (encoded(b"\0", PROPERTIES, field("[2001:db8::1]")), "udp://[2001:db8::1]:53"),
    ],
)  # fmt: skip
def test_stamps(text: str, canonical: str) -> None:
    """A DNS stamp means what its address says."""
    assert str(parse_upstream(text)) == canonical


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (encoded(b"\1", PROPERTIES, field("192.0.2.1")), "DNSCrypt is not spoken: choose a DNS stamp"),
        (encoded(b"\5", PROPERTIES), "Oblivious DoH is not spoken"),
        (encoded(b"\x81"), "relays of DNSCrypt are not used"),
        (encoded(b"\x42"), "the unknown kind 0x42"),
        (doh(""), "with the address of the server, since no name is looked up"),
        (doh(":443"), "with the address of the server, since no name is looked up"),
        (doh("192.0.2.1", b"short"), "digests of 32 bytes"),
        (encrypted(3, "192.0.2.1", ""), "expected also the name in its certificate"),
        (encrypted(4, "192.0.2.1", "dns.example.net", DIGEST), "expected pin= instead of tbs= with quic://"),
        (doh("192.0.2.1", more=b"\7"), "damaged or cut short"),
        ("sdns://", "damaged or cut short"),
        ("sdns://not base64!", "damaged or cut short"),
        (doh("192.0.2.1")[:-8], "damaged or cut short"),
        (encoded(b"\0", PROPERTIES, field("192.0.2.1"), b"more"), "damaged or cut short"),
    ],
)  # fmt: skip
def test_refused_stamps(text: str, reason: str) -> None:
    """What cannot be asked, or not in the way that the DNS stamp demands, is refused with the reason."""
    with pytest.raises(InvalidAddress) as raised:
        parse_upstream(text)
    assert reason in raised.value.reason


@given(st.binary(max_size=80))
def test_any_stamp(data: bytes) -> None:
    """Any bytes are read or refused."""
    text = encoded(data)
    try:
        stamp_text(text)
    except InvalidAddress:
        return
    assert data[0] in (0, 2, 3, 4)
