"""Turns a TOML file into a settled `Config`, or into the list of its errors."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET

from pdns.config import time_zones
from pdns.config.catalogue import filled
from pdns.config.record_rules import bounded, load_records
from pdns.config.rules import RuleContext, settle
from pdns.config.schema import MADE_FIELDS, Config
from pdns.config.shape import Report, check, check_names
from pdns.config.syntax import explain
from pdns.config.system import RESOLV_CONF
from pdns.errors import ConfigError, ConfigErrors

EXAMPLE: Final = Path(__file__).parents[1] / "example" / "pdns.toml"
MAX_BYTES: Final = 16 * 1024 * 1024
SEARCHED: Final = (Path("pdns.toml"), Path("/etc/pdns/pdns.toml"), EXAMPLE)

_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")  # the byte order mark of some Windows files


def default_config_path(explicit: Path | None = None) -> Path:
    """`explicit` if given, else the first that exists of ./pdns.toml, /etc/pdns/pdns.toml and the shipped example."""
    return explicit or next(path for path in SEARCHED if _is_there(path))


def load(path: Path, *, resolv_conf: Path = RESOLV_CONF) -> Config:
    """The configuration in the file at `path`, settled (see `pdns.config.schema`).

    Raises `ConfigErrors`, which holds every error found, each naming the file as `path` does.
    """
    return from_tables(read_tables(path), str(path), path.absolute().parent, resolv_conf=resolv_conf)


def read_tables(path: Path) -> Mapping[str, Any]:
    """The parsed TOML of the file at `path`. Raises `ConfigErrors`, with one error."""
    file = str(path)
    try:
        with path.open("rb") as opened:  # it may be a pipe: `-c <(make-config)`
            content = opened.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigErrors([ConfigError(file, "", f"longer than {MAX_BYTES:,} bytes")])
        text = content.decode("utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError:
        reason = f"no such file; without -c, the first of {', '.join(map(str, SEARCHED[:2]))} and the shipped example is used"
        raise ConfigErrors([ConfigError(file, "", reason)]) from None
    except OSError as error:
        raise ConfigErrors([ConfigError(file, "", error.strerror or "cannot be read")]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        reason = f"line {line}: not UTF-8: save the file in that encoding"
        if error.object.startswith(_UTF_16):
            reason = "is in UTF-16: save it in UTF-8"
        raise ConfigErrors([ConfigError(file, "", reason)]) from None
    except RecursionError:
        raise ConfigErrors([ConfigError(file, "", "nested too deeply")]) from None
    except ValueError as error:
        raise ConfigErrors([ConfigError(file, "", explain(str(error), text))]) from None


def from_tables(tables: Mapping[str, Any], file: str, directory: Path, *, resolv_conf: Path = RESOLV_CONF) -> Config:
    """The configuration from parsed TOML. `file` names it in errors; relative paths start at `directory` (absolute).

    Raises `ConfigErrors`. A section of the wrong shape is not checked further; all others are.
    """
    report = Report(file)
    tables = bounded(_with_catalogue(tables, report), report)
    around = RuleContext(report, directory, resolv_conf)
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
    return Config(**sections, loaded_records=made, utc_offsets=time_zones.tables(zones, time.time()) if zones else UNSET)


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
