"""The Debian package of this checkout, and a clean tree of Debian 12 with namespaces of its own to install it in."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from tests.integration.debiantree import copy_of_tree, run_in_tree, why_not

ROOT: Final = Path(__file__).parents[2]
CACHE: Final = ROOT / "build/debian-package"
# what the package depends on
_NEEDED: Final = ("adduser", "ca-certificates", "init-system-helpers", "libnghttp2-14", "libssl3", "python3")
_COPIES: Final = ("etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-")  # of the files of users
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def missing() -> str:
    """What keeps the package from being tested here; "" if nothing does."""
    for tool in ("dpkg-buildpackage", "dh", "nsenter", "setpriv", "ip", "dig"):
        if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            return f"{tool} is not installed"
    release = platform.freedesktop_os_release()
    if (release["ID"], release.get("VERSION_ID")) != ("debian", "12"):
        return "a package that is made here is for another release than Debian 12"
    return why_not()


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time, of all that test this checkout."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tree_with_python() -> Path:
    """The clean tree with what the package depends on; made once for each checkout."""
    path = CACHE / f"tree-{hashlib.sha256(' '.join(_NEEDED).encode()).hexdigest()[:8]}"
    with locked("tree.lock"):
        if not path.exists():
            making = CACHE / "tree.new"
            shutil.rmtree(making, ignore_errors=True)
            copy_of_tree(making)
            run_in_tree(making, ["apt-get", "-qq", "update"])
            run_in_tree(making, ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *_NEEDED])
            making.rename(path)
    return path


def package() -> Path:
    """The package of this checkout; made again when a file of it has changed."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    packed = hashlib.sha256()
    for name in sorted(filter(None, names)):
        if name.startswith(("pdns/", "feeds/", "deploy/", "docs/")) or "/" not in name:
            packed.update(name.encode() + b"\0" + ((ROOT / name).read_bytes() if (ROOT / name).is_file() else b"") + b"\0")
    output = CACHE / "packages" / packed.hexdigest()[:16]
    with locked("package.lock"):
        if not output.exists():
            shutil.rmtree(output.parent, ignore_errors=True)
            making = output.with_suffix(".new")
            quick = {**os.environ, "COMPRESSION": "gzip"}
            subprocess.run([ROOT / "deploy/build-deb", making], env=quick, check=True, timeout=900, stdin=subprocess.DEVNULL)
            making.rename(output)
    (made,) = output.glob("protective-dns_*.deb")
    return made


class Tree:
    """A copy of the tree in `directory`, with a network, processes and mounts of its own. The network has no way out."""

    def __init__(self, directory: Path) -> None:
        self.path: Final = directory / "tree"
        self._holder: subprocess.Popen[bytes] | None = None
        self._pid = ""

    def __enter__(self) -> Self:
        subprocess.run(["cp", "-ax", "--reflink=auto", tree_with_python(), self.path], check=True, timeout=300)
        hold = 'ip link set lo up; mount -t proc proc "$1/proc"; mount --bind /dev "$1/dev"; echo ready; exec sleep infinity'
        command = ["unshare", "-mnp", "--fork", "--kill-child", "sh", "-c", hold, "sh", str(self.path)]
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env=_ENVIRONMENT)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        (self._pid,) = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text().split()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._holder is not None
        assert self._holder.stdout is not None
        os.kill(int(self._pid), signal.SIGKILL)  # the first process of its namespace: all others there end too
        self._holder.wait(30)
        self._holder.stdout.close()
        subprocess.run(["rm", "-rf", "--one-file-system", self.path], check=True, timeout=120)

    def inside(self, *command: str) -> list[str]:
        """The command line of a command in the tree, as root."""
        return ["nsenter", "-t", self._pid, "-m", "-n", "-p", "chroot", str(self.path), *command]

    def beside(self, *command: str) -> list[str]:
        """The command line of a program of this machine, in the network of the tree."""
        return ["nsenter", "-t", self._pid, "-n", *command]

    def run(self, *command: str, code: int = 0) -> str:
        """What a command in the tree prints, on both outputs."""
        done = subprocess.run(
            self.inside(*command),
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def start(self, *command: str, log: Path) -> subprocess.Popen[bytes]:
        """A command in the tree that goes on."""
        with log.open("wb") as file:
            return subprocess.Popen(self.inside(*command), env=_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def files(self) -> set[str]:
        """Every path in the tree but those of dpkg and adduser for themselves."""
        passed_over = ("proc/", "run/", "dev/", "tmp/", "var/lib/dpkg/", "var/log/dpkg.log", "var/cache/")
        found = {str(path.relative_to(self.path)) for path in self.path.rglob("*")}
        return {each for each in found if not each.startswith(passed_over) and each not in _COPIES}
