"""`[[report]]` and `[mail]`, as frozen structs."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from pdns.config.value_types import Label, PositiveSeconds, TimeOfDay, Weekday

TenantsOrWord = Annotated[
    tuple[str, ...] | Literal["all", "each"], Meta(description='array of strings, "all" or "each"')
]  # fmt: skip
ReportForms = Annotated[
    tuple[Literal["html", "json", "csv", "text"], ...],
    Meta(min_length=1, description='non-empty array of "html", "json", "csv" or "text"'),
]


class ScheduledReport(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A report that is written regularly."""

    name: Label
    tenants: TenantsOrWord = "all"
    every: Literal["day", "week", "month"] = "week"
    day: Weekday = "mon"
    time: TimeOfDay = "06:00"
    time_zone: str = "UTC"
    formats: ReportForms = ("html",)
    directory: str = ""
    keep: Annotated[int, Meta(ge=1, le=1000)] = 60
    mail_to: tuple[str, ...] = ()


class Mail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server that sends mail."""

    host: str = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password_file: str = ""
    sender: str = ""
    ca_file: str = ""
    timeout_s: PositiveSeconds = 30.0
