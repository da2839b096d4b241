"""What is known of each peer: a program from Debian, how to configure it fairly, how to start it as a child process."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from loadtest.build import BUILD_DIR
from loadtest.loopback import Address

SINKHOLE = "192.0.2.1"  # what our resolver answers as well, so that answers are of one size
EDNS_BYTES = 1232
CACHED_ANSWERS = 1_000_000  # more than a measurement asks for: nothing is evicted
_SBIN = ":/usr/sbin:/sbin"  # where Debian keeps servers, and a normal user's PATH does not look
_MAX_NAME_CHARACTERS = 200  # leaves room for what an RPZ puts behind a name
_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.[A-Za-z][A-Za-z0-9-]{0,62}")  # no address is one
_VERSION = re.compile(r"\d+(?:\.\d+)+")


class EncryptedListen(msgspec.Struct, frozen=True, kw_only=True):
    """Where encrypted queries are heard, and with which certificate (PEM files)."""

    tls: Address
    https: Address
    quic: Address
    certificate: Path
    key: Path


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a peer."""

    directory: Path  # its configuration and whatever it writes; its own, and empty
    listen: Address
    upstream: Address
    listed: Path | None  # plain domains, one a line, each to be blocked with everything below it; None: block nothing
    encrypted: EncryptedListen | None = None  # besides `listen`

    def write(self, name: str, lines: Iterable[str]) -> Path:
        """Writes a file into the directory. Returns its path."""
        path = self.directory / name
        with path.open("w", encoding="ascii") as file:
            file.writelines(f"{line}\n" for line in lines)
        return path

    def listed_names(self) -> Iterator[str]:
        """The names of the list that every peer can read, which of a generated list are all; none without one."""
        if self.listed is not None:
            with self.listed.open(encoding="ascii", errors="replace") as file:
                yield from (name for line in file if _NAME.fullmatch(name := line.strip()) and len(name) < _MAX_NAME_CHARACTERS)


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """One program to compare with. It runs in the foreground as one process, whose CPU time counts."""

    name: str
    package: str  # Debian's; empty: it is built with Go
    program: str
    version_arguments: tuple[str, ...]
    list_form: str  # in words: what the list of names becomes; empty: it has none, and is measured over encrypted transports only
    configure: Callable[[Setup], list[str]]  # writes the files, returns the arguments to run with
    check: Callable[[Setup], list[str]] | None = None  # after `configure`: the command with which it judges its configuration
    go_package: str = ""  # with its version; where `package` is empty
    encrypted: tuple[str, ...] = ()  # transports that `configure` knows besides UDP and TCP

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f"apt install {self.package}" if self.package else f"GOBIN={BUILD_DIR} go install {self.go_package}"

    def path(self) -> str | None:
        """Where the program is; None when it is not installed."""
        return find(self.program)

    def version(self) -> str:
        """Its version, of numbers and dots; empty when it does not say. The program must be installed."""
        done = subprocess.run(
            [self.path() or self.program, *self.version_arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
        found = _VERSION.search(done.stdout + done.stderr)
        return found[0] if found else ""


def find(program: str) -> str | None:
    """The path of a program that may be a server, or was built here; None when it is not installed."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}{_SBIN}:{BUILD_DIR}")
