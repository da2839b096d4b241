"""What to enter on devices and in browsers, as text for administrators."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, NamedTuple

from pdns.enrolment.access import ResolverAccess

_UNKNOWN_ADDRESS: Final = "ADDRESS"
_STRICTLY: Final = "-AllowFallbackToUdp $False -AutoUpgrade $True"


class DeviceSettings(NamedTuple):
    """The settings of one kind of device: what to do, and lines to copy."""

    device: str
    note: str
    lines: tuple[str, ...]


def device_settings(access: ResolverAccess) -> Iterator[DeviceSettings]:
    """The settings of each kind of device."""
    url, name = access.doh_url, access.dot_name
    address = access.addresses[0] if access.addresses else _UNKNOWN_ADDRESS
    only = "" if access.names_admit else " This name does not admit devices from other networks: see docs/roaming.md."
    if name:
        yield DeviceSettings("Android", f"Settings, Network and internet, Private DNS, host name.{only}", (name,))
    yield DeviceSettings(
        "Windows 11",
        "In PowerShell as administrator. Group policy: Computer Configuration, Administrative Templates, Network, DNS Client, "
        "Configure DNS over HTTPS (DoH) name resolution: require DoH.",
        (
            f"Add-DnsClientDohServerAddress -ServerAddress {address} -DohTemplate '{url}' {_STRICTLY}",
            f"Set-DnsClientServerAddress -InterfaceAlias 'Wi-Fi' -ServerAddresses {address}",
        ),
    )
    yield DeviceSettings(
        "Windows 11, netsh",
        "The same, from the command prompt.",
        (f"netsh dns add encryption server={address} dohtemplate={url} autoupgrade=yes udpfallback=no",),
    )
    yield DeviceSettings("Firefox", "policies.json", (json.dumps(firefox_policies(url)),))
    yield DeviceSettings("Chrome, Edge", "managed policies", (json.dumps(chromium_policies(url)),))
    if name:
        yield DeviceSettings(
            "systemd-resolved",
            f"/etc/systemd/resolved.conf.d/dns.conf.{only}",
            ("[Resolve]", f"DNS={address}#{name}", "DNSOverTLS=yes", "Domains=~."),
        )


def firefox_policies(doh_url: str) -> dict[str, object]:
    """The content of `policies.json`. Names are not resolved otherwise."""
    return {"policies": {"DNSOverHTTPS": {"Enabled": True, "ProviderURL": doh_url, "Locked": True, "Fallback": False}}}


def chromium_policies(doh_url: str) -> dict[str, object]:
    """Managed policies of Chrome, Chromium and Edge. Names are not resolved otherwise."""
    return {"DnsOverHttpsMode": "secure", "DnsOverHttpsTemplates": doh_url}
