"""How a device reaches the resolver as one of its tenant's: URL, names, addresses."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from pdns.config.addresses import Endpoint, parse_address, parse_endpoint, parse_host
from pdns.config.certificate_files import read_pair
from pdns.config.listener_schema import ListenerSection
from pdns.config.policy_schema import Tenant
from pdns.config.schema import Config
from pdns.errors import InvalidAddress, InvalidCertificate, PdnsError

_PORT: Final = 443
_PATH: Final = "/dns-query"


class EnrolmentError(PdnsError):
    """A device cannot be told how to reach the resolver. The text says what to change."""


class ResolverAccess(msgspec.Struct, frozen=True, kw_only=True):
    """What a device needs to know. Of all its texts, only `doh_url` has the token, if the device has one."""

    tenant: str
    organisation: str  # as people know the tenant
    id: str = ""  # of the credential
    device: str = ""
    expires_s: float = 0.0  # seconds since the epoch; 0: never
    doh_url: str
    dot_name: str = ""  # "": no listener, or no TLS server name of the tenant
    names_admit: bool = False  # over DoT, the name admits devices from everywhere
    addresses: tuple[str, ...] = ()  # of the resolver, where they are known

    @property
    def host(self) -> str:
        """The host of `doh_url`."""
        return urlsplit(self.doh_url).hostname or ""

    def with_credential(self, credential: str, token: str, device: str, expires_s: float) -> ResolverAccess:
        """The same for a device with the credential of that ID; with a token, if it is one."""
        url = f"{self.doh_url}/{token}" if token else self.doh_url
        return msgspec.structs.replace(self, doh_url=url, id=credential, device=device, expires_s=expires_s)


def access_of(config: Config, tenant: Tenant, *, host: str = "", addresses: Sequence[str] = ()) -> ResolverAccess:
    """How devices of `tenant` reach the resolver: at `host`, or else at the first TLS server name of the tenant, or else at the
    first name in the certificate of the listener for DoH.

    Raises `EnrolmentError` without a listener for DoH, unless `host` is given, and for invalid or unknown hosts and addresses.
    """
    listener = next((one for one in config.listener if one.transport in ("https", "h3")), None)
    names = [one for one in config.listener if one.transport in ("tls", "quic")]
    if listener is None and not host:
        raise EnrolmentError('no [[listener]] has transport = "https": devices cannot reach this server; or say which host does')
    try:
        host = parse_host(host) if host else ""
        given = tuple(str(parse_address(text)) for text in addresses)
    except InvalidAddress as error:
        raise EnrolmentError(error.reason) from None
    host = host or next(iter(tenant.tls_names), "") or _name_in_certificate(listener)
    if not host:
        raise EnrolmentError("the host of the DoH URL is not known: say which, a name in the certificate")
    endpoint = _endpoint(listener)
    path = listener.path if listener is not None else _PATH
    return ResolverAccess(
        tenant=tenant.name,
        organisation=tenant.display_name or tenant.name,
        doh_url=_url(host, endpoint.port if endpoint is not None else _PORT, path),
        dot_name=next(iter(tenant.tls_names), "") if names else "",
        names_admit=any(one.admit_by_server_name for one in names),
        addresses=given or (() if endpoint is None or not _is_public(endpoint.host) else (endpoint.host,)),
    )


def _url(host: str, port: int, path: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"https://{shown}{path}" if port == _PORT else f"https://{shown}:{port}{path}"


def _endpoint(listener: ListenerSection | None) -> Endpoint | None:
    return None if listener is None else parse_endpoint(listener.listen[0], _PORT)


def _is_public(host: str) -> bool:
    """Whether devices elsewhere can reach the address."""
    return ip_address(host).is_global


def _name_in_certificate(listener: ListenerSection | None) -> str:
    if listener is None:
        return ""
    with suppress(InvalidCertificate, OSError):
        names = read_pair(Path(listener.cert_file), Path(listener.key_file)).details.names
        return next((name for name in names if not name.startswith("*")), "")
    return ""
