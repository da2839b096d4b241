"""A real systemd as process 1 of namespaces of its own, with the shipped units and the program of this checkout.

    with RealSystemd(tmp_path) as systemd:
        systemd.configure(text)
        systemd.ctl("start", "protective-dns")

`/etc`, `/usr` and `/var` are those of this machine below a layer that is gone in the end, also when the test is
killed. The network is that of this machine. Needs root, and a cgroup of version 2.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).parents[2]
SERVICE: Final = "protective-dns"
SOURCE: Final = "/opt/protective-dns-source"  # outside of /home, /root and /tmp, which the unit hides
_SYSTEMD: Final = "/usr/lib/systemd/systemd"
_PATIENCE_S: Final = 120.0

_PYTHON: Final = "/opt/protective-dns-python"  # the same
_LIBRARIES: Final = "/opt/protective-dns-libraries"
_PROGRAM: Final = f"""#!/bin/sh
LD_LIBRARY_PATH={_PYTHON}/lib PYTHONPATH={SOURCE}:{_LIBRARIES} \\
PYTHONDONTWRITEBYTECODE=1 exec {_PYTHON}/bin/{Path(sys.executable).resolve().name} -m pdns "$@"
"""
_TARGET: Final = """[Unit]
DefaultDependencies=no
AllowIsolate=yes
"""
_INSIDE: Final = """set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
for tree in etc usr var opt; do
    mkdir -p /mnt/$tree/upper /mnt/$tree/work
    mount -t overlay overlay -o "lowerdir=/$tree,upperdir=/mnt/$tree/upper,workdir=/mnt/$tree/work" /$tree
done
mkdir -p {source} {python} {libraries} /etc/protective-dns
mount --rbind {root} {source}
mount --rbind {base} {python}
mount --rbind {purelib} {libraries}
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
groupadd --system {service}
useradd --system --gid {service} --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin {service}
chmod 755 /opt
mkdir -p /run/systemd/system
cp {source}/deploy/systemd/*.service {source}/deploy/systemd/*.socket /run/systemd/system/
printf '%s' "$TEST_TARGET" >/run/systemd/system/test.target
printf '%s' "$TEST_PROGRAM" >/usr/bin/pdns
chmod 755 /usr/bin/pdns
rm -rf /usr/lib/systemd/system/*.wants /etc/systemd/system/*.wants
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin {systemd} --system --unit=test.target
"""


def why_not() -> str:
    """Why no systemd can run here; "" if it can."""
    if os.geteuid() != 0:
        return "only root may make the namespaces"
    if not Path(_SYSTEMD).exists() or not all(map(shutil.which, ("nsenter", "setpriv"))):
        return "systemd is not installed"
    if _cgroups() is None:
        return "no cgroup of version 2"
    return ""


def _cgroups() -> Path | None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return Path(where)
    return None


def _remove(cgroup: Path) -> None:
    """As far as no process is in it."""
    for group in [*sorted(cgroup.rglob("*/"), key=lambda path: -len(path.parts)), cgroup]:
        with suppress(OSError):
            group.rmdir()


