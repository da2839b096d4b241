"""The Debian package in a clean tree: installed, at work as its own user on port 53, upgraded, removed and purged."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.debianpackage import Tree, missing, package

pytestmark = [
    pytest.mark.long,
    pytest.mark.realtime,  # because the package is made with the network of the machine
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(missing()), reason=missing() or "all is there"),
]

CONFIG = "/etc/protective-dns/pdns.toml"
ELSEWHERE = "203.0.113.7"
SINKHOLE = "192.0.2.1"
_USERS = "for each in /proc/[1-9]*; do grep -qs ^/usr/lib/protective $each/cmdline && stat -c %U $each; done; true"


def unit_of(tree: Tree) -> dict[str, list[str]]:
    """The settings of the installed unit."""
    (path,) = tree.run("sh", "-c", "ls /lib/systemd/system/protective-dns.service").split()
    settings: dict[str, list[str]] = {}
    for line in tree.run("cat", path).splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(key, []).append(value)
    return settings


def ask(tree: Tree, *words: str) -> str:
    """What dig prints of an answer on port 53."""
    command = tree.beside("dig", "+short", "+time=2", "+tries=1", "@127.0.0.1", *words)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout.strip()


def wait_for(tree: Tree, words: str, expected: str, log: Path) -> None:
    deadline = time.monotonic() + 90
    while (got := ask(tree, *words.split())) != expected:
        assert time.monotonic() < deadline, f"{words}: {got!r}\n{log.read_text()}"
        time.sleep(0.3)


@contextmanager
def service(tree: Tree, directory: Path) -> Iterator[Path]:
    """The service as systemd starts it: its commands, its user, its privileges. Gives its log."""
    unit = unit_of(tree)
    (user,), (capability,) = unit["User"], unit["AmbientCapabilities"]
    name = capability.lower().removeprefix("cap_")
    only = f"-all,+{name}"
    confined = [
        "env",
        "STATE_DIRECTORY=/var/lib/protective-dns",
        "setpriv",
        f"--reuid={user}",
        f"--regid={user}",
        "--init-groups",
    ]
    confined += [f"--inh-caps={only}", f"--ambient-caps={only}", f"--bounding-set={only}", "--no-new-privs"]
    for command in unit["ExecStartPre"]:
        tree.run(*confined, *shlex.split(command))
    (command,) = unit["ExecStart"]
    log = directory / "service.log"
    running = tree.start(*confined, *shlex.split(command), log=log)
    try:
        wait_for(tree, "localhost", "127.0.0.1", log)
        yield log
    finally:
        (child,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()  # nsenter waits for it
        os.kill(int(child), signal.SIGTERM)
        running.wait(60)


@contextmanager
def elsewhere(tree: Tree) -> Iterator[None]:
    """A server for all other names, which /etc/resolv.conf of the tree names."""
    command = [
        sys.executable,
        "-m",
        "dnslib.fixedresolver",
        "--address",
        "127.0.0.9",
        "--port",
        "53",
        "--response",
        f". 60 IN A {ELSEWHERE}",
    ]
    running = subprocess.Popen(tree.beside(*command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        tree.run("sh", "-c", "echo nameserver 127.0.0.9 > /etc/resolv.conf")
        yield
    finally:
        running.terminate()
        running.wait(30)


def newer(built: Path, directory: Path) -> tuple[Path, str]:
    """The package in a higher version, with another sample configuration, and that version."""
    unpacked = directory / "newer"
    subprocess.run(["dpkg-deb", "-R", built, unpacked], check=True)
    control = (unpacked / "DEBIAN/control").read_text()
    (version,) = re.findall(r"^Version: (.*)$", control, re.MULTILINE)
    later = version.replace("-1~", "-2~")
    (unpacked / "DEBIAN/control").write_text(control.replace(f"Version: {version}", f"Version: {later}"))
    sample = unpacked / CONFIG.lstrip("/")
    sample.write_text(sample.read_text() + "\n# a later sample\n")
    made = directory / "later.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", unpacked, made], check=True, capture_output=True)
    shutil.rmtree(unpacked)
    return made, later


def test_the_life_of_the_package(tmp_path: Path) -> None:
    """It installs without a network, answers, keeps changed configuration and state in an upgrade, and leaves nothing."""
    built = package()
    later, version = newer(built, tmp_path)
    with Tree(tmp_path) as tree, elsewhere(tree):
        before = tree.files()
        for each, name in ((built, "first"), (later, "later")):
            shutil.copy(each, tree.path / f"tmp/{name}.deb")
        tree.run("dpkg", "-i", "/tmp/first.deb")
        assert tree.run("dpkg", "--verify", "protective-dns") == ""
        assert tree.run("stat", "-c", "%U:%G %a", "/var/lib/protective-dns").split() == ["protective-dns:protective-dns", "750"]
        assert tree.run("sh", "-c", "readlink -f $(command -v pdns)").strip() == "/usr/lib/protective-dns/bin/pdns"
        tree.run("python3", "-c", "import pdns", code=1)  # other programs do not see it
        installed = tree.files()
        assert [each for each in installed - before if re.search(r"\.(pyx|pxd|c|h)$|/tests?/|/pip/", each)] == []
        assert "usr/lib/protective-dns/bin/pdns" in installed
        tree.run("test", "-f", "/usr/share/doc/protective-dns/deploy/keepalived/keepalived.conf")  # as the pages call it

        with service(tree, tmp_path) as log:
            wait_for(tree, "www.example.net", ELSEWHERE, log)
            assert ask(tree, "+tcp", "www.example.net") == ELSEWHERE
            assert "evil.example is blocked" in tree.run("pdns", "block", "evil.example", "--reason", "a test")
            assert ask(tree, "www.evil.example") == SINKHOLE
            assert ask(tree, "+tcp", "www.evil.example") == SINKHOLE
            users = tree.run("sh", "-c", _USERS).split()
            assert len(users) > 2
            assert set(users) == {"protective-dns"}

        tree.run("sh", "-c", f"echo '# ours' >> {CONFIG}")
        tree.run("dpkg", "--force-confold", "-i", "/tmp/later.deb")
        assert tree.run("dpkg-query", "-W", "-f", "${Version}", "protective-dns") == version
        assert "# ours" in tree.run("cat", CONFIG)
        assert "# a later sample" in tree.run("cat", f"{CONFIG}.dpkg-dist")
        with service(tree, tmp_path) as log:
            wait_for(tree, "www.evil.example", SINKHOLE, log)
            assert "evil.example" in tree.run("pdns", "indicators", "list")

        tree.run("dpkg", "-r", "protective-dns")
        kept = (
            "etc/protective-dns",
            "var/lib/protective-dns",
            "var/log/protective-dns",
            "var/lib/systemd/",
            "etc/systemd/system/",
        )
        assert {each for each in tree.files() - before if not each.startswith(kept)} == set()
        assert "# ours" in tree.run("cat", CONFIG)
        said = tree.run("dpkg", "-P", "protective-dns")
        assert "removing its state, its logs and its user: /var/lib/protective-dns" in said
        assert tree.files() == before
        tree.run("id", "protective-dns", code=1)


def test_only_a_removal_closes_the_sockets(tmp_path: Path) -> None:
    """An upgrade leaves them open, if systemd holds them: queries wait there for the restart."""
    subprocess.run(["dpkg-deb", "--control", package(), tmp_path / "control"], check=True)
    stop = re.compile(r"deb-systemd-invoke stop '?protective-dns.socket")
    assert [path.name for path in (tmp_path / "control").iterdir() if stop.search(path.read_text())] == ["prerm"]
    assert '[ "$1" = remove ]' in (tmp_path / "control/prerm").read_text().partition("protective-dns.socket")[0]


@pytest.mark.skipif(shutil.which("lintian") is None, reason="lintian is not installed")
def test_lintian_has_nothing_to_object_to() -> None:
    """Neither an error nor a warning, with two overrides."""
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on=warning", package()], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "")
