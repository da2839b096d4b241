"""How a device reaches the resolver as one of its tenant's: URL, names, addresses."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec


class ResolverAccess(msgspec.Struct, frozen=True, kw_only=True):
    """What a device needs to know. `doh_url` has the token, if the device has one: nothing else does."""

    tenant: str
    organisation: str  # as people know the tenant
    id: str  # of the credential
    device: str = ""
    expires_s: float = 0.0  # seconds since the epoch; 0: never
    doh_url: str
    dot_name: str = ""  # "": the tenant has no TLS server name of its own
    addresses: tuple[str, ...] = ()  # of the resolver, where they are known

    @property
    def host(self) -> str:
        """The host of `doh_url`."""
        return urlsplit(self.doh_url).hostname or ""


def doh_url(host: str, port: int, path: str, token: str) -> str:
    """The DoH URL of a device; without a token, that of devices which are known by something else."""
    shown = f"[{host}]" if ":" in host else host
    where = shown if port == 443 else f"{shown}:{port}"
    return f"https://{where}{path}" + (f"/{token}" if token else "")
