"""Compiles the C programs when they are missing or older than their source."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD_DIR = HERE / "build"
PROGRAMS = ("generator", "echo", "authority")
ENCRYPTED_PROGRAMS = ("encrypted_generator", "tls_echo", "h2_echo")
_FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wconversion")
CALLGRIND_MARKS = "callgrind_marks"  # not a program: a shared library
_LIBRARIES = ("-lssl", "-lcrypto", "-lnghttp2")  # of the encrypted ones


class BuildError(Exception):
    """There is no C compiler, or it refused."""


def compiler() -> str | None:
    """The C compiler to use: $CC when it is set, else the first of cc, gcc and clang. None: there is none."""
    wanted = os.environ.get("CC")
    for name in (wanted,) if wanted else ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return path
    return None


def program(name: str) -> Path:
    """The path of a compiled program or of `CALLGRIND_MARKS`, built now when it has to be. Raises `BuildError`."""
    source, binary = HERE / f"{name}.c", BUILD_DIR / name
    newest = max(file.stat().st_mtime for file in (source, *HERE.glob("*.h")))
    if binary.exists() and binary.stat().st_mtime > newest:
        return binary
    cc = compiler()
    if cc is None:
        raise BuildError(
            "no C compiler found: the load generator is a small C program."
            " Install one (Debian, Ubuntu: apt install gcc libc6-dev) or name yours in $CC."
        )
    BUILD_DIR.mkdir(exist_ok=True)
    fresh = BUILD_DIR / f"{name}.{os.getpid()}"
    try:
        libraries = _LIBRARIES if name in ENCRYPTED_PROGRAMS else ()
        kind = ("-shared", "-fPIC") if name == CALLGRIND_MARKS else ()
        command = [cc, *_FLAGS, *kind, "-o", fresh, source, *libraries]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            packages = "valgrind" if kind else "libssl-dev libnghttp2-dev" if libraries else ""
            wanted = f" (Debian, Ubuntu: apt install {packages})" if packages else ""
            raise BuildError(f"{cc} could not build {source.name}{wanted}:\n{result.stderr}")
        fresh.rename(binary)  # two that build at once must not run half a program
    finally:
        fresh.unlink(missing_ok=True)
    return binary
