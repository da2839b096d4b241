"""`[[policy]]` and `[[tenant]]`, as frozen structs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from pdns.config.value_types import (
    Action,
    ActionOrNone,
    ClientDetailOrNone,
    EntryAction,
    Label,
    LabelOrNone,
    Language,
    NotReadyOrNone,
    PolicyMode,
    Sha256,
    TimeOfDay,
    Weekday,
)


class PolicyEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name that a policy blocks or allows, whatever feeds list."""

    name: str
    action: EntryAction
    reason: str = ""
    until: str = ""


class Schedule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a policy does differently at some times of the week."""

    days: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    start: TimeOfDay = "00:00"
    end: TimeOfDay = "24:00"
    time_zone: str = "UTC"
    feeds: dict[str, PolicyMode] = {}
    categories: dict[str, PolicyMode] = {}


class PolicySection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is blocked, and how, for the tenants that name this policy. What is not set is as in the policy it inherits from."""

    name: Label
    inherits: LabelOrNone = ""
    feeds: dict[str, PolicyMode] = {}
    categories: dict[str, PolicyMode] = {}
    action: ActionOrNone = ""
    actions: dict[str, Action] = {}
    sinkhole: tuple[str, ...] = ()
    sinkholes: dict[str, tuple[str, ...]] = {}
    not_ready: NotReadyOrNone = ""
    allow: tuple[str, ...] = ()
    block: tuple[str, ...] = ()
    entry: tuple[PolicyEntry, ...] = ()
    schedule: tuple[Schedule, ...] = ()
    organisation: str = ""
    contact: tuple[str, ...] = ()
    language: Language = ""
    help_url: str = ""
    page_text: str = ""


class Tenant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of clients with its own label in metrics, its policy, and names that are never blocked for it."""

    name: Label
    networks: tuple[str, ...] = ()
    policy: Label = "default"
    display_name: str = ""
    allow: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    doh_token_sha256: Sha256 = ""
    tls_names: tuple[str, ...] = ()
    certificate_sha256: Sha256 = ""
    events_clients: ClientDetailOrNone = ""
    events_keep_days: Annotated[int, Meta(ge=0, le=3650)] = 0
