"""Tenants and policies that are changed while the server runs: the one writer of `<state>/conf.d/50-api.toml`.

A change is checked with the whole configuration before the file is written. If it cannot go live, the file gets back what it had.
"""

from __future__ import annotations

import asyncio
import hashlib
import tomllib
from collections.abc import Awaitable, Callable, Container, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import tomli_w

from pdns.config.conf_d import API_SECTIONS, Parts, api_file, merged, read_parts
from pdns.config.load import from_tables
from pdns.config.toml_file import MAX_BYTES
from pdns.errors import ConfigError, PdnsError
from pdns.files.safe_files import make_directory, read_state, remove, write_whole

_HEAD: Final = "# Written by the API of pdns, which replaces the whole file at each change.\n\n"


class ConfigRow(NamedTuple):
    """One tenant or policy, as it is written, and the file that it is in."""

    section: str
    table: Mapping[str, Any]
    file: str

    @property
    def name(self) -> str:
        return str(self.table.get("name", ""))

    @property
    def etag(self) -> str:
        """A strong entity tag (RFC 9110, 8.8.3), in quotes."""
        content = msgspec.json.encode([self.section, self.table], order="sorted")
        return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


class SetElsewhereError(PdnsError):
    """A tenant or policy that an administrator has written into a file: it is changed there."""


class ChangedMeanwhileError(PdnsError):
    """The tenant or policy is not as the caller has seen it."""


Condition = Callable[[ConfigRow | None], bool]  # whether a change applies to this row; None: there is none


def rows(parts: Parts, section: str) -> list[ConfigRow]:
    """Every tenant or policy of `section`, in the order of the files."""
    tables = parts.tables.get(section, ())
    places = parts.rows.get(section, ())
    return [
        ConfigRow(section, table, place[0]) for table, place in zip(tables, places, strict=True) if isinstance(table, Mapping)
    ]


def row(parts: Parts, section: str, name: str) -> ConfigRow | None:
    """The tenant or policy `name`; None without one."""
    return next((one for one in rows(parts, section) if one.name == name), None)


class ConfigChanges:
    """One for each server. Changes are made one after the other."""

    def __init__(
        self,
        path: Path,
        state_dir: Path,
        reload: Callable[[], Awaitable[None]],
        certificates_in_force: Callable[[], Container[tuple[str, ...]]] = tuple,
    ) -> None:
        """`reload` makes the files live in every worker, and raises `PdnsError` when they cannot be. `certificates_in_force`
        returns files of listeners that may be broken now.
        """
        self._path, self._state_dir, self._reload = path, state_dir, reload
        self._certificates = certificates_in_force
        self._lock = asyncio.Lock()

    async def set(self, section: str, name: str, table: Mapping[str, Any], condition: Condition) -> ConfigRow:
        """Make the row `name` be `table`, and return it when it is in force in every worker.

        Raises `ChangedMeanwhileError` where `condition` is not met, `SetElsewhereError`, `ConfigErrors` for a table that is not
        valid, another `PdnsError` when it cannot go live, `OSError`. Nothing has changed then.
        """
        await self._change(section, name, {"name": name, **table}, condition)
        return ConfigRow(section, {"name": name, **table}, "")

    async def remove(self, section: str, name: str, condition: Condition) -> None:
        """Remove the row `name`, which is there. Raises as `set`."""
        await self._change(section, name, None, condition)

    async def _change(self, section: str, name: str, table: Mapping[str, Any] | None, condition: Condition) -> None:
        async with self._lock:
            parts = await asyncio.to_thread(read_parts, self._path, strict=True)
            before = row(parts, section, name)
            own = str(api_file(self._path, parts.each[str(self._path)]))
            if not condition(before):
                raise ChangedMeanwhileError(f"{section} {name} is not as you have seen it; read it again")
            if before is not None and before.file != own:
                raise SetElsewhereError(f"{section} {name} is set in {before.file}; change it there")
            after: dict[str, list[Mapping[str, Any]]] = {
                name_: [one.table for one in rows(parts, name_) if one.file == own] for name_ in API_SECTIONS
            }
            others = after[section]
            at = next((index for index, one in enumerate(others) if one.get("name") == name), len(others))
            others[at : at + 1] = [] if table is None else [table]
            await self._put_in_place(Path(own), parts, {key: value for key, value in after.items() if value})

    async def _put_in_place(self, own: Path, parts: Parts, tables: Mapping[str, Any]) -> None:
        text = _HEAD + tomli_w.dumps(tables)
        if len(text.encode()) > MAX_BYTES:
            raise ConfigError(str(own), "", f"it would be longer than {MAX_BYTES:,} bytes")
        await asyncio.to_thread(self._check, own, parts, tomllib.loads(text))
        before = await asyncio.to_thread(_content, own)
        await asyncio.to_thread(_write, own, text.encode())
        try:
            await self._reload()
        except BaseException:
            await asyncio.to_thread(_write, own, before)
            raise

    def _check(self, own: Path, parts: Parts, tables: Mapping[str, Any]) -> None:
        """Raise `ConfigErrors` unless the whole configuration would be valid."""
        files = {**parts.each, str(own): tables}
        would_be = merged(files, dict.fromkeys(files, ""), str(own), parts.bundle)
        from_tables(
            would_be.tables, str(self._path), self._path.absolute().parent,
            parts=would_be, certificates_in_force=self._certificates(),
        )  # fmt: skip


def _content(path: Path) -> bytes | None:
    try:
        return read_state(path, MAX_BYTES)
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes | None) -> None:
    if content is None:
        remove(path)
        return
    make_directory(path.parent, 0o750)
    write_whole(path, content, mode=0o640)