class RealSystemd:
    """One systemd, and what runs under it."""

    def __init__(self, directory: Path) -> None:
        """Messages of its start go to a file in `directory`."""
        self._log = directory / "systemd.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        mounted = _cgroups()
        assert mounted is not None
        self._cgroup = mounted / f"pdns-test-{os.getpid()}-{time.monotonic_ns()}"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        if kind is not None:
            print(self.run("systemctl", "status", "--no-pager", "-n0", SERVICE, check=False))  # noqa: T201 (pytest shows it)
            print(self.log)  # noqa: T201
        self._end()

    def _start(self) -> None:
        for left in self._cgroup.parent.glob("pdns-test-*"):
            if not Path("/proc", left.name.split("-")[2]).exists():  # its test was killed
                _remove(left)
        self._cgroup.mkdir()
        script = _INSIDE.format(
            source=SOURCE,
            root=shlex.quote(str(ROOT)),
            service=SERVICE,
            systemd=_SYSTEMD,
            base=shlex.quote(sys.base_prefix),
            python=_PYTHON,
            libraries=_LIBRARIES,
            purelib=shlex.quote(sysconfig.get_path("purelib")),
        )
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL",
                 "unshare", "--pid", "--fork", "--mount", "--mount-proc", "--cgroup", "--uts", "--ipc", "--kill-child",
                 "sh", "-c", script],
                env={**os.environ, "TEST_TARGET": _TARGET, "TEST_PROGRAM": _PROGRAM},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=self._enter_cgroup,  # noqa: PLW1509 (before `unshare` makes this cgroup the root)
            )  # fmt: skip
        self.wait_for(self._is_up, "systemd is up")

    def _enter_cgroup(self) -> None:
        (self._cgroup / "cgroup.procs").write_text(str(os.getpid()))

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children or Path(f"/proc/{children[0]}/comm").read_text() != "systemd\n":
            return False
        self._pid = int(children[0])
        return "test.target" in self.run("systemctl", "list-units", "--no-legend", "--state=active", "test.target", check=False)

    def _end(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        until_s = time.monotonic() + _PATIENCE_S
        while self._cgroup.exists():
            _remove(self._cgroup)
            assert time.monotonic() < until_s, "processes are left"
            time.sleep(0.02)

    def run(self, *command: str, check: bool = True) -> str:
        """Run `command` inside, as root. Returns what it prints, with its errors."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._pid), "-m", "-p", "-u", "-i", "-C", *command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=_PATIENCE_S,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def ctl(self, *arguments: str, check: bool = True) -> str:
        """`systemctl` with `arguments`."""
        return self.run("systemctl", *arguments, check=check)

    def show(self, what: str, unit: str = SERVICE) -> str:
        """One property of `unit`."""
        return self.ctl("show", "--value", "-p", what, unit).strip()

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file inside, and its directories."""
        outside = Path(f"/proc/{self._pid}/root{path}")
        outside.parent.mkdir(parents=True, exist_ok=True)
        outside.write_text(text)
        outside.chmod(mode)

    def read(self, path: str) -> str:
        """A file inside."""
        return Path(f"/proc/{self._pid}/root{path}").read_text()

    def drop_in(self, text: str, unit: str = f"{SERVICE}.service", name: str = "test") -> None:
        """Add settings to `unit`."""
        self.write(f"/run/systemd/system/{unit}.d/{name}.conf", text)
        self.ctl("daemon-reload")

    def configure(self, text: str) -> None:
        """Write the configuration file of the service."""
        self.write("/etc/protective-dns/pdns.toml", text)

    @property
    def log(self) -> str:
        """What the service has logged, if it was told to log to that file."""
        path = Path(f"/proc/{self._pid}/root/var/log/{SERVICE}.log")
        return path.read_text() if path.exists() else ""

    def main_pid(self) -> int:
        """The supervisor, as this machine numbers it; 0 without one."""
        inner = self.show("MainPID")
        for path in Path("/proc").glob("[0-9]*/status"):
            with suppress(OSError):
                (numbers,) = [line for line in path.read_text().splitlines() if line.startswith("NSpid:")]
                if len(found := numbers.split()[1:]) > 1 and found[-1] == inner and self._same_namespace(path.parent):
                    return int(path.parent.name)
        return 0

    def _same_namespace(self, process: Path) -> bool:
        return os.readlink(process / "ns/pid") == os.readlink(f"/proc/{self._pid}/ns/pid")  # noqa: PTH115 (the text)

    @staticmethod
    def wait_for(condition: object, what: str, within_s: float = _PATIENCE_S) -> None:
        """Return when `condition()` holds."""
        assert callable(condition)
        until_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < until_s, f"not within {within_s} s: {what}"
            time.sleep(0.05)
