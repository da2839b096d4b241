"""Rules for `[[publish]]`: zones for other resolvers. Paths, networks and endpoints are returned in canonical spelling."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from msgspec.structs import replace

from pdns.config import addresses
from pdns.config.addresses import Endpoint
from pdns.config.credentials import secret_path
from pdns.config.schema import Publish
from pdns.config.shape import Report, meant, show
from pdns.errors import InvalidAddress

T = TypeVar("T")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_OWN_FILES: Final = ("zone", "journal", "serial.json", "minisign.pub")  # of the directory of a zone
_NEEDS: Final = (("tsig_name", "tsig_secret_file"), ("tsig_secret_file", "tsig_name"), ("minisign_secret_file", "file"))


class PublishRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report
    directory: Path
    policies: Collection[str] | None

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...


def settle_published(zones: tuple[Publish, ...], around: PublishRuleContext) -> tuple[Publish, ...]:
    """`zones` in canonical form. Broken rules are reported."""
    settled: list[Publish] = []
    seen: dict[str, int] = {}
    for index, zone in enumerate(zones):
        settled.append(_settle(zone, f"publish[{index}]", around))
        first = seen.setdefault(settled[-1].zone, index)
        if first != index:
            around.report.add(f"publish[{index}].zone", f"{settled[-1].zone} is already publish[{first}]")
    return tuple(settled)


def _settle(zone: Publish, at: str, around: PublishRuleContext) -> Publish:
    settled: dict[str, Any] = {
        "zone": str(around.parse(f"{at}.zone", zone.zone, _zone_name) or zone.zone),
        "allow_transfer": around.canonical(f"{at}.allow_transfer", zone.allow_transfer, addresses.parse_network),
        "notify": around.canonical(f"{at}.notify", zone.notify, _secondary),
    }
    for key in ("tsig_secret_file", "minisign_secret_file"):
        if text := getattr(zone, key):
            path = around.parse(f"{at}.{key}", text, lambda text: secret_path(text, around.directory))
            settled[key] = str(path or text)
    for key, needed in _NEEDS:
        if getattr(zone, key) and not getattr(zone, needed):
            around.report.add(f"{at}.{key}", f"needs {needed} beside it")
    if around.policies is not None and zone.policy not in around.policies:
        known = sorted(around.policies)
        around.report.add(f"{at}.policy", f"no such policy: {show(zone.policy)}{meant(zone.policy, known)}")
    if zone.tsig_name:
        around.parse(f"{at}.tsig_name", zone.tsig_name, addresses.parse_allowed)
    is_served = bool(zone.allow_transfer or zone.tsig_name)
    if not (is_served or zone.file):
        expected = "expected at least one of allow_transfer, tsig_name and file: without them no one can have the zone"
        around.report.add(at, expected)
    if zone.notify and not is_served:
        around.report.add(f"{at}.notify", "needs allow_transfer or tsig_name beside it: no one could fetch the zone")
    if zone.file and (not _FILE_NAME.fullmatch(zone.file) or zone.file in _OWN_FILES or zone.file.endswith(".minisig")):
        around.report.add(
            f"{at}.file", f"expected the name of a file, such as pdns.rpz, without a directory, got {show(zone.file)}"
        )
    if zone.expire_s <= zone.refresh_s:
        around.report.add(f"{at}.expire_s", f"expected more than refresh_s ({zone.refresh_s}), got {zone.expire_s}")
    return replace(zone, **settled)


def _zone_name(text: str) -> str:
    name = addresses.parse_allowed(text)
    if name.below_only or name.name == b"\0":
        raise InvalidAddress("expected the name of a zone, such as rpz.example")
    return str(name)


def _secondary(text: str) -> Endpoint:
    endpoint = addresses.parse_endpoint(text)
    if not endpoint.port or endpoint.host in ("0.0.0.0", "::"):  # noqa: S104 (compared with)
        raise InvalidAddress("expected the address of one secondary, such as 192.0.2.1:53")
    return endpoint
