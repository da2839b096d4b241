"""Rules for `[[policy]]` and `[[tenant]]`: what can be said is sound, and says what it seems to say."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from pdns.config import addresses, time_zones
from pdns.config.policies import DEFAULT_POLICY, expires_s
from pdns.config.policy_schema import PolicyEntry, PolicySection, Schedule, Tenant
from pdns.config.shape import Report, child, meant, show
from pdns.config.value_types import CATEGORIES

RESERVED_TENANTS: Final = ("default", "other")  # clients of no tenant; tenants beyond the number of labels in metrics
MOST_POLICIES: Final = 1000
MOST_TENANTS: Final = 10_000
LOCAL_CATEGORY: Final = "local"  # of names that an entry blocks
MOST_TEXT_CHARACTERS: Final = 1000
_CONTACT_SCHEMES: Final = ("mailto", "tel", "sips", "https")
_URI: Final = re.compile(r"[!-~]{1,200}")

T = TypeVar("T")


class PolicyRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report
    feeds: tuple[str, ...] | None
    policies: Collection[str] | None

    @property
    def encrypted(self) -> Mapping[Any, str]: ...
    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def parse_all(self, key: str, texts: Iterable[str], parser: Callable[[str], T]) -> dict[T, str]: ...
    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...


def settle_sinkhole(texts: Iterable[str], key: str, around: PolicyRuleContext) -> tuple[str, ...]:
    """At most one address of each family, in canonical spelling."""
    taken: dict[int, str] = {}
    sinkhole = []
    for index, text in enumerate(texts):
        at = f"{key}[{index}]"
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            address = None
        if address is None or "%" in text:
            around.report.add(at, f"expected an IP address, got {show(text)}")
        elif address.version in taken:
            expected = f"expected at most one IPv{address.version} address, but {taken[address.version]} is one already"
            around.report.add(at, expected)
        else:
            taken[address.version] = at
            sinkhole.append(str(address))
    return tuple(sinkhole)


def settle_policies(policies: tuple[PolicySection, ...], around: PolicyRuleContext) -> tuple[PolicySection, ...]:
    """All `[[policy]]`."""
    known = {section.name for section in policies} | {DEFAULT_POLICY}
    around.policies = known
    if len(policies) > MOST_POLICIES:
        around.report.add("policy", f"expected at most {MOST_POLICIES:,}, got {len(policies):,}")
        return ()
    by_name: dict[str, int] = {}
    for index, section in enumerate(policies):
        if (first := by_name.setdefault(section.name, index)) != index:
            around.report.add(f"policy[{index}].name", f'"{section.name}" is already policy[{first}]')
    inherits = {section.name: section.inherits or DEFAULT_POLICY for section in policies}
    for index, section in enumerate(policies):
        _check_inheritance(section, f"policy[{index}]", inherits, sorted(known), around)
    return tuple(_settle(section, f"policy[{index}]", around) for index, section in enumerate(policies))


def settle_tenants(tenants: tuple[Tenant, ...], around: PolicyRuleContext) -> tuple[Tenant, ...]:
    """All `[[tenant]]`."""
    if len(tenants) > MOST_TENANTS:
        around.report.add("tenant", f"expected at most {MOST_TENANTS:,}, got {len(tenants):,}")
        return ()
    taken: dict[str, int] = {}
    owners: dict[object, str] = {}
    settled = []
    for index, tenant in enumerate(tenants):
        at = f"tenant[{index}]"
        if (first := taken.setdefault(tenant.name, index)) != index:
            around.report.add(f"{at}.name", f'"{tenant.name}" is already tenant[{first}]')
        if tenant.name in RESERVED_TENANTS:
            around.report.add(f"{at}.name", f'"{tenant.name}" is reserved; choose another')
        if around.policies is not None and tenant.policy not in around.policies:
            known = sorted(around.policies)
            reason = f"no such policy: {show(tenant.policy)}{meant(tenant.policy, known)}; write [[policy]] with that name"
            around.report.add(f"{at}.policy", reason)
        shows = tenant.networks or tenant.doh_token_sha256 or tenant.tls_names or tenant.certificate_sha256
        if not (shows or around.encrypted):  # where there are encrypted listeners, devices may be enrolled
            around.report.add(f"{at}.networks", "required: without it no client is of this tenant")
        networks = around.parse_all(f"{at}.networks", tenant.networks, addresses.parse_network)
        _owned(networks, f"{at}.networks", owners, around)
        tls_names = around.parse_all(f"{at}.tls_names", tenant.tls_names, addresses.parse_host)
        _owned(tls_names, f"{at}.tls_names", owners, around)
        for field in ("doh_token_sha256", "certificate_sha256"):
            if digest := getattr(tenant, field).lower():
                _owned({(field, digest): f"{at}.{field}"}, f"{at}.{field}", owners, around)
        settled.append(
            replace(
                tenant,
                networks=tuple(map(str, networks)),
                allow=around.canonical(f"{at}.allow", tenant.allow, addresses.parse_allowed),
                domains=around.canonical(f"{at}.domains", tenant.domains, addresses.parse_allowed),
                display_name=_text(tenant.display_name, f"{at}.display_name", around),
                tls_names=tuple(map(str, tls_names)),
                doh_token_sha256=tenant.doh_token_sha256.lower(),
                certificate_sha256=tenant.certificate_sha256.lower(),
            )
        )
    return tuple(settled)


def _owned(values: Mapping[Any, str], key: str, owners: dict[object, str], around: PolicyRuleContext) -> None:
    for value, at in values.items():
        if owners.setdefault(value, key) != key:
            shown = "it" if isinstance(value, tuple) else value
            around.report.add(at, f"{shown} is already in {owners[value]}")


def _check_inheritance(
    section: PolicySection, at: str, inherits: Mapping[str, str], known: list[str], around: PolicyRuleContext
) -> None:
    key = f"{at}.inherits"
    if section.name == DEFAULT_POLICY:
        if section.inherits:
            around.report.add(key, 'the policy "default" inherits from no other: [block] and [[feed]] say what it begins with')
        return
    if section.inherits and section.inherits not in known:
        around.report.add(key, f"no such policy: {show(section.inherits)}{meant(section.inherits, known)}")
        return
    path = [section.name]
    while (name := inherits.get(path[-1], DEFAULT_POLICY)) != DEFAULT_POLICY:
        if name in path:
            if name == section.name:
                around.report.add(key, f"a circle: {' inherits from '.join([*path, name])}")
            return
        path.append(name)


def _settle(section: PolicySection, at: str, around: PolicyRuleContext) -> PolicySection:
    _check_modes(section, at, around)
    for table in ("actions", "sinkholes"):
        _check_keys(getattr(section, table), f"{at}.{table}", (*CATEGORIES, LOCAL_CATEGORY), around)
    sinkholes = {
        category: settle_sinkhole(texts, child(f"{at}.sinkholes", category), around)
        for category, texts in section.sinkholes.items()
    }
    for category, texts in section.sinkholes.items():
        if not texts:
            around.report.add(child(f"{at}.sinkholes", category), "expected non-empty array of strings, got []")
    allow = around.parse_all(f"{at}.allow", section.allow, addresses.parse_allowed)
    block = around.parse_all(f"{at}.block", section.block, addresses.parse_allowed)
    said = {str(name): key for name, key in block.items()}
    for name, key in allow.items():
        if (other := said.setdefault(str(name), key)) != key:
            around.report.add(key, f"{name} is already {other}")
    entries = tuple(_entry(entry, f"{at}.entry[{index}]", said, around) for index, entry in enumerate(section.entry))
    for index, one in enumerate(section.schedule):
        _check_schedule(one, f"{at}.schedule[{index}]", around)
    for index, uri in enumerate(section.contact):
        if not _URI.fullmatch(uri) or urlsplit(uri).scheme not in _CONTACT_SCHEMES:
            expected = 'expected a URI such as "mailto:it@council.example" or "tel:+44-113-496-0000"'
            around.report.add(f"{at}.contact[{index}]", f"{expected}, got {show(uri)}")
    if section.help_url and (not _URI.fullmatch(section.help_url) or urlsplit(section.help_url).scheme not in ("http", "https")):
        around.report.add(f"{at}.help_url", f"expected a URL with http or https, got {show(section.help_url)}")
    return replace(
        section,
        sinkhole=settle_sinkhole(section.sinkhole, f"{at}.sinkhole", around),
        sinkholes=sinkholes,
        allow=tuple(map(str, allow)),
        block=tuple(map(str, block)),
        entry=entries,
        organisation=_text(section.organisation, f"{at}.organisation", around),
        page_text=_text(section.page_text, f"{at}.page_text", around),
    )


def _entry(entry: PolicyEntry, at: str, said: dict[str, str], around: PolicyRuleContext) -> PolicyEntry:
    name = around.parse(f"{at}.name", entry.name, addresses.parse_allowed)
    try:
        expires_s(entry.until)
    except ValueError:
        expected = 'expected a date and time with a zone, such as "2026-12-24T18:00:00Z"'
        around.report.add(f"{at}.until", f"{expected}, got {show(entry.until)}")
    if name is None:
        return entry
    if (other := said.setdefault(str(name), f"{at}.name")) != f"{at}.name":
        around.report.add(f"{at}.name", f"{name} is already {other}")
    return replace(entry, name=str(name), reason=_text(entry.reason, f"{at}.reason", around))


def _check_schedule(schedule: Schedule, at: str, around: PolicyRuleContext) -> None:
    if not schedule.days:
        around.report.add(f"{at}.days", "expected non-empty array of strings, got []")
    if schedule.start in (schedule.end, "24:00"):
        around.report.add(f"{at}.end", f"expected another time than start, and start before 24:00, got {show(schedule.end)}")
    if not time_zones.is_known(schedule.time_zone):
        around.report.add(f"{at}.time_zone", f'expected a time zone such as "Europe/London", got {show(schedule.time_zone)}')
    _check_modes(schedule, at, around)
    if not schedule.feeds and not schedule.categories:
        around.report.add(at, "changes nothing: set feeds or categories")


def _check_modes(section: PolicySection | Schedule, at: str, around: PolicyRuleContext) -> None:
    _check_keys(section.categories, f"{at}.categories", CATEGORIES, around)
    if around.feeds is not None:
        _check_keys(section.feeds, f"{at}.feeds", around.feeds, around, "no such feed")


def _check_keys(
    table: Mapping[str, object], at: str, known: tuple[str, ...], around: PolicyRuleContext, what: str = "no such category"
) -> None:
    for name in table:
        if name not in known:
            others = f"; known: {', '.join(known)}" if known else ""
            around.report.add(child(at, name), f"{what}{meant(name, known) or others}")


def _text(text: str, key: str, around: PolicyRuleContext) -> str:
    if len(text) > MOST_TEXT_CHARACTERS:
        around.report.add(key, f"expected at most {MOST_TEXT_CHARACTERS} characters, got {len(text)}")
    elif any(not character.isprintable() and character != "\n" for character in text):
        around.report.add(key, f"expected text without control characters, got {show(text)}")
    return text
