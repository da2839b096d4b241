"""The rules of the layout: who imports whom, how long files are, who starts tasks and writes files. One test each.

Rules about imports hold along every path, not only between neighbours. A known exception is named with its reason; one that is no
longer needed fails a test, so that the lists only get shorter.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.unit.imports import all_imports, cycles, imported, is_in, modules, ways_into, ways_out_of, without

ROOT = Path(__file__).parents[2]
MAX_LINES = 400

# What would make the core depend on the moment, the machine or the network. Time and chance are arguments there.
NOT_IN_CORE = {
    "asyncio", "datetime", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select", "selectors",
    "signal", "socket", "ssl", "subprocess", "sys", "threading", "time", "uvloop",
}  # fmt: skip
OPEN_TO_FEEDS = {
    "pdns.blockset", "pdns.clock", "pdns.config", "pdns.confinement", "pdns.core.embedded", "pdns.core.listing", "pdns.errors",
    "pdns.files", "pdns.free_text", "pdns.ipc", "pdns.logs", "pdns.net.sockets", "pdns.net.tls", "pdns.state", "pdns.wire",
}  # fmt: skip
KERNEL_OF_FEEDS = "pdns.fast.name_writer"  # and the small parts that it is made of
PARTS_OF_IT = ["pdns.fast.name_table", "pdns.fast.checks", "pdns.fast.xxh3"]
OWNERS_OF_TASKS = {
    "pdns/supervisor/serve.py", "pdns/worker/runtime.py", "pdns/worker/__main__.py", "pdns/worker/state_watch.py",
    "feeds/refresh.py", "pdns/cli/demo.py",
}  # fmt: skip

# What stands at the top of each tree. A new folder has an owner: say whose it is in docs/architecture.md, then name it here.
TOP = {
    "pdns": {
        "__init__.py",
        "__main__.py",
        "answer_preview.py",
        "backup.py",
        "blockset",
        "case_lookup.py",
        "cli",
        "clock.py",
        "config",
        "confinement",
        "core",
        "demo",
        "enrolment",
        "errors.py",
        "event_erasing.py",
        "event_store",
        "events",
        "example",
        "explain.py",
        "policy_diff.py",
        "quic",
        "fast",
        "files",
        "free_text.py",
        "history",
        "http",
        "incident_lookup.py",
        "ipc",
        "logs.py",
        "net",
        "page",
        "py.typed",
        "reference",
        "report",
        "report_commands.py",
        "state",
        "supervisor",
        "telemetry",
        "upstream",
        "version.py",
        "wire",
        "worker",
    }
}

_PREVIEW = "the admin API shows what the resolver would answer"
_LOOK_UPS = "servers of feeds are looked up over DoH, DoQ and with pins by the code that workers ask with"
# Imports that break a rule below today: (importer, imported): why.
KNOWN_IMPORTS = {
    ("feeds.fetch.encrypted_upstreams", "pdns.upstream"): _LOOK_UPS,
    ("pdns.answer_preview", "pdns.core.resolver"): _PREVIEW,
    ("pdns.answer_preview", "pdns.reference.first_stages"): _PREVIEW,
}


IMPORTS = without(KNOWN_IMPORTS)


def _files(*folders: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


def test_the_tree_shows_its_owners() -> None:
    """At the top of `pdns/` stand the folders of the three processes and what they share, and nothing else."""
    for top, names in TOP.items():
        there = {path.name for path in (ROOT / top).iterdir() if path.name not in ("__pycache__", "commit.txt")}
        assert there == names


def test_entry_points_keep_their_names() -> None:
    """A running program starts its children from the files of a later version: their names never change."""
    processes = [f"pdns/{name}/__main__.py" for name in ("worker", "page", "events", "quic")]
    for file in (*processes, "feeds/refresh.py", "feeds/build.py"):
        assert 'if __name__ == "__main__":' in (ROOT / file).read_text(encoding="utf-8")


def test_wire_and_errors_stand_alone() -> None:
    """`errors` imports nothing of ours, `wire` only the errors."""
    assert ways_out_of(["pdns.errors"], [], IMPORTS) == []
    assert ways_out_of(["pdns.wire"], ["pdns.errors"], IMPORTS) == []


@pytest.mark.parametrize("file", _files("pdns/core"))
def test_core_is_sans_io(file: str) -> None:
    """Nothing in the core can read a clock, a socket, a file or a random number, write a log, or start anything."""
    assert sorted(name for name in imported(file) if is_in(name, NOT_IN_CORE)) == []


def test_core_stands_alone() -> None:
    """The core imports bytes and values, the configuration and the errors."""
    assert ways_out_of(["pdns.core"], ["pdns.wire", "pdns.config", "pdns.errors"], IMPORTS) == []


def test_one_module_chooses_the_kernels() -> None:
    """`pdns/worker/kernels.py` alone imports compiled kernels, and `feeds/kernels.py` the one that compiles lists. Their
    reference is for tests and for what explains answers.
    """
    kernels = ["pdns.fast", "pdns.reference"]
    outside = [
        f"{module} -> {name}"
        for module, names in IMPORTS.items()
        for name in names
        if is_in(name, kernels) and not is_in(module, [*kernels, "pdns.worker.kernels"])
        if not (module == "pdns.answer_preview" and is_in(name, ["pdns.reference"]))
        if not (module == "feeds.kernels" and is_in(name, [KERNEL_OF_FEEDS]))
    ]
    assert sorted(outside) == []


def test_a_kernel_and_its_specification_name_each_other() -> None:
    """Every kernel names the Python that says what it does, and is named there: who changes one finds the other."""
    kernels = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "pdns/fast").glob("*.pyx"))
    specified = {(kernel, *place.split(":")) for kernel in kernels for place in _marked(kernel, "specification")}
    assert sorted(set(kernels) - {kernel for kernel, _, _ in specified}) == []
    for kernel, file, name in sorted(specified):
        defined = {node.name for node in ast.walk(_tree(file)) if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        assert set(name.split(".")) <= defined, f"{kernel}: there is no {file}:{name}"
    named = {(kernel, file) for file in _files("pdns") for kernel in _marked(file, "kernel")}
    assert named == {(kernel, file) for kernel, file, _ in specified}


def _marked(file: str, mark: str) -> list[str]:
    return re.findall(rf"^# {mark}: (.+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_upstreams_and_blocksets_do_not_know_kernels() -> None:
    """What asks upstreams and what reads blocksets gets its kernels handed in."""
    assert ways_into(["pdns.upstream", "pdns.blockset"], ["pdns.fast"], IMPORTS) == []


def test_the_supervisor_answers_nothing() -> None:
    """The supervisor imports no code of the worker, of the feeds process, or that decides a query."""
    assert ways_into(["pdns.supervisor"], ["pdns.worker", "pdns.page", "feeds", "pdns.core.resolver"], IMPORTS) == []


def test_the_worker_owns_nothing() -> None:
    """The worker imports no code of the supervisor or of the feeds process."""
    assert ways_into(["pdns.worker"], ["pdns.supervisor", "feeds"], IMPORTS) == []


def test_the_events_process_answers_no_query() -> None:
    """The events process imports no code of the other processes, and none that asks or answers DNS; nor do they import its."""
    processes = ["pdns.supervisor", "pdns.worker", "pdns.page", "feeds"]
    others = [*processes, "pdns.core.resolver", "pdns.upstream", "pdns.fast", "pdns.reference"]
    assert ways_into(["pdns.events"], others, IMPORTS) == []
    assert ways_into(processes, ["pdns.events"], IMPORTS) == []


def test_the_quic_process_decides_nothing() -> None:
    """The quic process imports no code of the other processes, and none that decides or asks DNS; nor do they import its."""
    processes = ["pdns.supervisor", "pdns.worker", "pdns.page", "pdns.events", "feeds"]
    others = [*processes, "pdns.core.resolver", "pdns.upstream", "pdns.fast", "pdns.reference", "pdns.state", "pdns.blockset"]
    assert ways_into(["pdns.quic"], others, IMPORTS) == []
    assert ways_into(processes, ["pdns.quic"], IMPORTS) == []


def test_the_page_answers_no_query() -> None:
    """The page process imports no code of the other processes, and none that asks or answers DNS."""
    others = ["pdns.supervisor", "pdns.worker", "feeds", "pdns.core.resolver", "pdns.upstream", "pdns.fast", "pdns.reference"]
    assert ways_into(["pdns.page"], others, IMPORTS) == []


def test_reports_are_made_of_what_is_stored() -> None:
    """Reports import the queries, the files of the state directory, the configuration and what these need; no process."""
    beneath = ["event_store", "telemetry", "state", "core", "config", "wire", "files", "errors", "free_text", "version"]
    assert ways_out_of(["pdns.report"], [f"pdns.{name}" for name in beneath], IMPORTS) == []


def test_the_resolver_does_not_know_feeds() -> None:
    """Only the command line imports feeds/: a fault there cannot reach an answer, and its libraries take no memory here."""
    importers = {module for module, names in IMPORTS.items() if any(is_in(name, ["feeds"]) for name in names)}
    assert sorted(module for module in importers if not is_in(module, ["feeds", "pdns.cli"])) == []


def test_feeds_use_only_what_is_meant_for_them() -> None:
    """feeds/ knows blocksets, names, configuration, files of the state directory, messages and the log; no more of pdns/."""
    beneath = ["pdns.core.enrolled", "pdns.core.local_rules", "pdns.core.query", "pdns.telemetry.counters"]
    assert ways_out_of(["feeds"], [*OPEN_TO_FEEDS, *beneath, KERNEL_OF_FEEDS, *PARTS_OF_IT], IMPORTS) == []
    direct = {name for module, names in IMPORTS.items() if is_in(module, ["feeds"]) for name in names if is_in(name, ["pdns"])}
    assert sorted(name for name in direct - {"pdns"} if not is_in(name, [*OPEN_TO_FEEDS, KERNEL_OF_FEEDS])) == []


def test_no_modules_import_each_other() -> None:
    """Modules can be put in an order in which each imports only those before it, for type checkers too."""
    others = {module: frozenset(names - {module.rpartition(".")[0]}) for module, names in IMPORTS.items()}
    assert cycles(others) == []


def test_no_folders_import_each_other() -> None:
    """Folders can be put in an order too: no folder imports one that imports it, by whatever way."""
    folders: dict[str, set[str]] = {}
    for module, names in IMPORTS.items():
        folders.setdefault(_folder(module), set()).update(_folder(name) for name in names)
    assert cycles({folder: frozenset(names) for folder, names in folders.items()}) == []


def _folder(module: str) -> str:
    parts = module.split(".")
    return "feeds" if parts[0] == "feeds" else ".".join(parts[:2])


@pytest.mark.parametrize(("importer", "imports"), KNOWN_IMPORTS)
def test_known_imports_are_there(importer: str, imports: str) -> None:
    """An exception that is no longer needed leaves the list."""
    assert imports in all_imports().get(importer, ())


def test_files_that_are_named_here_are_there() -> None:
    """A rule about a file that was moved or renamed would hold for nothing."""
    named = {*OWNERS_OF_TASKS, *WRITERS, *_LINKS}
    assert sorted(file for file in named if not (ROOT / file).is_file()) == []
    assert sorted(name for name in OPEN_TO_FEEDS if name not in modules()) == []


def test_modules_stay_short() -> None:
    """No module has more than 400 lines: past that there is a second concept in it."""
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for top in ("pdns", "feeds", "loadtest", "tests")
        for path in (ROOT / top).rglob("*")
        if path.suffix in (".py", ".pyi", ".pyx", ".pxd")
    }
    assert {file: count for file, count in lines.items() if count > MAX_LINES} == {}


def test_a_class_has_its_name_alone() -> None:
    """No two classes of the program share a name. A kernel and the Python that it is a twin of do."""
    names = Counter(
        node.name for file in _files("pdns", "feeds") for node in ast.walk(_tree(file)) if isinstance(node, ast.ClassDef)
    )
    assert {name: count for name, count in names.items() if count > 1} == {}


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
    """asyncio.create_task is for the modules that own a process; elsewhere no task is started without an owner."""
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
    "pdns/demo/certificates.py",  # a directory of its own
    "pdns/demo/resolver.py",  # the same
    "feeds/build.py",  # the pipe to its parent
    "feeds/popular.py",  # a temporary directory
    "pdns/confinement/priority.py",  # /proc
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
