"""The examples for keepalived, BIRD and ExaBGP: the programs accept their files, and the scripts say what they should."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _checked(*command: str | Path, needs: str = "", said_in: Path | None = None) -> None:
    program = shutil.which(str(command[0]), path=PATH)
    if program is None or (needs and shutil.which(needs, path=PATH) is None):
        pytest.skip(f"{needs or command[0]} is not installed")
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH})
    assert done.returncode == 0, done.stdout + done.stderr + (said_in.read_text() if said_in is not None else "")


def test_bird_accepts_its_file() -> None:
    """As its parser says."""
    _checked("bird", "-p", "-c", DEPLOY / "bird/bird.conf")


@pytest.mark.skipif(os.geteuid() != 0, reason="makes an interface, in a network of its own")
def test_keepalived_accepts_its_file(tmp_path: Path) -> None:
    """As its own test says, on a machine with the interface that the file names."""
    text = (DEPLOY / "keepalived/keepalived.conf").read_text()
    (tmp_path / "keepalived.conf").write_text(text.replace("/run/protective-dns", str(tmp_path)))
    result = tmp_path / "result"
    result.touch()
    begin = "ip link add eth0 type veth peer name eth1 && ip link set eth0 up && exec keepalived"
    command = f"{begin} --config-test={shlex.quote(str(result))} -f {shlex.quote(str(tmp_path / 'keepalived.conf'))}"
    _checked("unshare", "--net", "sh", "-c", command, needs="keepalived", said_in=result)


def test_exabgp_accepts_its_file(tmp_path: Path) -> None:
    """As its own test says; with a program that is there."""
    text = (DEPLOY / "exabgp/exabgp.conf").read_text()
    (tmp_path / "exabgp.conf").write_text(text.replace("/usr/local/sbin/protective-dns-health", "/bin/true"))
    _checked("exabgp", "--test", tmp_path / "exabgp.conf")


@pytest.mark.parametrize(
    ("follower", "expected"),
    [
        ("keepalived", ["-254", "-254", "0", "-30", "-254", "0", "-254"]),
        ("bird", ["disable dns_up", "disable dns_degraded", "disable dns_up", "disable dns_degraded",
                  "enable dns_up", "disable dns_degraded", "enable dns_degraded", "disable dns_up",
                  "disable dns_up", "disable dns_degraded", "enable dns_up", "disable dns_degraded",
                  "disable dns_up", "disable dns_degraded"]),
        ("exabgp", ["withdraw ROUTE", "announce ROUTE", "announce ROUTE as-path [ 65001 65001 65001 ]", "withdraw ROUTE",
                    "announce ROUTE", "withdraw ROUTE"]),
    ],
)  # fmt: skip
def test_followers(tmp_path: Path, follower: str, expected: list[str]) -> None:
    """Each state becomes what the program understands, and the end of the probe, even while it was up, means down."""
    said = tmp_path / "said"
    (tmp_path / "pdns").write_text(
        '#!/bin/sh\necho "$@" >"$0.asked"\nfor state in down up degraded down up; do echo $state; sleep 0.2; done\n'
    )
    (tmp_path / "birdc").write_text(f'#!/bin/sh\necho "$@" >>{said}\n')
    for program in ("pdns", "birdc"):
        (tmp_path / program).chmod(0o755)
    pipe = tmp_path / "track"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["sh", "-c", f"while true; do cat {pipe} >>{said}; done"], start_new_session=True)
    try:
        arguments = ["192.0.2.53", "--server", "x"] if follower == "exabgp" else ["--server", "x"]
        done = subprocess.run(
            [DEPLOY / follower / "follow-health", *arguments],
            env={**os.environ, "PDNS": str(tmp_path / "pdns"), "BIRDC": str(tmp_path / "birdc"), "TRACK_FILE": str(pipe)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        until_s = time.monotonic() + 60  # the reader may be behind
        while follower == "keepalived" and len(said.read_text().splitlines()) < len(expected) and time.monotonic() < until_s:
            time.sleep(0.02)
    finally:
        os.killpg(reader.pid, signal.SIGKILL)  # the cat that waits for the pipe too
        reader.wait()
    repeat = "" if follower == "keepalived" else "--repeat 10 "
    assert (tmp_path / "pdns.asked").read_text() == f"health --follow {repeat}--server x\n"
    found = done.stdout if follower == "exabgp" else said.read_text()
    assert found.replace("route 192.0.2.53/32 next-hop self", "ROUTE").splitlines() == expected


@pytest.mark.parametrize("follower", ["bird", "exabgp"])
def test_followers_end_with_what_they_tell(tmp_path: Path, follower: str) -> None:
    """ExaBGP was killed, or BIRD is not there: the probe does not stay behind, and no state goes unheard."""
    (tmp_path / "birdc").write_text("#!/bin/sh\nexit 1\n")
    begin = "echo up" if follower == "bird" else ":"
    (tmp_path / "pdns").write_text(f'#!/bin/sh\n{begin}\nexec {sys.executable} -m pdns "$@"\n')
    for program in ("pdns", "birdc"):
        (tmp_path / program).chmod(0o755)
    arguments = ["192.0.2.53"] if follower == "exabgp" else []
    arguments += ["--server", "127.0.0.1:1", "--metrics", "off", "--interval", "0.05", "--repeat", "0.05"]
    with subprocess.Popen(
        [DEPLOY / follower / "follow-health", *arguments],
        env={**os.environ, "PDNS": str(tmp_path / "pdns"), "BIRDC": str(tmp_path / "birdc")},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        if follower == "exabgp":
            assert process.stdout.readline() == b"withdraw route 192.0.2.53/32 next-hop self\n"
        process.stdout.close()
        try:
            process.wait(60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
