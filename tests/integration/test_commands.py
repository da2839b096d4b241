"""Commands of administrators: done means in force in every worker, a file that cannot be read is not written over, and a
half-edited configuration does not stop them.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread, feed

WORKERS = 4
LISTED = [f"n{number}.listed.test" for number in range(40)]  # enough to meet every worker
OTHER_USER = 12345


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread() as upstream:
        yield upstream


def pdns_of(pdns: RunningPdns, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pdns", *words, "-c", str(pdns.config_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)


def done(pdns: RunningPdns, *words: str) -> str:
    """Has the command carried out; what it printed."""
    result = pdns_of(pdns, *words)
    assert result.returncode == 0, result
    return result.stdout


def test_done_means_in_force_in_every_worker(tmp_path: Path, upstream: UpstreamThread) -> None:
    """The first query after each command is answered by it, whichever worker gets it, over UDP and TCP, and for names that were
    answered otherwise a moment before.
    """
    config = {
        "server": {"workers": WORKERS},
        "upstream": {"servers": [upstream.address]},
        "feed": [feed(tmp_path, "listed", "listed.test")],
    }
    with RunningPdns(tmp_path, config) as pdns:

        def blocked() -> set[bool]:
            over_udp = {pdns.addresses(name) == [SINKHOLE] for name in LISTED}
            return over_udp | {pdns.addresses(name, tcp=True) == [SINKHOLE] for name in LISTED[:8]}

        assert blocked() == {True}
        for _ in range(2):
            done(pdns, "allow", "listed.test", "--reason", "a test")
            assert blocked() == {False}
            done(pdns, "indicators", "remove", "listed.test")
            assert blocked() == {True}
            done(pdns, "feeds", "disable", "listed", "--for", "1h", "--reason", "a test")
            assert blocked() == {False}
            done(pdns, "block", "listed.test", "--reason", "a test")
            assert blocked() == {True}
            done(pdns, "indicators", "remove", "listed.test")
            assert blocked() == {False}
            done(pdns, "feeds", "enable", "listed")
            assert blocked() == {True}
            done(pdns, "feeds", "hold", "listed", "--name", "listed.test", "--reason", "a test")
            assert blocked() == {False}
            done(pdns, "feeds", "release", "listed", "--name", "listed.test")
            assert blocked() == {True}


def test_what_is_not_in_force_everywhere_is_not_done(tmp_path: Path, upstream: UpstreamThread) -> None:
    """The supervisor stands still and cannot say what its workers have taken up: the command says so, and exits with 1."""
    with RunningPdns(tmp_path, {"upstream": {"servers": [upstream.address]}}) as pdns:
        os.kill(pdns.pid, signal.SIGSTOP)
        try:
            result = pdns_of(pdns, "block", "x.example", "--reason", "a test")
            shown = pdns_of(pdns, "indicators", "list")
        finally:
            os.kill(pdns.pid, signal.SIGCONT)
        assert result.returncode == 1
        assert "x.example is blocked: a test; not every worker has taken it up within 5 s" in result.stderr
        assert (shown.returncode, shown.stdout) == (2, "")
        assert "not every worker has taken up " in shown.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to somebody else")
def test_what_was_restored_by_another_user(tmp_path: Path, upstream: UpstreamThread) -> None:
    """Local entries, decisions and a last-good copy that the resolver may not read: lists block, local entries are not in force
    and not shown, commands are refused, and no byte is written over. The commands that are shown mend all of it, at once.
    """
    config = {"upstream": {"servers": [upstream.address]}, "feed": [feed(tmp_path, "listed", "listed.test", refresh_s=60)]}
    with RunningPdns(tmp_path, config) as pdns:
        done(pdns, "block", "local.test", "--reason", "a test")
        done(pdns, "feeds", "hold", "listed", "--reason", "a test")
        assert pdns.stop() == 0
        feeds = pdns.state_dir / "feeds" / "listed"
        closed = [*pdns.state_dir.glob("overrides.json*"), *feeds.iterdir()]
        before = [path.read_bytes() for path in closed]
        for path in closed:
            os.chown(path, OTHER_USER, OTHER_USER)
            path.chmod(0o600)
        pdns.start()
        assert pdns.addresses("listed.test") == [SINKHOLE]
        assert pdns.addresses("local.test") != [SINKHOLE]
        shown = pdns_of(pdns, "indicators", "list")
        assert shown.returncode == 2
        assert "local.test" not in shown.stdout
        assert re.search(r"overrides\.json: cannot be read .*\. As root: chown ", shown.stderr)
        orders = (
            ("block", "other.test", "--reason", "a test"),
            ("allow", "listed.test", "--reason", "a test"),
            ("feeds", "disable", "listed", "--for", "1h", "--reason", "a test"),
            ("feeds", "hold", "listed", "--reason", "another test"),
            ("feeds", "release", "listed"),
        )
        commands = set()
        for words in orders:
            refused = pdns_of(pdns, *words)
            assert refused.returncode == 1, words
            command = re.search(r"nothing is changed: (\S+): cannot be read .*\. As root: (chown .* \1)$", refused.stderr.strip())
            assert command is not None, refused.stderr
            commands.add(command[2])
        assert pdns_of(pdns, "feeds", "update").returncode == 1
        assert re.search(r"cannot be read \([^)]+\)\. As root: chown", done(pdns, "feeds", "status", "--json"))
        assert [path.read_bytes() for path in closed] == before
        assert not list(pdns.state_dir.rglob("*.damaged-*"))
        for shown_command in commands:
            subprocess.run(shown_command, shell=True, check=True)
        subprocess.run(["chown", "-R", f"--reference={pdns.state_dir}", str(pdns.state_dir)], check=True)
        pdns.wait_for(lambda: pdns.addresses("local.test") == [SINKHOLE], "local entries")
        done(pdns, "block", "other.test", "--reason", "a test")
        assert "local.test" in done(pdns, "indicators", "list")
        assert pdns_of(pdns, "feeds", "update").returncode == 0
        assert "held" in pdns_of(pdns, "feeds", "held").stdout
        assert pdns.addresses("listed.test") == [SINKHOLE]


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda text: text + '\n[[feed]]\nname = "ne', id="a quote that is not closed"),
        pytest.param(lambda text: text + '\n[[feed]]\nname = "new"\nmode = "sideways"\n', id="a value that is wrong"),
        pytest.param(lambda text: "[server\n" + text, id="a bracket that is not closed"),
    ],
)
def test_commands_while_the_configuration_is_edited(tmp_path: Path, upstream: UpstreamThread, edit: Callable[[str], str]) -> None:
    """The configuration that the server uses is taken, with a warning that has the error; without a server the error stands."""
    config = {"upstream": {"servers": [upstream.address]}, "feed": [feed(tmp_path, "listed", "listed.test")]}
    with RunningPdns(tmp_path, config) as pdns:
        text = pdns.config_path.read_text()
        pdns.write_text(edit(text))
        for words, shows in (
            (("explain", "listed.test"), "is listed by listed"),
            (("feeds", "status"), "listed"),
            (("feeds", "held"), "nothing is held"),
            (("feeds", "disable", "listed", "--for", "1h", "--reason", "a test"), "is switched off"),
            (("feeds", "enable", "listed"), "is switched on"),
            (("allow", "listed.test", "--reason", "a test"), "is allowed"),
            (("indicators", "list"), "listed.test"),
        ):
            result = pdns_of(pdns, *words)
            assert result.returncode == 0, result
            assert shows in result.stdout
            assert f"{pdns.config_path}: " in result.stderr
            assert "using the configuration of the running server instead" in result.stderr
        assert pdns.addresses("listed.test") != [SINKHOLE]
        assert pdns_of(pdns, "check").returncode == 2
        assert pdns.stop() == 0
        refused = pdns_of(pdns, "allow", "listed.test", "--reason", "a test")
        assert refused.returncode == 2
        assert "running server" not in refused.stderr
        pdns.write_text(text)
        pdns.start()
