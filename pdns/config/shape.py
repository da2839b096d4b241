"""Checks that TOML values match the types of the configuration's structs, and reports every mismatch."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from itertools import islice
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from pdns.config.addresses import without_secrets
from pdns.config.schema import MADE_FIELDS, Config
from pdns.config.value_types import MOST, Label
from pdns.errors import ConfigError

_SHOWN_CHARACTERS = 60
_REPEATED = ("feed", "policy", "tenant", "group", "zone", "record", "listener")
_HEADINGS = {name: f"[[{name}]]" for name in _REPEATED}
_MOVED = {"local.forward": 'replaced by [[zone]]: write names = [...] and servers = "default" there'}
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Report:
    """Collects the errors in one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[ConfigError] = []

    def add(self, key: str, reason: str) -> None:
        self.errors.append(ConfigError(self.file, key, reason))


def check(value: object, hint: Any, key: str, report: Report) -> bool:
    """Whether `value` converts to the annotation `hint`. Mismatches are reported under their own keys."""
    bare, meta = _split(hint)
    before = len(report.errors)
    if _is_struct(bare):
        if isinstance(value, Mapping):
            for name in check_names(value, bare, key, report):
                check(value[name.name], name.type, child(key, name.name), report)
        else:
            report.add(key, f"expected table{_brackets(key, value)}, got {show(value)}")
    elif get_origin(bare) is dict:
        item = get_args(bare)[1]
        if not isinstance(value, Mapping):
            report.add(key, f"expected table, got {show(value)}")
            return False
        for name, entry in value.items():
            check(entry, item, child(key, name), report)
    elif get_origin(bare) is tuple:
        item = get_args(bare)[0]
        if not isinstance(value, list | tuple) or len(value) < (meta.min_length or 0 if meta else 0):
            report.add(key, f"expected {describe(hint)}{_brackets(key, value)}, got {show(value)}{_in_brackets(value, item)}")
        else:
            for index, entry in enumerate(value):
                check(entry, item, f"{key}[{index}]", report)
    else:
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError:
            if hint == Label and isinstance(value, str) and _fits(value.lower(), hint):
                report.add(key, f"lower case only: {show(value.lower())}, got {show(value)}")
            else:
                report.add(key, f"expected {describe(hint, value)}, got {show(value)}{_meant(value, hint)}")
    return len(report.errors) == before


def check_names(table: Mapping[Any, object], struct: type, key: str, report: Report) -> list[msgspec.structs.FieldInfo]:
    """Reports unknown and missing names in `table`. Returns the fields of `struct` that are present."""
    fields = [field for field in msgspec.structs.fields(struct) if struct is not Config or field.name not in MADE_FIELDS]
    known = [field.name for field in fields]
    for name in table:
        if name not in known:
            where = child(key, name)
            report.add(where, _MOVED.get(where) or f"unknown key{_nearest(name, known)}")
    for field in fields:
        if field.required and field.name not in table:
            if _is_struct(field.type):
                check({}, field.type, child(key, field.name), report)
            else:
                report.add(child(key, field.name), "required")
    return [field for field in fields if field.name in table]


def describe(hint: Any, value: object = None) -> str:
    """A description of `hint`: `int >= 30`, `"block" or "monitor"`, `array of tables`.

    A very large bound is mentioned only when `value` is beyond it.
    """
    bare, meta = _split(hint)
    if meta is not None and meta.description:
        return meta.description
    if get_origin(bare) is Literal:
        *others, last = map(show, get_args(bare))
        return f"{', '.join(others)} or {last}"
    if get_origin(bare) is tuple:
        item, least = get_args(bare)[0], "non-empty " if meta is not None and meta.min_length else ""
        return f"{least}array of {'tables' if _is_struct(item) else f'{describe(item)}s'}"
    words = {bool: "true or false", int: "int", float: "number", str: "string"}.get(bare, "table")
    if meta is None:
        return words
    low, high = meta.ge if meta.ge is not None else meta.gt, meta.le
    beyond = isinstance(value, int | float) and high is not None and value > high
    if high is not None and (high < MOST or beyond):
        return f"{words} from {low} to {high}" if meta.gt is None else f"{words} > {low} and <= {high}"
    return f"{words} {'>=' if meta.gt is None else '>'} {low}"


