"""Every file of the state directory damaged in ten ways, while the real program runs and while it is stopped.

Protection never ends: what feeds list stays blocked, and so does what an administrator blocked. What can be made anew is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest

from pdns.blockset.annotations import Annotations
from pdns.blockset.generations import current_directory
from pdns.blockset.reader import Blockset
from pdns.core.case import reference
from pdns.core.local_rules import LOCAL as LOCAL_FEED
from pdns.errors import BlocksetError
from pdns.files import records, safe_files
from pdns.files.records import DamagedError
from pdns.files.safe_files import read_state
from pdns.state import cases, commands, enrolments, feed_hits, feed_status, overrides, reports
from pdns.state.commands import Command
from pdns.wire.names import from_text
from tests.integration.apiclient import Api
from tests.integration.pagevisits import ADDRESS, page_port, report
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, UpstreamThread, feed, runs_python

pytestmark = pytest.mark.long
LISTED = ("bad.example", "worse.example")


@pytest.fixture(scope="module")
def upstream() -> Iterator[UpstreamThread]:
    with UpstreamThread() as upstream:
        yield upstream


LOCAL = "local.example"
OWNER = 12345


def _truncate(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


def _write_over(path: Path, content: bytes) -> None:
    with path.open("r+b") as file:
        file.write(content)


def _replace_by(path: Path, make: Callable[[], object]) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    try:
        make()
    except FileExistsError:  # the program was quicker
        _replace_by(path, make)


def _outside(path: Path) -> Path:
    """A file of somebody else, which must stay as it is."""
    return next(parent for parent in path.parents if parent.name == "state").parent / "outside"


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 0x01
    _write_over(path, bytes(content))


def _later(path: Path) -> None:
    content = path.read_bytes()
    if path.suffix == ".json":
        said = msgspec.json.decode(content)
        said.pop("checksum", None)
        content = msgspec.json.encode({**said, "version": 99, "format": 99, "feeds": 7, "indicators": 7})
    path.write_bytes(content if path.suffix == ".json" else b"\x63" + content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "half": lambda path: _truncate(path, path.stat().st_size // 2),
    "empty": lambda path: _truncate(path, 0),
    "flipped": _flip,
    "zeros": lambda path: _write_over(path, bytes(path.stat().st_size)),
    "directory": lambda path: _replace_by(path, path.mkdir),
    "pipe": lambda path: _replace_by(path, lambda: os.mkfifo(path)),
    "link": lambda path: _replace_by(path, lambda: path.symlink_to(_outside(path))),
    "foreign": lambda path: os.chown(path, OWNER, OWNER),
    "later": _later,
    "gone": lambda path: _replace_by(path, lambda: None),
}
OF_ENTRIES = ("directory", "pipe", "link", "gone")  # what can happen to what is no regular file
FILES = (
    "lock", "overrides.json", "audit.jsonl", "feeds.json", "in_force.json", "hits.msgpack", "cases.jsonl", "zone-changes.sock",
    "requests", "reports/reports.json", "closed_reports.json",
    "feeds/compiled.json", "feeds/bad/copy.json", "feeds/bad/*.raw", "feeds/bad/*.parsed", "feeds/bad/hold.json",
    "blocksets/current", "blocksets/N/manifest.json", "blocksets/N/bloom.bin", "blocksets/N/names.bin",
    "blocksets/N/nets.bin", "blocksets/N/facts.bin", "blocksets/N/facts.msgpack",
    "audit-config.jsonl", "credentials.json",
)  # fmt: skip


ENROLMENT = Command(command="enroll", user="t", tenant="north", credential=f"token:{'a' * 64}")


def _cases(every: int) -> Iterator[object]:
    """All of them; those that always run meet every way, and one file in so many."""
    for at, name in enumerate(FILES):
        ways = OF_ENTRIES if name in ("requests", "blocksets/current", "zone-changes.sock") else tuple(DAMAGES)
        for number, way in enumerate(ways):
            often = number == at % len(ways) and (at + 1) % every == 0
            yield pytest.param(name, way, id=f"{name}-{way}", marks=() if often else pytest.mark.matrix)


class Damaged:
    """A resolver with a list, a local block and a hold, whose files are damaged."""

    def __init__(self, pdns: RunningPdns) -> None:
        self.pdns, self.api = pdns, Api(pdns)
        self.outside = pdns.directory / "outside"
        self.orders = 0

    def find(self, name: str) -> Path:
        current = (self.pdns.state_dir / "blocksets" / "current").resolve().name
        return next(iter(self.pdns.state_dir.glob(name.replace("/N/", f"/{current}/"))))

    def settle(self) -> None:
        """Everything as it should be, and every file there."""
        if not self.pdns.is_up:  # the test before has failed
            self.pdns.start()
        self.outside.write_text("somebody else's\n")
        self.pdns.wait_for(lambda: self.pdns.get("/readyz")[0] == 200, "/readyz")
        self.order("block", name=LOCAL)
        self.order("hold", feed="bad")
        if not self.has_enrolment():
            commands.execute(self.pdns.state_dir, ENROLMENT, 120.0)
        self.assert_commands_work()  # a block is a case
        self.assert_reports_work()
        assert self.api.local("POST", "/api/cache/flush", {"name": LOCAL, "reason": "a test"}).status == 200
        if not self.there(feed_hits.FILE_NAME):  # it is written once a minute
            feed_hits.HitBook(self.pdns.state_dir, 1.0).write(feed_hits.Hits())
        for name in FILES:
            self.pdns.wait_for(partial(self.there, name), name)

    def there(self, name: str) -> bool:
        with suppress(StopIteration, OSError):
            path = self.find(name)
            return path.is_symlink() if name == "blocksets/current" else path.exists() and not path.is_symlink()
        return False

    def order(self, command: commands.CommandName, *, name: str = "", feed: str = "", report: int = 0) -> None:
        order = Command(command=command, user="t", reason="a test", name=name, feed=feed, report=report)
        outcome = commands.execute(self.pdns.state_dir, order, 120.0)
        assert outcome.done, outcome.text

    def assert_protected(self) -> None:
        for name in (LISTED[0], f"x.{LISTED[1]}", LOCAL):
            assert self.pdns.addresses(name) == [SINKHOLE], name
        assert self.pdns.addresses("www.example.net") not in ([SINKHOLE], [])
        assert self.outside.read_text() == "somebody else's\n"

    def assert_commands_work(self) -> None:
        """One is given, is in force, and took nothing else out of force."""
        self.orders += 1
        name = f"order{self.orders}.example"
        self.order("block", name=name)
        assert self.pdns.addresses(name) == [SINKHOLE]
        self.assert_protected()

    def assert_reports_work(self) -> None:
        """One arrives, is open, and is closed."""
        name = f"mistake{self.orders}.example"
        numbers: list[str] = []

        def arrives() -> bool:
            with suppress(ConnectionError):  # the page process starts after the workers
                numbers.extend(re.findall(r"Its number is (\d+)\.", report(page_port(self.pdns), name).body))
            return bool(numbers)

        self.pdns.wait_for(arrives, "a report")
        self.order("close", report=int(numbers[0]))
        assert name not in {one.name for one in reports.open_reports(self.pdns.state_dir)}

    def assert_kept_files_are_whole(self) -> None:
        """What the next start needs."""
        state_dir = self.pdns.state_dir
        self.pdns.wait_for(lambda: any(one.name == LOCAL for one in overrides.read(state_dir).indicators), "overrides")
        self.pdns.wait_for((state_dir / "overrides.json").is_file, "overrides.json")
        self.pdns.wait_for(lambda: self.whole("feeds/bad/hold.json") and self.whole("feeds/bad/copy.json"), "the feed's files")
        self.pdns.wait_for(lambda: feed_status.read(state_dir) is not None, "feeds.json")
        self.pdns.wait_for(lambda: _opens(self.pdns.state_dir), "the blockset")
        self.pdns.wait_for(lambda: self.whole(f"{reports.DIRECTORY}/{reports.FILE_NAME}"), reports.FILE_NAME)
        self.pdns.wait_for(lambda: self.whole(reports.CLOSED_FILE), reports.CLOSED_FILE)
        self.pdns.wait_for(self.has_cases, cases.FILE_NAME)
        self.pdns.wait_for(self.has_enrolment, enrolments.FILE_NAME)

    def assert_no_other_starts(self) -> None:
        command = [sys.executable, "-m", "pdns", "serve", "-c", str(self.pdns.config_path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
        assert done.returncode
        assert "is in use by another pdns serve" in done.stderr

    def has_enrolment(self) -> bool:
        """In a file that is whole."""
        return self.whole(enrolments.FILE_NAME) and len(enrolments.read(self.pdns.state_dir).enrolments) == 1

    def has_cases(self) -> bool:
        """Those of before the damage too, as names that are still blocked."""
        met = {reference(from_text(LISTED[0]), "bad"), reference(from_text(LOCAL), LOCAL_FEED)}
        with suppress(OSError):
            return all(cases.find(self.pdns.state_dir, case) for case in met)
        return False

    def whole(self, name: str) -> bool:
        path = self.pdns.state_dir / name
        with suppress(OSError, DamagedError):
            records.decode(read_state(path, 1 << 24), dict)
            return True
        return False


def _opens(state_dir: Path) -> bool:
    with suppress(BlocksetError):
        Annotations(Blockset.open(current_directory(state_dir)))
        return (state_dir / "blocksets" / "current").is_symlink()
    return False


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory, upstream: UpstreamThread) -> Iterator[Damaged]:
    directory = tmp_path_factory.mktemp("damaged")
    bad = feed(directory, "bad", *LISTED, addresses=True)
    (directory / "bad.txt").write_text("".join(f"{name}\n" for name in (*LISTED, "203.0.113.9")))
    page = {"listen": [f"{ADDRESS}:0"], "reports_per_hour": 10_000, "reports_per_hour_per_client": 10_000}
    with RunningPdns(directory, {"upstream": {"servers": [upstream.address]}, "feed": [bad], "block_page": page}) as pdns:
        yield Damaged(pdns)


@pytest.mark.parametrize(("name", "way"), list(_cases(1)))
def test_damage_while_running(damaged: Damaged, name: str, way: str) -> None:
    """Names stay blocked, commands work, nothing outside is written to, and what the next start needs is there again."""
    damaged.settle()
    DAMAGES[way](damaged.find(name))
    damaged.assert_protected()
    damaged.assert_commands_work()
    damaged.assert_reports_work()
    damaged.assert_kept_files_are_whole()
    damaged.assert_protected()
    if name == "lock":  # it is made anew at the next start, of which there is no second one at the same time
        damaged.assert_no_other_starts()
        assert damaged.pdns.stop() == 0
        damaged.pdns.start()
        assert (damaged.pdns.state_dir / name).read_text() == f"{damaged.pdns.pid}\n"


@pytest.mark.parametrize(("name", "way"), list(_cases(3)))
def test_damage_while_stopped(damaged: Damaged, name: str, way: str) -> None:
    """After the next start the same holds, though no source answers."""
    pdns, source = damaged.pdns, damaged.pdns.directory / "bad.txt"
    damaged.settle()
    pdns.stop()
    DAMAGES[way](damaged.find(name))
    content = source.read_bytes()
    source.unlink()
    try:
        pdns.start()
        damaged.assert_protected()
        damaged.assert_commands_work()
        damaged.assert_reports_work()
        damaged.assert_kept_files_are_whole()
    finally:
        source.write_bytes(content)
    damaged.assert_protected()
    if name == "overrides.json" and way != "gone":
        assert list(pdns.state_dir.glob("overrides.json.damaged-*"))


def test_damaged_files_are_kept_within_bounds_and_said(damaged: Damaged) -> None:
    """The last five of a name stay; /readyz and a metric speak of them until they are removed."""
    damaged.settle()
    for _ in range(7):
        _truncate(damaged.find("overrides.json"), 3)
        damaged.assert_commands_work()
    kept = list(damaged.pdns.state_dir.glob("overrides.json.damaged-*"))
    assert len(kept) == 5
    text = damaged.pdns.get("/readyz")[1]
    assert text.startswith("ok\n")
    assert f"{kept[0].name}: damaged and kept aside" in text
    assert damaged.pdns.value("damaged_files") >= 5
    for path in damaged.pdns.state_dir.rglob("*.damaged-*"):
        safe_files.remove(path)
    assert damaged.pdns.get("/readyz") == (200, "ok\n")
    assert damaged.pdns.value("damaged_files") == 0


# The configuration that the API has written.

DETECTED = ("half", "zeros", "directory", "pipe", "link", "later")  # in the others there is TOML, or no file


@pytest.mark.parametrize("way", DETECTED)
def test_damage_of_the_tenants_of_the_api(tmp_path: Path, way: str) -> None:
    """A running server keeps them, and says which file is damaged; the API changes nothing meanwhile. A stopped one does not
    start without them: a tenant whose policy is gone would be unprotected. With the file back, all is as before.
    """
    (tmp_path / "outside").write_text("somebody else's\n")
    with RunningPdns(tmp_path) as pdns:
        api, path = Api(pdns), pdns.state_dir / "conf.d/50-api.toml"
        made = api.local("PUT", "/api/policies/strict?reason=t", {"block": ["games.example"]}, If_None_Match="*")
        assert made.status == 201
        tenant = {"networks": ["127.0.0.0/8"], "policy": "strict"}
        assert api.local("PUT", "/api/tenants/x?reason=t", tenant, If_None_Match="*").status == 201
        assert pdns.addresses("games.example") == [SINKHOLE]
        content = path.read_bytes()
        DAMAGES[way](path)
        pdns.wait_for_log("the previous configuration stays live")
        assert str(path) in pdns.log
        assert pdns.addresses("games.example") == [SINKHOLE]
        refused = api.local("PUT", "/api/tenants/y?reason=t", {"networks": ["192.0.2.0/24"]}, If_None_Match="*")
        assert refused.status >= 400
        assert (tmp_path / "outside").read_text() == "somebody else's\n"
        pdns.stop()
        assert pdns.launch().wait(120) == 2
        assert str(path) in pdns.log
        _replace_by(path, lambda: path.write_bytes(content))
        pdns.start()
        assert pdns.addresses("games.example") == [SINKHOLE]
        assert api.local("PUT", "/api/tenants/y?reason=t", {"networks": ["192.0.2.0/24"]}, If_None_Match="*").status == 201


# Root.


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_does_not_follow_what_the_owner_put_there(tmp_path: Path) -> None:
    """The command line, run by root on a state directory of another user, full of links: root's files stay as they are, and
    nothing in the directory belongs to root afterwards.
    """
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    state, secret, secrets = tmp_path / "state", tmp_path / "root-file", tmp_path / "root-directory"
    secret.write_text("root's\n")
    secrets.mkdir()
    state.mkdir()
    for name in ("audit.jsonl", "overrides.json", "overrides.json.tmp", "lock", "feeds.json.tmp", "feeds.json"):
        (state / name).symlink_to(secret)
    for name in ("requests", "feeds", "blocksets"):
        (state / name).symlink_to(secrets)
    os.chown(state, OWNER, OWNER)
    for path in state.iterdir():
        os.chown(path, OWNER, OWNER, follow_symlinks=False)
    config = tmp_path / "pdns.toml"
    config.write_text(f'[state]\ndir = "{state}"\n[upstream]\nservers = ["udp://127.0.0.1:9"]\n')
    for words in (["block", LOCAL, "--reason", "a test"], ["feeds", "update"]):
        command = [sys.executable, "-m", "pdns", *words, "-c", str(config)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
        assert "Traceback" not in done.stderr
        if runs_python(OWNER):
            assert done.returncode == 0, (words, done)
        else:
            assert done.returncode == 2
            assert f"the state directory belongs to user {OWNER}, who cannot read" in done.stderr
        assert secret.read_text() == "root's\n", (words, done)
        assert list(secrets.iterdir()) == []
        assert {path.lstat().st_uid for path in state.rglob("*")} == {OWNER}, (words, done)
    if runs_python(OWNER):
        assert [entry.name for entry in overrides.read(state).indicators] == [LOCAL]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_refuses_what_a_third_user_can_replace(tmp_path: Path) -> None:
    """A directory above the state directory belongs to another user, who could exchange what is in it at any moment."""
    above, config = tmp_path / "above", tmp_path / "pdns.toml"
    state = above / "state"
    state.mkdir(parents=True)
    os.chown(above, OWNER + 1, OWNER + 1)
    os.chown(state, OWNER, OWNER)
    config.write_text(f'[state]\ndir = "{state}"\n[upstream]\nservers = ["udp://127.0.0.1:9"]\n')
    command = [sys.executable, "-m", "pdns", "block", LOCAL, "--reason", "a test", "-c", str(config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 2
    assert f"{above} belongs to user {OWNER + 1}, who can replace {state}" in done.stderr
    assert list(state.iterdir()) == []
