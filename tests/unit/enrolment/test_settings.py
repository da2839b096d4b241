"""What devices are given: profiles, settings, QR codes."""

from __future__ import annotations

import json
import plistlib
from datetime import UTC, datetime
from uuid import UUID

import pytest
import segno

from pdns.enrolment.access import EnrolmentError, ResolverAccess
from pdns.enrolment.apple_profile import DnsProtocol, apple_profile
from pdns.enrolment.device_settings import chromium_policies, device_settings, firefox_policies
from pdns.enrolment.qr_code import qr_lines

URL = "https://leeds.dns.example/dns-query/abcdefghijklmnopqrstuvwx"
ACCESS = ResolverAccess(
    tenant="leeds",
    organisation="Leeds & <York>",
    id="0123456789ab",
    doh_url=URL,
    dot_name="leeds.dns.example",
    addresses=("192.0.2.1", "2001:db8::1"),
    expires_s=1_800_000_000.0,
)


def test_a_profile_for_doh() -> None:
    """A property list as Apple describes it, with identifiers of its own and the date on which the device removes it."""
    profile = plistlib.loads(apple_profile(ACCESS))
    (content,) = profile["PayloadContent"]
    assert (profile["PayloadType"], profile["PayloadVersion"], profile["PayloadOrganization"]) == (
        "Configuration", 1, "Leeds & <York>",
    )  # fmt: skip
    assert profile["RemovalDate"] == datetime.fromtimestamp(ACCESS.expires_s, UTC).replace(tzinfo=None)
    assert content["PayloadType"] == "com.apple.dnsSettings.managed"
    assert content["DNSSettings"] == {"DNSProtocol": "HTTPS", "ServerURL": URL, "ServerAddresses": ["192.0.2.1", "2001:db8::1"]}
    assert "ProhibitDisablement" not in content
    assert "OnDemandRules" not in content
    identifiers = [profile["PayloadUUID"], content["PayloadUUID"]]
    assert [str(UUID(text)).upper() for text in identifiers] == identifiers
    assert len(set(identifiers)) == 2


def test_a_later_profile_replaces_an_earlier_one() -> None:
    """It has the same identifiers, which are not those of another tenant, and another UUID."""
    first, second = (plistlib.loads(apple_profile(ACCESS)) for _ in range(2))
    assert first["PayloadIdentifier"] == second["PayloadIdentifier"] == "example.dns.leeds.dns.leeds"
    assert first["PayloadUUID"] != second["PayloadUUID"]
    assert first["PayloadContent"] == second["PayloadContent"]


def test_a_profile_for_dot() -> None:
    """It has the name and no token; without a name there is none."""
    raw = apple_profile(ACCESS, DnsProtocol.DOT, locked=True, except_wifi=["Town Hall", "Library"])
    (content,) = plistlib.loads(raw)["PayloadContent"]
    assert content["DNSSettings"]["DNSProtocol"] == "TLS"
    assert content["DNSSettings"]["ServerName"] == "leeds.dns.example"
    assert URL.rpartition("/")[2].encode() not in raw
    assert content["ProhibitDisablement"] is True
    assert content["OnDemandRules"] == [
        {"Action": "Disconnect", "InterfaceTypeMatch": "WiFi", "SSIDMatch": ["Town Hall", "Library"]},
        {"Action": "Connect"},
    ]
    nameless = ResolverAccess(tenant="york", organisation="york", doh_url=URL)
    assert "RemovalDate" not in plistlib.loads(apple_profile(nameless))
    with pytest.raises(EnrolmentError, match="tls_names of tenant york"):
        apple_profile(nameless, DnsProtocol.DOT)


def test_settings_of_each_system() -> None:
    """Android and systemd-resolved get a name, all others the URL; a name that does not admit says so."""
    found = {one.device: one for one in device_settings(ACCESS)}
    assert found["Android"].lines == ("leeds.dns.example",)
    assert "does not admit" in found["Android"].note
    assert all(URL in " ".join(one.lines) for name, one in found.items() if name not in ("Android", "systemd-resolved"))
    assert "server=192.0.2.1 " in found["Windows 11, netsh"].lines[0]
    assert json.loads(found["Firefox"].lines[0]) == firefox_policies(URL)
    assert json.loads(found["Chrome, Edge"].lines[0]) == chromium_policies(URL)
    nameless = ResolverAccess(tenant="york", organisation="york", doh_url=URL)
    assert {one.device for one in device_settings(nameless)} == found.keys() - {"Android", "systemd-resolved"}
    assert "-ServerAddress ADDRESS " in next(one for one in device_settings(nameless) if one.device == "Windows 11").lines[0]


@pytest.mark.parametrize("blocks", [True, False])
def test_a_qr_code_has_the_modules_of_the_library(blocks: bool) -> None:
    """Read back from the text: light is drawn, with four light modules around."""
    lines = qr_lines(URL, blocks=blocks)
    assert len({len(line) for line in lines}) == 1
    if blocks:
        dark = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
        rows = [[dark[char][half] for char in line] for line in lines for half in (0, 1)]
    else:
        rows = [[int(line[at : at + 2] == "  ") for at in range(0, len(line), 2)] for line in lines]
    wanted = [list(row) for row in segno.make_qr(URL, error="l").matrix_iter(border=4)]
    assert [list(row) for row in rows[: len(wanted)]] == wanted
    assert not any(map(any, rows[len(wanted) :]))
    assert not any(map(any, rows[:4]))
