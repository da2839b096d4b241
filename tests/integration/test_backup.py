"""The drill of docs/operations.md: back up a running server, delete the state directory, restore, start: nothing is forgotten."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from pdns.backup import LEFT_OUT
from pdns.event_store.queries import Window
from pdns.event_store.sqlite_queries import SqliteQueries
from pdns.event_store.sqlite_schema import store_path
from pdns.state import feed_hits
from tests.integration import pagevisits
from tests.integration.apiclient import Api
from tests.integration.running_pdns import ROOT, SINKHOLE, RunningPdns, feed, runs_python

PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
OWNER = 12345


def documented(section: str) -> list[str]:
    """Every command that the page shows in the section."""
    text = re.findall(rf"^### {section}\n(.*?)^###", PAGE, re.DOTALL | re.MULTILINE)[0]
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line.removeprefix("$ ").removeprefix("# ") for block in blocks for line in block.splitlines()]


def run(pdns: RunningPdns, line: str, directory: Path) -> str:
    """A command of the page with the paths of this server, as a shell runs it; what it prints."""
    line = line.replace("/var/lib/protective-dns", shlex.quote(str(pdns.state_dir)))
    line = line.replace("/root/", f"{shlex.quote(str(directory))}/")
    assert "/var/lib/" not in line  # a page with other paths must not touch a service of this machine
    if line.startswith("pdns "):
        line = f"{shlex.quote(sys.executable)} -m {line} -c {shlex.quote(str(pdns.config_path))}"
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    return done.stdout


def kept_files(state_dir: Path) -> dict[str, bytes]:
    """The files that a backup is for, but for the store, whose pages may differ."""
    return {
        str(path.relative_to(state_dir)): path.read_bytes()
        for path in sorted(state_dir.rglob("*"))
        if path.is_file()
        and not path.name.endswith((".tmp", ".sock"))
        and not any(str(path.relative_to(state_dir)).startswith(left_out) for left_out in LEFT_OUT)
    }


def events(state_dir: Path) -> list[tuple[str, str, str, int]]:
    """What the event store has."""
    if not store_path(state_dir).exists():
        return []
    queries = SqliteQueries(store_path(state_dir))
    try:
        found = queries.events(Window(0.0, time.time() + 60), None)
        return sorted((event.qname, event.listed, event.feed, event.n) for event in found)
    finally:
        queries.close()


def state_as_seen(pdns: RunningPdns) -> dict[str, Any]:
    """What the server knows, as its users see it."""
    api = Api(pdns)
    of_feeds = ("entries", "loaded", "frozen", "held_names", "disabled_until_s")
    return {
        "local entries": api.local("GET", "/api/indicators").body,
        "feeds": {
            name: {key: one[key] for key in of_feeds} for name, one in api.local("GET", "/api/feeds").body["feeds"].items()
        },
        "tenants": api.local("GET", "/api/tenants").body,
        "reports": api.local("GET", "/api/reports").body,
        "audit": api.local("GET", "/api/audit").body,
        "answers": [pdns.addresses(name) for name in ("evil.example", "local.example")],
    }


def test_nothing_is_forgotten(tmp_path: Path) -> None:
    """Lists whose sources are gone, local entries, holds, a frozen feed, a feed that is switched off, tenants, reports, the audit
    log, hits, events, and the key of pseudonyms.
    """
    lists = [
        feed(tmp_path, "example", "evil.example", "held.example", required=False),
        feed(tmp_path, "other", "other.example", required=False),
    ]
    config = {"server": {"workers": 1}, "feed": lists, "events": {"clients": "hash"}, **pagevisits.config()}
    with RunningPdns(tmp_path, config) as pdns:
        for line in (
            "pdns block local.example --reason test",
            "pdns allow allowed.example --reason test --for 7d",
            "pdns feeds hold example --name held.example --reason test",
            "pdns feeds hold example --reason 'not now'",
            "pdns feeds disable other --for 7d --reason test",
        ):
            run(pdns, line, tmp_path)
        tenant = {"networks": ["192.0.2.0/24"]}
        assert Api(pdns).local("PUT", "/api/tenants/x?reason=test", tenant, If_None_Match="*").status == 201
        assert pdns.addresses("evil.example") == pdns.addresses("local.example") == [pagevisits.ADDRESS]
        assert pagevisits.report(pagevisits.page_port(pdns), "evil.example").status == 200
        pdns.wait_for((pdns.state_dir / "cases.jsonl").exists, "cases")
        pdns.wait_for(lambda: len(events(pdns.state_dir)) >= 2, "events")
        assert pdns.stop() == 0  # hits are written every minute, and at the end
        pdns.start()
        before, recorded = state_as_seen(pdns), events(pdns.state_dir)
        back_up, stop, delete, restore, start = documented("One file")
        said = run(pdns, back_up, tmp_path)
        assert "with events" in said
        archive = tmp_path / "pdns-backup.tar.gz"
        assert archive.stat().st_mode & 0o777 == 0o600
        files = kept_files(pdns.state_dir)

        assert stop == "systemctl stop protective-dns"
        assert pdns.stop() == 0
        for one in lists:
            Path(one["url"].removeprefix("file://")).unlink()
        run(pdns, delete, tmp_path)
        assert list(pdns.state_dir.iterdir()) == []
        run(pdns, restore, tmp_path)
        restored = kept_files(pdns.state_dir)
        assert {name for name in files if restored.get(name) != files[name]} <= {"hits.msgpack", "hits.msgpack.backup"}
        assert {"client.key", "cases.jsonl", "reports/reports.json", "conf.d/50-api.toml", "audit.jsonl"} <= set(restored)
        assert start == "systemctl start protective-dns"
        pdns.start()
        pdns.wait_for(lambda: pdns.addresses("evil.example") == [pagevisits.ADDRESS], "what the feed listed")
        assert state_as_seen(pdns) == before
        assert set(recorded) <= set(events(pdns.state_dir))
        hits = feed_hits.read(pdns.state_dir)
        assert hits is not None
        assert hits.feeds["example"].hits > 0
        assert pdns.addresses("held.example") != [pagevisits.ADDRESS]
        assert pdns.value("damaged_files") == 0


@pytest.mark.skipif(os.geteuid() != 0 or not runs_python(OWNER), reason="needs root, and a Python for all users")
def test_a_backup_is_restored_for_another_user() -> None:
    """On another machine the service has another number: the files belong to whom the directory belongs to."""
    with TemporaryDirectory() as name:  # pytest's own directories are closed to other users
        directory = Path(name)
        directory.chmod(0o755)
        with RunningPdns(directory, {"feed": [feed(directory, "example", "evil.example")]}) as pdns:
            run(pdns, "pdns backup /root/b.tar.gz", directory)
            assert pdns.stop() == 0
            shutil.rmtree(pdns.state_dir)
            pdns.state_dir.mkdir(mode=0o750)
            os.chown(pdns.state_dir, OWNER, OWNER)
            run(pdns, "pdns restore /root/b.tar.gz", directory)
            assert {path.stat().st_uid for path in pdns.state_dir.rglob("*")} == {OWNER}
            pdns.start()
            pdns.wait_for(lambda: pdns.addresses("evil.example") == [SINKHOLE], "what the feed listed")
            assert pdns.value("damaged_files") == 0


def test_restore_refuses_a_running_server_and_backup_a_file_that_is_there(tmp_path: Path) -> None:
    """Each says why, and changes nothing; without a directory there is nothing to back up, and no file is left."""
    with RunningPdns(tmp_path, {"feed": [feed(tmp_path, "example", "evil.example")]}) as pdns:
        run(pdns, "pdns backup /root/b.tar.gz", tmp_path)
        content = (tmp_path / "b.tar.gz").read_bytes()
        with pytest.raises(AssertionError, match="file exists"):
            run(pdns, "pdns backup /root/b.tar.gz", tmp_path)
        with pytest.raises(AssertionError, match="in use by another pdns serve"):
            run(pdns, "pdns restore /root/b.tar.gz --force", tmp_path)
        assert (tmp_path / "b.tar.gz").read_bytes() == content
        assert pdns.stop() == 0
        assert "restored: " in run(pdns, "pdns restore - --force < /root/b.tar.gz", tmp_path)
        shutil.rmtree(pdns.state_dir)
        with pytest.raises(AssertionError, match="there is no state directory"):
            run(pdns, "pdns backup /root/c.tar.gz", tmp_path)
        assert not (tmp_path / "c.tar.gz").exists()
        pdns.start()
