"""Rules for `[[report]]` and `[mail]`. Paths, hosts and names of tenants are returned in canonical spelling."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from pdns.config import addresses, time_zones
from pdns.config.report_schema import Mail, ScheduledReport
from pdns.config.shape import Report, meant, show

MOST_REPORTS: Final = 100
MOST_RECIPIENTS: Final = 100
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")  # RFC 5322, 3.4.1, without quotes
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}

T = TypeVar("T")


class ReportRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report
    directory: Path
    tenants: Collection[str] | None
    sends_mail: bool

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def file(self, key: str, text: str) -> Path | None: ...


def settle_mail(mail: Mail, around: ReportRuleContext) -> Mail:
    """`[mail]` in canonical form. Broken rules are reported."""
    around.sends_mail = bool(mail.host)
    if not mail.host:
        for key in ("user", "password_file", "sender", "ca_file"):
            if getattr(mail, key):
                around.report.add("mail.host", f"required with mail.{key}")
                break
        return mail
    host = around.parse("mail.host", mail.host, addresses.parse_host)
    if not _ADDRESS.fullmatch(mail.sender):
        got = f", got {show(mail.sender)}" if mail.sender else ""
        around.report.add("mail.sender", f'expected the address that reports come from, such as "pdns@council.example"{got}')
    for key, other in (("user", "password_file"), ("password_file", "user")):
        if getattr(mail, key) and not getattr(mail, other):
            around.report.add(f"mail.{other}", f"required with mail.{key}")
    if mail.tls == "none" and not _is_loopback(mail.host):
        around.report.add("mail.tls", '"none" only for a server on this machine, because reports would be sent unencrypted')
    if mail.tls == "none" and mail.user:
        around.report.add("mail.tls", 'expected "starttls" or "tls" with mail.user, because a password needs encryption')
    files = {key: str(around.file(f"mail.{key}", text) or "") if (text := getattr(mail, key)) else ""
             for key in ("password_file", "ca_file")}  # fmt: skip
    return replace(
        mail,
        host=str(host or mail.host),
        port=mail.port or _PORTS[mail.tls],
        password_file=files["password_file"],
        ca_file=files["ca_file"],
    )


def settle_reports(reports: tuple[ScheduledReport, ...], around: ReportRuleContext) -> tuple[ScheduledReport, ...]:
    """`reports` in canonical form. Broken rules are reported."""
    if len(reports) > MOST_REPORTS:
        around.report.add("report", f"expected at most {MOST_REPORTS}, got {len(reports)}")
    seen: dict[str, int] = {}
    settled: list[ScheduledReport] = []
    for index, report in enumerate(reports):
        at = f"report[{index}]"
        if (first := seen.setdefault(report.name, index)) < index:
            around.report.add(f"{at}.name", f'"{report.name}" is already report[{first}]')
        _check_tenants(report, at, around)
        _check_times(report, at, around)
        _check_recipients(report, at, around)
        settled.append(replace(report, directory=_directory(report.directory, f"{at}.directory", around)))
    return tuple(settled)


def _directory(text: str, key: str, around: ReportRuleContext) -> str:
    path = around.parse(key, text, lambda text: addresses.absolute_path(text, around.directory)) if text else None
    if path is not None and os.path.exists(path) and not os.path.isdir(path):  # noqa: PTH110, PTH112 (Path's raise on EACCES)
        around.report.add(key, f"expected a directory, got {show(str(path))}")
    return os.path.realpath(path) if path is not None else ""  # below it no link is followed


def _check_tenants(report: ScheduledReport, at: str, around: ReportRuleContext) -> None:
    if isinstance(report.tenants, str):
        return
    if not report.tenants:
        around.report.add(f"{at}.tenants", 'expected at least one tenant, "all" or "each"')
    for number, tenant in enumerate(report.tenants):
        if around.tenants is not None and tenant not in around.tenants:
            hint = meant(tenant, sorted(around.tenants))
            around.report.add(f"{at}.tenants[{number}]", f"no [[tenant]] has this name, got {show(tenant)}{hint}")


def _check_times(report: ScheduledReport, at: str, around: ReportRuleContext) -> None:
    if report.time == "24:00":
        around.report.add(f"{at}.time", 'expected a time before 24:00; "00:00" is the beginning of the day')
    if not time_zones.is_known(report.time_zone):
        around.report.add(f"{at}.time_zone", f'expected a time zone such as "Europe/London", got {show(report.time_zone)}')
    if report.every != "week" and report.day != "mon":
        around.report.add(f"{at}.day", f'only for every = "week", not "{report.every}"')


def _check_recipients(report: ScheduledReport, at: str, around: ReportRuleContext) -> None:
    if report.mail_to and not around.sends_mail:
        around.report.add(f"{at}.mail_to", "needs mail.host and mail.sender")
    if len(report.mail_to) > MOST_RECIPIENTS:
        around.report.add(f"{at}.mail_to", f"expected at most {MOST_RECIPIENTS}, got {len(report.mail_to)}")
    for number, address in enumerate(report.mail_to):
        if not _ADDRESS.fullmatch(address):
            expected = 'expected the address of a mailbox, such as "soc@council.example"'
            around.report.add(f"{at}.mail_to[{number}]", f"{expected}, got {show(address)}")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
