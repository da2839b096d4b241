"""Configuration profiles for iOS, iPadOS and macOS: the payload `com.apple.dnsSettings.managed`."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from pdns.enrolment.access import EnrolmentError, ResolverAccess


class DnsProtocol(StrEnum):
    """What a profile makes a device use."""

    DOH = "doh"
    DOT = "dot"


def apple_profile(
    access: ResolverAccess, protocol: DnsProtocol = DnsProtocol.DOH, *, locked: bool = False, except_wifi: Sequence[str] = ()
) -> bytes:
    """An unsigned `.mobileconfig`. A device replaces an earlier profile of the same tenant by it.

    `locked`: the user cannot switch it off, which only supervised devices honour. In the Wi-Fi networks `except_wifi`, devices
    use the resolver of the network. Raises `EnrolmentError` for DoT when there is no name to use.
    """
    if protocol is DnsProtocol.DOT and not access.dot_name:
        raise EnrolmentError(f'DoT needs tls_names of tenant {access.tenant}, and a [[listener]] with transport = "tls"')
    settings: dict[str, Any] = (
        {"DNSProtocol": "HTTPS", "ServerURL": access.doh_url}
        if protocol is DnsProtocol.DOH
        else {"DNSProtocol": "TLS", "ServerName": access.dot_name}
    )
    if access.addresses:
        settings["ServerAddresses"] = list(access.addresses)
    identifier = f"{'.'.join(reversed(access.host.split('.')))}.dns.{access.tenant}"
    content: dict[str, Any] = {
        "PayloadType": "com.apple.dnsSettings.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{identifier}.settings",
        "PayloadUUID": str(uuid5(NAMESPACE_URL, f"{identifier}.settings")).upper(),
        "PayloadDisplayName": f"{access.organisation} DNS",
        "DNSSettings": settings,
    }
    if locked:
        content["ProhibitDisablement"] = True
    if except_wifi:
        content["OnDemandRules"] = [
            {"Action": "Disconnect", "InterfaceTypeMatch": "WiFi", "SSIDMatch": list(except_wifi)},
            {"Action": "Connect"},
        ]
    profile: dict[str, Any] = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": str(uuid4()).upper(),
        "PayloadDisplayName": f"Protective DNS of {access.organisation}",
        "PayloadDescription": "Sends the DNS queries of this device, encrypted, to the protective DNS service.",
        "PayloadOrganization": access.organisation,
        "PayloadScope": "System",
        "PayloadContent": [content],
    }
    if access.expires_s:
        profile["RemovalDate"] = datetime.fromtimestamp(access.expires_s, UTC).replace(tzinfo=None)
    return plistlib.dumps(profile)
