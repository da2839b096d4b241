"""Turns TOML files into a settled `Config`, or into the list of its errors."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET

from pdns.config import time_zones
from pdns.config.catalogue import filled
from pdns.config.conf_d import Parts, PartsReport, read_parts
from pdns.config.designation import designation_of
from pdns.config.fleet_rules import check_feeds
from pdns.config.record_rules import bounded, load_records
from pdns.config.rules import RuleContext, settle
from pdns.config.schema import MADE_FIELDS, Config
from pdns.config.shape import Report, check, check_names
from pdns.config.system import RESOLV_CONF
from pdns.config.toml_file import USUAL
from pdns.errors import ConfigErrors

EXAMPLE: Final = Path(__file__).parents[1] / "example" / "pdns.toml"
SEARCHED: Final = (*map(Path, USUAL), EXAMPLE)


def default_config_path(explicit: Path | None = None) -> Path:
    """`explicit` if given, else the first that exists of ./pdns.toml, /etc/protective-dns/pdns.toml, /etc/pdns/pdns.toml
    (of earlier versions) and the shipped example.
    """
    return explicit or next(path for path in SEARCHED if _is_there(path))


def load(path: Path, *, resolv_conf: Path = RESOLV_CONF) -> Config:
    """The configuration in the file at `path` and in the files beside it (`pdns.config.conf_d`), settled (see
    `pdns.config.schema`).

    Raises `ConfigErrors`, which holds every error found, each naming its file.
    """
    parts = read_parts(path)
    return from_tables(parts.tables, str(path), path.absolute().parent, resolv_conf=resolv_conf, parts=parts)


def from_tables(
    tables: Mapping[str, Any],
    file: str,
    directory: Path,
    *,
    resolv_conf: Path = RESOLV_CONF,
    parts: Parts | None = None,
    certificates_in_force: Container[tuple[str, ...]] = (),
) -> Config:
    """The configuration from parsed TOML. `file` names it in errors; relative paths start at `directory` (absolute). `parts`: the
    files that the tables came from. `certificates_in_force`: files of listeners that may be broken now, because their previous
    content is in memory.

    Raises `ConfigErrors`. A section of the wrong shape is not checked further; all others are.
    """
    report = Report(file) if parts is None else PartsReport(file, parts)
    check_feeds(tables, frozenset() if parts is None else parts.bundle_rows, report)
    tables = bounded(_with_catalogue(tables, report), report)
    around = RuleContext(report, directory, resolv_conf, certificates_in_force)
    present = {field.name for field in check_names(tables, Config, "", report)}
    sections: dict[str, Any] = {}
    for field in msgspec.structs.fields(Config):
        if field.name not in present:
            if not field.required and field.name not in MADE_FIELDS:
                sections[field.name] = settle(field.name, field.default, around)
        elif check(tables[field.name], field.type, field.name, report):
            section = msgspec.convert(tables[field.name], field.type)
            sections[field.name] = settle(field.name, section, around)
    made = load_records(sections.get("record", ()), sections.get("local"), report)
    if report.errors:
        raise ConfigErrors(report.errors)
    zones = {schedule.time_zone for policy in sections["policy"] for schedule in policy.schedule}
    offsets = time_zones.tables(zones, time.time()) if zones else UNSET
    designation = designation_of(sections["server"], sections["listener"])
    return Config(**sections, loaded_records=made, utc_offsets=offsets, designation=designation)


def _with_catalogue(tables: Mapping[str, Any], report: Report) -> Mapping[str, Any]:
    feeds = tables.get("feed")
    if not isinstance(feeds, list | tuple):
        return tables  # of the wrong type
    whole = [filled(feed, f"feed[{i}]", report) if isinstance(feed, Mapping) else feed for i, feed in enumerate(feeds)]
    return {**tables, "feed": whole}


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        pass  # no permission to look: fail with an error instead of using another file, which may protect no one
    return True