def show(value: object) -> str:
    """`value` roughly as in TOML, on one line, at most 60 characters, without secrets in URLs."""
    text = _toml(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def child(key: str, name: object) -> str:
    """The path of `name` in the table at `key`."""
    bare = name if isinstance(name, str) and _BARE_KEY.fullmatch(name) and len(name) <= _SHOWN_CHARACTERS else show(name)
    return f"{key}.{bare}" if key else str(bare)


def _toml(value: object, *, inner: bool = False) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(without_secrets(value), ensure_ascii=not value.isprintable())
        case float():
            return repr(value)
        case int():
            return str(value) if abs(value) < 10**_SHOWN_CHARACTERS else "a very long number"
        case datetime() | date() | time():
            return value.isoformat()
        case list() | tuple():
            shown = "..." if inner and value else ", ".join(_toml(item, inner=True) for item in islice(value, _SHOWN_CHARACTERS))
            return f"[{shown}]"
        case Mapping():
            return "{ ... }" if value else "{}"
    return f"a {type(value).__name__}"


def _split(hint: Any) -> tuple[Any, msgspec.Meta | None]:
    if get_origin(hint) is Annotated:
        bare, meta = get_args(hint)
        return bare, meta
    return hint, None


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _brackets(key: str, value: object) -> str:
    """How to write the heading, if single and double brackets were confused."""
    match value:
        case Mapping():
            return f" (write [[{key}]])"
        case [Mapping(), *_] if "[" not in key:
            return f" (write {_HEADINGS.get(key.removesuffix('s')) or f'[{key}]'})"
    return ""


def _nearest(name: object, known: list[str]) -> str:
    if isinstance(name, str):
        if near := difflib.get_close_matches(name[:_SHOWN_CHARACTERS], known, n=1):
            return f'; did you mean "{near[0]}"?'
        elsewhere = [
            f'"{section.name}.{name}"'
            for section in msgspec.structs.fields(Config)
            if _is_struct(section.type) and name in section.type.__struct_fields__
        ]
        if elsewhere:
            return f"; did you mean {' or '.join(elsewhere)}?"
        several = [
            _HEADINGS[section.name]
            for section in msgspec.structs.fields(Config)
            if section.name in _HEADINGS and name in get_args(section.type)[0].__struct_fields__
        ]
        if several:
            return f"; its place is below {' or '.join(several)}"
    return f"; known here: {', '.join(known)}"


def _meant(value: object, hint: Any) -> str:
    """A suggestion for what was meant by `value`."""
    if not isinstance(value, str):
        return ""
    bare = _split(hint)[0]
    if hint == Label:
        label = re.sub(r"[^a-z0-9_-]+", "-", value.lower()).strip("-_")
        return f"; did you mean {show(label)}?" if _fits(label, hint) else ""
    if bare in (int, float, bool):
        text = value.strip().lower()
        return f"; write {text} without quotes" if _fits(text, hint, strict=False) else ""
    return meant(value, [str(choice) for choice in get_args(bare)])


def meant(value: str, choices: Sequence[str]) -> str:
    """The closest of `choices` to the misspelt `value`, as the end of a reason."""
    near = difflib.get_close_matches(value[:_SHOWN_CHARACTERS].lower(), choices, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _fits(value: str, hint: Any, *, strict: bool = True) -> bool:
    try:
        msgspec.convert(value, hint, strict=strict)
    except msgspec.ValidationError:
        return False
    return True


def _in_brackets(value: object, item: Any) -> str:
    """How to write one value for an array."""
    return f"; write [{show(value)}]" if value and isinstance(value, str) and not _is_struct(item) else ""
