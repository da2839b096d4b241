"""The control groups (v1 and v2) that limit this process, as directories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

PROC: Final = Path("/proc/self")


def groups(controller: str, proc: Path = PROC) -> Iterator[Path]:
    """The directories of the groups of this process for `controller`, and of each above them, as far as they are mounted here.

    `proc` is the directory of the process in procfs. Raises `OSError` or `ValueError` if it cannot be read.
    """
    memberships = _memberships((proc / "cgroup").read_text())
    for line in (proc / "mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        root, mount_point = (_unescaped(field) for field in fields.split()[3:5])
        if kind == "cgroup2":
            path = memberships.get("")
        elif kind == "cgroup" and controller in options.split()[-1].split(","):
            path = memberships.get(controller)
        else:
            continue
        if path is not None:
            yield from _upwards(Path(mount_point), root, path)


def _memberships(text: str) -> dict[str, str]:
    """By controller ("" for v2), the path of the group that this process is in (cgroups(7))."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _upwards(mount_point: Path, root: str, path: str) -> Iterator[Path]:
    """The directories of the group at `path` and of each above it, as far as `mount_point` shows them."""
    try:
        below = PurePosixPath(path).relative_to(root)
    except ValueError:  # in a container the path may be the host's; then the mount is the group itself
        below = PurePosixPath()
    if ".." in below.parts:
        below = PurePosixPath()
    group = mount_point / below
    while True:
        yield group
        if group == mount_point:
            return
        group = group.parent


def _unescaped(field: str) -> str:
    """A path from mountinfo, where space, tab, newline and backslash are octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
