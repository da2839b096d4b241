"""Drops the privileges of each process, once it has what it needs and before it starts a thread: see `docs/security-model.md`.

Measures that the kernel, a container or a sandbox refuses are skipped and returned, to be logged. A refusal never prevents a
start.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from pdns.config.addresses import parse_endpoint
from pdns.config.schema import Config
from pdns.confinement import landlock, seccomp
from pdns.confinement.kernel_calls import prctl
from pdns.confinement.privileges import DAC_OVERRIDE, DAC_READ_SEARCH, NET_BIND_SERVICE, keep_capabilities

MEASURES: Final = ("core", "no_new_privs", "landlock", "capabilities", "dumpable", "seccomp")
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_FIRST_FREE_PORT: Final = 1024
_NULL: Final = Path(os.devnull)
_SYSTEM: Final = (
    Path("/usr"),
    Path("/lib"),
    Path("/lib64"),
    Path("/etc/ld.so.cache"),
    Path("/etc/localtime"),
    Path("/dev/urandom"),
)

Missing = dict[str, str]  # measure -> why it is not in effect


def listens_low(config: Config) -> bool:
    """Whether the feeds process listens on a port below 1024."""
    endpoints = [config.feeds.notify_listen] if config.feeds.notify_listen else []
    if any(zone.allow_transfer or zone.tsig_name for zone in config.publish):
        endpoints += config.feeds.publish_listen
    return any(parse_endpoint(endpoint).port < _FIRST_FREE_PORT for endpoint in endpoints)


def confine_supervisor(state_dir: Path, further: Iterable[Path] = ()) -> Missing:
    """Confine the supervisor: it writes only below the state directory, and keeps CAP_NET_BIND_SERVICE for new addresses.

    `further`: where its children may write besides; no child gets more rights than this process has.
    """
    return _take(
        no_new_privs=_no_new_privs,
        landlock=lambda: landlock.restrict(write=(state_dir, *further, _NULL), read=None),
        capabilities=lambda: keep_capabilities(
            frozenset({NET_BIND_SERVICE, *_as_root(DAC_OVERRIDE), *_as_root(DAC_READ_SEARCH)}), for_children=True
        ),
        dumpable=_not_dumpable,
        seccomp=lambda: seccomp.refuse(seccomp.NEVER),
    )


def confine_worker() -> Missing:
    """Confine a worker: it writes no file, binds no TCP port, and starts and signals no process."""
    return _take(
        no_new_privs=_no_new_privs,
        landlock=lambda: landlock.restrict(write=(_NULL,), read=None, bind=False),
        capabilities=lambda: keep_capabilities(_as_root(DAC_READ_SEARCH)),
        dumpable=_not_dumpable,
        seccomp=lambda: seccomp.refuse((*seccomp.NEVER, *seccomp.PROCESSES, *seccomp.SIGNALS, *seccomp.ATTRIBUTES)),
    )


def confine_feeds(state_dir: Path, further: Iterable[Path] = (), *, low_port: bool) -> Missing:
    """Confine the feeds process: it writes only below the state directory, and below `further`, the store of a fleet.

    `low_port`: it listens on a port below 1024.
    """
    kept = _as_root(DAC_OVERRIDE) | (frozenset({NET_BIND_SERVICE}) if low_port else frozenset())
    return _take(
        no_new_privs=_no_new_privs,
        landlock=lambda: landlock.restrict(write=(state_dir, *further, _NULL), read=None),
        capabilities=lambda: keep_capabilities(kept),
        dumpable=_not_dumpable,
        seccomp=lambda: seccomp.refuse(seccomp.NEVER),
    )


def confine_page(*, write: Path, read: Path) -> Missing:
    """Confine the page process: it answers at sockets that it is given, writes only below `write`, reads `read`, the program and
    libraries, opens no socket, starts and signals no process.
    """
    return _take(
        no_new_privs=_no_new_privs,
        landlock=lambda: landlock.restrict(write=(write, _NULL), read=(*_program(), read), bind=False, connect=False),
        capabilities=lambda: keep_capabilities(_as_root(DAC_OVERRIDE)),
        dumpable=_not_dumpable,
        seccomp=lambda: seccomp.refuse(
            (*seccomp.NEVER, *seccomp.PROCESSES, *seccomp.SIGNALS, *seccomp.ATTRIBUTES, *seccomp.NEW_SOCKETS)
        ),
    )


def confine_quic() -> Missing:
    """Confine the quic process: it answers at sockets that it is given, writes nothing, reads the program and libraries alone,
    opens no socket, starts and signals no process.
    """
    return _take(
        no_new_privs=_no_new_privs,
        landlock=lambda: landlock.restrict(write=(_NULL,), read=_program(), bind=False, connect=False),
        capabilities=lambda: keep_capabilities(frozenset()),
        dumpable=_not_dumpable,
        seccomp=lambda: seccomp.refuse(
            (*seccomp.NEVER, *seccomp.PROCESSES, *seccomp.SIGNALS, *seccomp.ATTRIBUTES, *seccomp.NEW_SOCKETS)
        ),
    )


def confine_events(*, write: Iterable[Path]) -> Missing:
    """Confine the events process: it writes only below `write`, binds no TCP port, starts and signals no process."""
    return _take(
        no_new_privs=_no_new_privs,
        landlock=lambda: landlock.restrict(write=(*write, _NULL), read=None, bind=False),
        capabilities=lambda: keep_capabilities(_as_root(DAC_OVERRIDE)),
        dumpable=_not_dumpable,
        seccomp=lambda: seccomp.refuse((*seccomp.NEVER, *seccomp.PROCESSES, *seccomp.SIGNALS, *seccomp.ATTRIBUTES)),
    )


def confine_parser(*, write: Path, read: Iterable[Path]) -> Missing:
    """Confine a parser: it reads the program, libraries and `read`, and writes below `write`. No network, no processes."""
    readable = (*_program(), *read)
    return _take(
        no_new_privs=_no_new_privs,
        landlock=lambda: landlock.restrict(write=(write, _NULL), read=readable, bind=False, connect=False),
        capabilities=lambda: keep_capabilities(_as_root(DAC_OVERRIDE)),
        dumpable=_not_dumpable,
        seccomp=lambda: seccomp.allow(seccomp.PARSER),
    )


def _program() -> tuple[Path, ...]:
    """Where the program, Python and the libraries are."""
    program = {Path(__file__).parents[2], *(Path(entry) for entry in (sys.prefix, sys.base_prefix, *sys.path))}
    return (*_SYSTEM, *(path for path in program if path.is_absolute() and len(path.parts) > 1))


def confine_command() -> Missing:
    """Confine a command: programs it starts gain no privileges, and it leaves no core files."""
    return _take(no_new_privs=_no_new_privs)


def reason_of(error: OSError | ValueError) -> str:
    """Why the system refuses a measure. The `resource` module raises `ValueError` for EPERM."""
    return str(getattr(error, "strerror", None) or error)


def said(missing: Missing) -> str:
    """`missing` for people, in one line."""
    return "; ".join(f"{measure}: {reason}" for measure, reason in missing.items())


def _take(**measures: Callable[[], object]) -> Missing:
    missing = {}
    for name in MEASURES:
        try:
            _no_core() if name == "core" else measures.get(name, bool)()
        except (OSError, ValueError) as error:
            missing[name] = reason_of(error)
    return missing


def _no_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _no_new_privs() -> None:
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _not_dumpable() -> None:
    prctl(_PR_SET_DUMPABLE, 0)


def _as_root(capability: int) -> frozenset[int]:
    """`capability` if this is root, which could otherwise not open files of other users."""
    return frozenset({capability}) if os.geteuid() == 0 else frozenset()
