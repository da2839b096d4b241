"""Commands run by root switch to the owner of the state directory.

Otherwise the owner could place links where root writes next, and files created by root would block the owner's resolver.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from pdns.errors import PdnsError


class StateOwnerError(PdnsError):
    """A state directory that root must not work on."""


def become_owner(state_dir: Path) -> None:
    """Switch for good to the owner of `state_dir` if this is root and the owner is not. Without the directory, do nothing.

    Raises `StateOwnerError` when a directory above belongs to a third user, who could replace the state directory.
    """
    if os.geteuid() != 0:
        return
    try:
        owner = state_dir.stat()
    except OSError:
        return
    for above in state_dir.parents:
        user = above.stat().st_uid
        if user not in (0, owner.st_uid):
            raise StateOwnerError(
                f"{above} belongs to {_name(user)}, who can replace {state_dir}: run this as {_name(owner.st_uid)}"
            )
        if user and not owner.st_uid:
            raise StateOwnerError(f"{above} belongs to {_name(user)}, who can replace {state_dir}, which belongs to root")
    if not owner.st_uid:
        return
    _check_access(state_dir, owner.st_uid, owner.st_gid)
    try:
        groups = os.getgrouplist(_name(owner.st_uid), owner.st_gid)
        group = pwd.getpwuid(owner.st_uid).pw_gid
    except (KeyError, OSError):
        groups, group = [owner.st_gid], owner.st_gid
    try:
        os.setgroups(groups)
        os.setresgid(group, group, group)
        os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
    except OSError as exc:
        raise StateOwnerError(f"{state_dir} belongs to {_name(owner.st_uid)}: run this as that user ({exc.strerror})") from None


def _check_access(state_dir: Path, user: int, group: int) -> None:
    """Check that the owner can reach the directory and read this program, parts of which are loaded later."""
    os.setegid(group)
    os.seteuid(user)
    try:
        reachable = os.access(state_dir, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)
        unreadable = [file for file in (os.__file__, __file__) if not os.access(file, os.R_OK, effective_ids=True)]
    finally:
        os.seteuid(0)
        os.setegid(0)
    if not reachable:
        closed = f"{state_dir} belongs to {_name(user)}, who cannot reach it: a directory above is closed to that user"
        raise StateOwnerError(f"{closed}. If systemd made it with DynamicUser=yes, use the unit of this version: docs/install.md")
    if unreadable:
        raise StateOwnerError(f"the state directory belongs to {_name(user)}, who cannot read {unreadable[0]} of this program")


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
