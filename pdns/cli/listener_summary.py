"""What `pdns check` and the banner say of encrypted listeners."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator, Sequence

from pdns.config.addresses import Endpoint, parse_endpoint, reachable
from pdns.config.certificate_files import CertificateDetails, known_roots
from pdns.config.listener_rules import details_of, listener_notes
from pdns.config.listener_schema import ListenerSection
from pdns.config.schema import Config

_DAY_S = 86400.0
_CURVE = "P-256"


def listener_summary(config: Config, now_s: float | None = None) -> Iterator[str]:
    """Each listener with its addresses, and each of its certificates: names, type of the key, days left, end of the chain."""
    now_s = time.time() if now_s is None else now_s
    for listener in config.listener:
        yield ", ".join(urls(listener))
        for details in details_of(listener):
            names = ", ".join((*details.names, *details.addresses)) or "no name"
            yield f"  {names} ({details.key_type}, {_days(details, now_s)}, {_chain(details)})"


def listener_warnings(config: Config, now_s: float | None = None) -> Iterator[str]:
    """What is valid and may fail clients."""
    for note in listener_notes(config.listener, now_s):
        yield f"{note.key}: {note.text}"
    for index, listener in enumerate(config.listener):
        every = details_of(listener)
        for details in every:
            if details.ends_with and details.ends_with not in known_roots():
                whose = next(iter(details.names), "a certificate")
                yield (
                    f"listener[{index}]: the chain of {whose} ends with {details.ends_with}, which is not a root of this system: "
                    "an issuer is missing in the file, or clients must trust that authority"
                )
        if every and not any(one.key_type.endswith(_CURVE) for one in every):
            yield f"listener[{index}]: ECDSA {_CURVE} makes handshakes cheaper: with RSA, each costs about three times as much"
        if missing := _addresses_without(listener, every):
            yield (
                f"listener[{index}]: no certificate has {', '.join(missing)}: clients that look for encryption by address (DDR, "
                "RFC 9462) cannot verify it there"
            )


def urls(listener: ListenerSection, bound: Sequence[Endpoint] = ()) -> list[str]:
    """Each address as a URL; `bound`: the addresses where they differ from the configuration."""
    return [f"{listener.transport}://{where}{listener.path}" for where in (bound or listener.listen)]


def attempt(listener: ListenerSection, endpoint: Endpoint, name: str) -> str:
    """A command that asks the listener at `endpoint` for `name`; "" where `kdig` cannot."""
    option = {"tls": "+tls", "https": f"+https={listener.path}", "quic": "+quic"}.get(listener.transport)
    where = reachable(endpoint)
    return f"kdig {option} @{where.host} -p {where.port} {name}" if option else ""


def _addresses_without(listener: ListenerSection, certificates: Sequence[CertificateDetails]) -> list[str]:
    hosts = {parse_endpoint(text).host for text in listener.listen}
    asked = [host for host in hosts if not ipaddress.ip_address(host).is_unspecified]
    covered = {address for one in certificates for address in one.addresses}
    return sorted(host for host in asked if host not in covered and not ipaddress.ip_address(host).is_loopback)


def _days(details: CertificateDetails, now_s: float) -> str:
    days = (details.not_after_s - now_s) / _DAY_S
    return f"expires in {days:.0f} days" if days > 0 else f"EXPIRED {-days:.0f} days ago"


def _chain(details: CertificateDetails) -> str:
    if not details.ends_with:
        return "self-signed" if details.chain == 1 else "with its root"
    return "chain complete" if details.ends_with in known_roots() else "chain not known here"
