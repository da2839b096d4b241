"""Bytecode for the resolvers that are measured, as an installed package has it.

A confined process cannot write any, and where `PYTHONDONTWRITEBYTECODE` is set nothing does: then each process compiles what it
imports, which triples the time of its start and adds megabytes to its memory.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from loadtest.build import BUILD_DIR

DIRECTORY = BUILD_DIR / "bytecode"
_ENTRIES = (
    "pdns.__main__", "pdns.cli.serve", "pdns.supervisor.http.pages", "pdns.supervisor.http.api", "pdns.worker.__main__",
    "pdns.events.__main__", "pdns.page.__main__", "pdns.quic.__main__", "feeds.refresh", "feeds.build", "uvloop",
)  # fmt: skip
_IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
"""


@cache
def environment(directory: Path, python: Path) -> Mapping[str, str]:
    """The variables of a process that runs the program in `directory`, and need not compile what it imports.

    Each entry of the program is imported once; of another version, those that it has.
    """
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables |= {"PYTHONPATH": str(directory), "PYTHONPYCACHEPREFIX": str(DIRECTORY)}
    subprocess.run([python, "-c", _IMPORT, *_ENTRIES], env=variables, cwd=directory, check=True)
    return variables
