"""The rules that hold the house up, kept by a test each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_LINES = 400

# What would make the core depend on the moment, the machine or the network. Time and chance are arguments there.
NOT_IN_CORE = {
    "asyncio", "datetime", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select", "selectors",
    "signal", "socket", "ssl", "subprocess", "sys", "threading", "time", "uvloop",
}  # fmt: skip
OPEN_TO_FEEDS = {
    "pdns.config.addresses", "pdns.blockset.reader", "pdns.blockset.layout", "pdns.blockset.writer", "pdns.clock", "pdns.config.schema",
    "pdns.confinement.confine", "pdns.ipc.channel", "pdns.core.embedded", "pdns.wire.names", "pdns.confinement.environment", "pdns.errors", "pdns.blockset.annotations",
    "pdns.state.feed_status", "pdns.free_text", "pdns.blockset.generations", "pdns.state.in_force", "pdns.logs", "pdns.net.sockets", "pdns.state.commands",
    "pdns.state.overrides", "pdns.files.records", "pdns.files.safe_files", "pdns.state.zone_changes",
}  # fmt: skip
OWNERS_OF_TASKS = {
    "pdns/supervisor/serve.py",
    "pdns/worker/runtime.py",
    "pdns/worker/__main__.py",
    "feeds/refresh.py",
    "pdns/cli/demo.py",
}


def _files(*folders: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


def _imported(file: str) -> set[str]:
    """Every module that `file` imports anywhere, and every `module.name` that it takes out of one."""
    names: set[str] = set()
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: line {node.lineno}: imports are absolute here"
            names.add(str(node.module))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def _is_in(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("file", _files("pdns/core"))
def test_core_is_sans_io(file: str) -> None:
    """Nothing in the core can read a clock, a socket, a file or a random number, write a log, or start anything."""
    assert sorted(name for name in _imported(file) if _is_in(name, NOT_IN_CORE)) == []


@pytest.mark.parametrize("file", _files("pdns/core"))
def test_core_stands_alone(file: str) -> None:
    """The core imports no part of the program but itself, the configuration, the errors and the blockset's types."""
    ours = {name for name in _imported(file) if _is_in(name, {"pdns", "feeds"}) and name != "pdns"}
    allowed = {"pdns.core", "pdns.config.schema", "pdns.errors", "pdns.blockset.reader"}
    assert sorted(name for name in ours if not _is_in(name, allowed)) == []


@pytest.mark.parametrize("file", [file for file in _files("pdns") if not file.startswith(("pdns/cli/", "pdns/demo/"))])
def test_the_resolver_does_not_know_feeds(file: str) -> None:
    """What answers queries imports nothing of feeds/: a fault there cannot reach it, and its libraries take no memory here."""
    assert sorted(name for name in _imported(file) if _is_in(name, {"feeds"})) == []


@pytest.mark.parametrize("file", _files("feeds"))
def test_feeds_use_only_what_is_meant_for_them(file: str) -> None:
    """feeds/ knows blocksets, names, configuration, errors, the status file, control channel and log; no more of pdns/."""
    ours = {name for name in _imported(file) if _is_in(name, {"pdns"}) and name not in ("pdns", "pdns.__version__", "pdns.core")}
    assert sorted(name for name in ours if not _is_in(name, OPEN_TO_FEEDS)) == []


@pytest.mark.parametrize("file", _files("pdns", "feeds"))
def test_modules_stay_short(file: str) -> None:
    """No module has more than 400 lines: past that there is a second concept in it."""
    assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("file", _files("pdns", "feeds", "loadtest"))
def test_modules_say_what_they_are(file: str) -> None:
    """Every module that holds code begins with a docstring."""
    tree = _tree(file)
    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize("file", [file for file in _files("tests") if Path(file).name.startswith("test_")])
def test_tests_state_their_facts(file: str) -> None:
    """Every module of tests, and every test, has a docstring that says what it proves."""
    functions = [node for node in ast.walk(_tree(file)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    silent = [node.name for node in functions if node.name.startswith("test_") and not ast.get_docstring(node)]
    assert ast.get_docstring(_tree(file))
    assert silent == []


@pytest.mark.parametrize("file", [file for file in _files("pdns", "feeds") if file not in OWNERS_OF_TASKS])
def test_tasks_have_an_owner(file: str) -> None:
    """asyncio.create_task is for the modules that own a process; elsewhere no task is started and then let go of."""
    assert list(_loose_tasks(file)) == []


def _loose_tasks(file: str) -> Iterator[str]:
    starters = {"create_task", "ensure_future"}
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.ImportFrom) and node.module == "asyncio":
            yield from (f"line {node.lineno}: {alias.name}" for alias in node.names if alias.name in starters)
        elif isinstance(node, ast.Attribute) and node.attr in starters and ast.unparse(node.value) == "asyncio":
            yield f"line {node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
            owner = ast.unparse(node.value.func.value)
            if node.value.func.attr in starters and owner.endswith(("loop", "loop()")):
                yield f"line {node.lineno}: {ast.unparse(node)}"


# What may write files outside the state directory, and why.
WRITERS = {
    "pdns/files/safe_files.py",
    "pdns/logs.py",  # standard error
    "pdns/demo/resolver.py",  # a directory of its own
    "feeds/build.py",  # the pipe to its parent
    "feeds/popular.py",  # a temporary directory
    "feeds/priority.py",  # /proc
}
_WRITING = {"write_text", "write_bytes", "mkdir", "makedirs", "touch", "symlink_to", "hardlink_to", "mkfifo"}
_LINKS = {"pdns/blockset/generations.py": {"symlink_to"}, "pdns/state/lock.py": {"mkdir"}, "pdns/blockset/writer.py": {"mkdir"}}


@pytest.mark.parametrize("file", [file for file in _files("pdns", "feeds") if file not in WRITERS])
def test_one_module_writes_files(file: str) -> None:
    """Nothing else opens a file for writing, makes a directory or follows a link on the way: `pdns.files.safe_files` does."""
    assert sorted(_writes(file)) == []


def _writes(file: str) -> Iterator[str]:
    for node in ast.walk(_tree(file)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name)):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        words = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        modes = [word for word in words if set(word) <= set("rwaxbt+") and set(word) & set("wax+")]
        opens = name == "open" and (modes or any(flag in ast.unparse(node) for flag in ("O_CREAT", "O_WRONLY", "O_RDWR")))
        makes = name in _WRITING - _LINKS.get(file, set()) and isinstance(node.func, ast.Attribute)
        if opens or makes:
            yield f"line {node.lineno}: {ast.unparse(node)}"
