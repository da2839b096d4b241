"""Builds the compiled part, `pdns/fast/`. The rest of the build is in pyproject.toml.

PDNS_COMPILED=1  the compiled part is there already: do not compile it again
PDNS_DEBUG=1     checks what a release takes for granted; no optimisation
PDNS_SANITIZE=1  with AddressSanitizer and UndefinedBehaviorSanitizer, and those checks
PDNS_COVERAGE=1  as well with what libFuzzer wants to know; needs CC=clang
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

COMPILED = os.environ.get("PDNS_COMPILED") == "1"
DEBUG = os.environ.get("PDNS_DEBUG") == "1"
SANITIZE = os.environ.get("PDNS_SANITIZE") == "1"
COVERAGE = os.environ.get("PDNS_COVERAGE") == "1"
LIBRARIES = {
    "tls": ["ssl", "crypto"],
    "tls_certificates": ["ssl", "crypto"],
    "http2": ["nghttp2"],
    "https": ["nghttp2"],
}  # of the system, by kernel
CORES = len(os.sched_getaffinity(0))

_WHAT_TO_DO = """
pdns: its compiled part could not be built: {reason}

It needs a C compiler, and the headers of Python, OpenSSL and nghttp2:
    Debian, Ubuntu: sudo apt-get install gcc python3-dev libssl-dev libnghttp2-dev
    Fedora:         sudo dnf install gcc python3-devel openssl-devel libnghttp2-devel
"""


class BuildFast(build_ext):
    """A compiler that fails ends the installation: a slow program must not look like a fast one."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or CORES

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:
            raise SystemExit(_WHAT_TO_DO.format(reason=str(error) or type(error).__name__)) from error


class BuildWithCommit(build_py):
    """Leaves in the package which commit it was built from, for `pdns --version`. Outside a checkout: nothing."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # the checkout itself says it
        checkout = Path(__file__).parent
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        try:
            commit = subprocess.run(command, capture_output=True, text=True, check=True, cwd=checkout).stdout  # noqa: S603 (ours)
        except (OSError, subprocess.CalledProcessError):  # no git, or it refuses a checkout of another user
            sys.path.insert(0, str(checkout))  # an isolated build does not look there
            from pdns.version import commit_of  # noqa: PLC0415 (needed here only)

            commit = commit_of(checkout / "pdns")
        if commit:
            (Path(self.build_lib) / "pdns" / "commit.txt").write_text(commit, encoding="ascii")


def extensions() -> list[Extension]:
    from Cython.Build import cythonize  # noqa: PLC0415 (not needed, and perhaps not there, with PDNS_COMPILED=1)

    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-unused-function", "-Wno-missing-field-initializers"]
    flags += ["-O1", "-g"] if DEBUG or SANITIZE else ["-O2", "-g0", "-fno-semantic-interposition"]
    links: list[str] = []
    if SANITIZE:
        flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
        links += ["-fsanitize=address,undefined"]
    if COVERAGE:
        flags += ["-fsanitize=fuzzer-no-link"]
    checks = DEBUG or SANITIZE
    modules = [
        Extension(
            f"pdns.fast.{path.stem}",
            [str(path)],
            extra_compile_args=flags,
            extra_link_args=links,
            libraries=LIBRARIES.get(path.stem, []),
            define_macros=[("PDNS_CHECKS", "1")] if checks else [("CYTHON_WITHOUT_ASSERTIONS", "1")],
        )
        for path in sorted(Path("pdns/fast").glob("*.pyx"))
    ]
    directives = {
        "language_level": 3,
        "boundscheck": checks,
        "wraparound": False,
        "initializedcheck": checks,
        "cdivision": True,
        "binding": False,
        "embedsignature": False,
        "freethreading_compatible": False,
    }
    multiprocessing.set_start_method("fork", force=True)  # another one would run this file again in each process
    return list(
        cythonize(modules, build_dir="build/cython", compiler_directives=directives, quiet="-v" not in sys.argv, nthreads=CORES)
    )


setup(ext_modules=[] if COMPILED else extensions(), cmdclass={"build_ext": BuildFast, "build_py": BuildWithCommit})
