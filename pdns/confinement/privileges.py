"""Capabilities and users: which of root's privileges a process has, and how it drops them."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import stat
import sys
from contextlib import suppress
from pathlib import Path
from struct import pack, unpack
from typing import Final

from pdns.confinement.kernel_calls import checked, libc, prctl
from pdns.errors import ConfigError
from pdns.files.safe_files import make_state_directory

DAC_OVERRIDE: Final = 1  # every file may be read and written, whoever owns it
DAC_READ_SEARCH: Final = 2  # every file may be read
NET_BIND_SERVICE: Final = 10  # ports below 1024
NET_ADMIN: Final = 12  # receive buffers above net.core.rmem_max

_VERSION: Final = 0x20080522
_LAST: Final = 63
_PR_SET_KEEPCAPS: Final = 8
_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_PR_CAP_AMBIENT: Final = 47
_AMBIENT_RAISE: Final = 2
_AMBIENT_CLEAR_ALL: Final = 4


def capabilities() -> frozenset[int]:
    """The capabilities that this thread may use (capabilities(7)). Raises `OSError`."""
    header, data = ctypes.create_string_buffer(pack("=Ii", _VERSION, 0), 8), ctypes.create_string_buffer(24)
    checked(libc().capget(header, data))
    words = unpack("=6I", data.raw)
    permitted = words[1] | words[4] << 32
    return frozenset(number for number in range(_LAST + 1) if permitted >> number & 1)


def keep_capabilities(wanted: frozenset[int], *, for_children: bool = False) -> None:
    """Drop all but `wanted` for good. Raises `OSError`.

    `for_children`: programs that this process runs as a user other than root have `wanted` as well.
    """
    kept = capabilities() & wanted
    for number in range(_LAST + 1):  # privileges that running a program would give; dropping them takes CAP_SETPCAP
        if number not in kept:
            with suppress(OSError):
                if prctl(_PR_CAPBSET_READ, number):
                    prctl(_PR_CAPBSET_DROP, number)
    with suppress(OSError):
        prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    bits = sum(1 << number for number in kept)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    inherited = (low, high) if for_children else (0, 0)
    header = ctypes.create_string_buffer(pack("=Ii", _VERSION, 0), 8)
    data = ctypes.create_string_buffer(pack("=6I", low, low, inherited[0], high, high, inherited[1]), 24)
    checked(libc().capset(header, data))
    for number in kept if for_children else ():
        with suppress(OSError):
            prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, number)


def change_user(user: str, group: str, state_dir: Path, config_file: str) -> None:
    """Switch to `user` and `group` (default: the user's own), and keep only the privileges for sockets. A state directory created
    by root becomes the user's. No effect when this process is that user already.

    Raises `ConfigError`.
    """
    if not user:
        if group:
            raise ConfigError(config_file, "server.group", "needs server.user")
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(config_file, "server.user", f"this system has no user {user}") from None
    try:
        gid = grp.getgrnam(group).gr_gid if group else entry.pw_gid
    except KeyError:
        raise ConfigError(config_file, "server.group", f"this system has no group {group}") from None
    if os.geteuid() == entry.pw_uid:
        return
    if os.geteuid() != 0:
        raise ConfigError(config_file, "server.user", f"only root can become {user}; this is user {os.geteuid()}")
    try:
        make_state_directory(state_dir)
        _hand_over(state_dir, entry.pw_uid, gid)
        os.setgroups(sorted({gid, *os.getgrouplist(user, gid)}))
        os.setresgid(gid, gid, gid)
        prctl(_PR_SET_KEEPCAPS, 1)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
        keep_capabilities(frozenset({NET_BIND_SERVICE, NET_ADMIN}))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise ConfigError(config_file, "server.user", f"cannot become {user}: {where}{error.strerror}") from None
    if not os.access(sys.executable, os.X_OK) or not os.access(__file__, os.R_OK):
        raise ConfigError(
            config_file, "server.user", f"{user} cannot run {sys.executable}, or cannot read {Path(__file__).parents[1]}"
        )


def _hand_over(directory: Path, uid: int, gid: int) -> None:
    """Change the owner of root's files below `directory` to `uid`. Links are not followed. Directories of other users are not
    entered, because their owner could exchange the files in them.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_uid == 0:
            _hand_over_fd(fd, uid, gid)
    finally:
        os.close(fd)


def _hand_over_fd(fd: int, uid: int, gid: int) -> None:
    """The directory itself comes last: while it belongs to root, the user cannot exchange anything in it."""
    for name in os.listdir(fd):
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if found.st_uid != 0:
            continue
        if stat.S_ISDIR(found.st_mode):
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            try:
                _hand_over_fd(below, uid, gid)
            finally:
                os.close(below)
        elif (stat.S_ISREG(found.st_mode) and found.st_nlink == 1) or stat.S_ISLNK(found.st_mode):
            os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
    os.fchown(fd, uid, gid)
