"""A small Debian 12 tree for tests that install or build in a clean system. It is made once, and copied for each use.

It needs root, `mmdebstrap` and a Debian mirror. `why_not()` says what is missing.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TREE: Final = ROOT / "build/debian-12"
# How this machine reaches mirrors and registries; nothing else of its environment goes in.
_PROXIES: Final = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_PASSED_ON: Final = (*_PROXIES, "PIP_INDEX_URL", "PIP_CERT")
_FROM_HERE: Final = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf")


def why_not() -> str:
    """What keeps a tree from being made here; "" if nothing does."""
    if os.geteuid() != 0:
        return "only root can make a Debian tree"
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed"
    return "" if _may_unshare() else "no namespaces here"


def _may_unshare() -> bool:
    return subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False).returncode == 0


def debian_tree() -> Path:
    """The tree, which is made first if it is not there. Do not change it: `copy_of_tree` makes one that you may."""
    TREE.parent.mkdir(exist_ok=True)
    with TREE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not TREE.exists():
            new = TREE.with_suffix(".new")
            shutil.rmtree(new, ignore_errors=True)
            options = ["--quiet", "--mode=root", "--variant=minbase", "--include=ca-certificates"]
            subprocess.run(["mmdebstrap", *options, "bookworm", str(new)], check=True, timeout=600)
            new.rename(TREE)
    return TREE


def copy_of_tree(to: Path) -> Path:
    """A tree of its own at `to`, which reaches the network as this machine does."""
    subprocess.run(["cp", "-ax", "--reflink=auto", str(debian_tree()), str(to)], check=True)
    for file in map(Path, _FROM_HERE):
        if file.is_file():
            shutil.copy(file, to / file.relative_to("/"))
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")
    if authorities.is_file():
        shutil.copy(authorities, to / "etc/ssl/certs/ca-certificates.crt")
    return to


def run_in_tree(
    tree: Path, command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: str = "/", timeout_s: float = 900
) -> str:
    """Runs `command` as root in `tree`, with a procfs and process ids of its own. Returns its output; fails with it."""
    around = {name: value for name, value in os.environ.items() if name in _PASSED_ON}
    passed = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", **around, **(env or {})}
    inside = ["setpriv", "--pdeathsig", "KILL"]  # nothing is left when the test is killed
    inside += ["unshare", "--mount", "--pid", "--fork", "--kill-child", f"--mount-proc={tree}/proc", "chroot", str(tree)]
    inside += ["/usr/bin/env", "-i", "-C", cwd, *(f"{name}={value}" for name, value in passed.items()), *command]
    done = subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout
