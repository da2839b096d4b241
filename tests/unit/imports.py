"""Who imports whom, among the modules of the program: for the tests of the layout."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
Imports = dict[str, frozenset[str]]

_CYTHON_IMPORT = re.compile(r"^[ \t]*from ([\w.]+) c?import (\([^)]*\)|[^\n#(]*)", re.MULTILINE)


def imported(file: str) -> set[str]:
    """Every module that `file` imports anywhere, and every `module.name` that it takes out of one."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"), file)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: line {node.lineno}: imports are absolute here"
            names.add(str(node.module))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def _imported_by_cython(file: str) -> set[str]:
    names: set[str] = set()
    for module, taken in _CYTHON_IMPORT.findall((ROOT / file).read_text(encoding="utf-8")):
        names.add(module)
        names.update(f"{module}.{part.split()[0]}" for part in taken.strip("() \n").split(",") if part.split())
    return names


def is_in(name: str, packages: Iterable[str]) -> bool:
    """Whether a module is one of `packages` or inside one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


@cache
def modules() -> dict[str, list[str]]:
    """The modules of the program, a compiled one with its declarations, and the files of each."""
    found: dict[str, list[str]] = {}
    for top in ("pdns", "feeds"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in (".py", ".pyi", ".pyx", ".pxd"):
                name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
                found.setdefault(name, []).append(str(path.relative_to(ROOT)))
    return found


@cache
def all_imports() -> Imports:
    """The modules of ours that each imports, also for type checkers only. Folders without code in `__init__.py` do not count."""
    found = {}
    for module, files in modules().items():
        named = [_imported_by_cython(file) if file.endswith((".pyx", ".pxd")) else imported(file) for file in files]
        ours = {name for names in named for name in names if name in modules() and name != module}
        found[module] = frozenset(name for name in ours if any((ROOT / file).stat().st_size for file in modules()[name]))
    return found


def without(exceptions: Collection[tuple[str, str]]) -> Imports:
    """All imports but those (importer, imported)."""
    return {
        module: frozenset(name for name in names if (module, name) not in exceptions) for module, names in all_imports().items()
    }


def ways_from(module: str, imports: Imports) -> dict[str, list[str]]:
    """Every module that `module` imports, directly or not, each with the shortest way there."""
    ways = {module: [module]}
    todo = [module]
    for at in todo:
        for name in sorted(imports[at]):
            if name not in ways:
                ways[name] = [*ways[at], name]
                todo.append(name)
    return ways


def ways_into(folders: Iterable[str], forbidden: Iterable[str], imports: Imports) -> list[str]:
    """The ways from a module of `folders` into a module of `forbidden`."""
    begin = [module for module in modules() if is_in(module, folders)]
    ways = [way for module in begin for reached, way in ways_from(module, imports).items() if is_in(reached, forbidden)]
    return sorted(" -> ".join(way) for way in ways)


def ways_out_of(folders: list[str], allowed: list[str], imports: Imports) -> list[str]:
    """The ways from a module of `folders` to one of ours that is neither there nor in `allowed`."""
    begin = [module for module in modules() if is_in(module, folders)]
    ways = [way for module in begin for way in ways_from(module, imports).values()]
    return sorted(" -> ".join(way) for way in ways if not is_in(way[-1], [*folders, *allowed]) and way[-1] != "pdns")


def cycles(imports: Imports) -> list[str]:
    """Every group of modules that import each other, directly or not, as one line."""
    reached = {module: set(ways_from(module, {**dict.fromkeys(modules(), frozenset()), **imports})) for module in imports}
    groups = {
        frozenset(other for other in reached[module] if other in reached and module in reached[other]) for module in imports
    }
    return sorted(" ".join(sorted(group)) for group in groups if len(group) > 1)
