"""`pdns fleet`: what it shows of a publisher and of a node, what it refuses, and its keys."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from pdns.__main__ import build
from pdns.state import fleet_status
from pdns.state.fleet_status import FleetStatus, RefusedRelease, SeenNode

NODE = '[fleet]\nrole = "node"\nstore = "https://lists.example.org/fleet"\nroot_file = "root.json"\nnode = "north"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "root.json").touch()
    (tmp_path / "keys").mkdir()
    return _written(tmp_path, NODE)


def _written(directory: Path, fleet: str) -> Path:
    file = directory / "pdns.toml"
    file.write_text(f'[upstream]\nservers = ["192.0.2.53"]\n[state]\ndir = "{directory}/state"\n{fleet}')
    return file


def fleet(*words: str) -> Result:
    return CliRunner().invoke(build(("fleet",)), ["fleet", *words])


def _said(result: Result) -> str:
    return result.output


def test_a_server_alone(tmp_path: Path) -> None:
    """Every command says what to set."""
    file = _written(tmp_path, "")
    for words in (["status"], ["promote", "3", "all"], ["pin", "--reason", "x"], ["check"]):
        result = fleet(*words, "--config", str(file))
        assert result.exit_code == 2
        assert "fleet.role" in _said(result)


def test_check_says_what_a_node_takes(config: Path) -> None:
    """A node without `[[feed]]` has lists: those of its fleet."""
    result = CliRunner().invoke(build(("check",)), ["check", "--config", str(config)])
    assert result.exit_code == 0
    assert "node north, ring " in _said(result)
    assert "store https://lists.example.org/fleet" in _said(result)
    assert "nothing is blocked" not in _said(result)


def test_no_status_yet(config: Path) -> None:
    """The message names the file, and what to start."""
    result = fleet("status", "--config", str(config))
    assert result.exit_code == 2
    assert "status.json" in _said(result)
    assert "pdns serve" in _said(result)


def test_a_node(config: Path, tmp_path: Path) -> None:
    """Release, pointer, store and refused releases; exit status 1 while something is wrong."""
    now_s = time.time()
    good = FleetStatus(
        role="node", node="north", ring="early", sequence=9, release=5, wanted_release=5, compiled_sha256="ab" * 32,
        pointer_issued_s=now_s - 30, pointer_expires_s=now_s + 7200, last_poll_s=now_s, last_success_s=now_s, bytes_total=1234567,
        refused=[RefusedRelease(4, "9.1% of 2,000 queries blocked", now_s - 3600)],
    )  # fmt: skip
    (tmp_path / "state").mkdir()
    fleet_status.write(tmp_path / "state", good)
    result = fleet("status", "--config", str(config))
    assert result.exit_code == 0
    for part in (
        "north, ring early",
        "5, the newest for its ring",
        "expires in 2 h",
        "1,234,567 bytes",
        "as published",
        "release 4",
    ):
        assert part in _said(result)
    for changes, part in (
        ({"last_error": "no route"}, "FAILING"),
        ({"pointer_expires_s": now_s - 60}, "EXPIRED"),
        ({"compiled_differs": True}, "DIFFERS"),
        ({"bundle_error": "policy.toml: no such key"}, "NOT IN FORCE"),
        ({"wanted_release": 4}, "release 4"),
    ):
        fleet_status.write(tmp_path / "state", msgspec.structs.replace(good, **changes))
        result = fleet("status", "--config", str(config))
        assert result.exit_code == 1, changes
        assert part in _said(result)
        result = fleet("status", "--json", "--config", str(config))
        assert result.exit_code == 1, changes
    assert json.loads(result.output)["wanted_release"] == 4


def test_a_publisher(config: Path, tmp_path: Path) -> None:
    """Each ring with its release and its nodes, and each node with what it says."""
    _written(tmp_path, f'[fleet]\nrole = "publisher"\nstore = "file://{tmp_path}"\nkeys_dir = "keys"\n')
    now_s = time.time()
    nodes = [
        SeenNode(node="north", ring="first", release=8, written_s=now_s, version="1.2", queries=1000, blocked=7),
        SeenNode(node="south", ring="all", release=7, written_s=now_s, version="1.2", refused=[8], reason="9.1% blocked"),
    ]
    status = FleetStatus(
        role="publisher", release=8, sequence=70, pointer_expires_s=now_s + 3600, last_poll_s=now_s, last_success_s=now_s,
        rings={"first": 8, "early": 7, "all": 7}, nodes=nodes,
    )  # fmt: skip
    (tmp_path / "state").mkdir(exist_ok=True)
    fleet_status.write(tmp_path / "state", status)
    result = fleet("status", "--config", str(config))
    assert result.exit_code == 0
    lines = {line.split()[0]: line.split() for line in _said(result).splitlines() if line}
    assert lines["first"][:4] == ["first", "8", "1", "1"]
    assert lines["north"][:4] == ["north", "first", "8", "0"]
    assert "0.70%" in lines["north"]
    assert "refused 8: 9.1% blocked" in _said(result)
    assert "last written 0 s ago" in _said(result)
    assert "release 8 STAYS where it is: south refused it" in _said(result)
    assert "received" not in _said(result)
    for seen, part in ((nodes[:1], "release 8 goes on after the soak time"), ([], "WAITS for heartbeats of 1 in ring first")):
        fleet_status.write(tmp_path / "state", msgspec.structs.replace(status, nodes=seen))
        assert part in _said(fleet("status", "--config", str(config)))
    fleet_status.write(tmp_path / "state", msgspec.structs.replace(status, fenced=True))
    result = fleet("status", "--config", str(config))
    assert result.exit_code == 1
    assert "another publisher" in _said(result)


def test_wrong_rings(config: Path) -> None:
    """An unknown ring is refused before anything is sent."""
    result = fleet("promote", "3", "everyone", "--config", str(config))
    assert result.exit_code == 2
    assert "first, early, all" in _said(result)


def test_keys(tmp_path: Path) -> None:
    """Made, shown, rotated and signed with as many root keys as are needed; nothing is overwritten."""
    keys = tmp_path / "keys"
    assert fleet("keys", "init", str(keys), "--roots", "2", "--threshold", "2").exit_code == 0
    assert "nothing is overwritten" in _said(fleet("keys", "init", str(keys)))
    assert "version 1" in _said(fleet("keys", "show", str(keys)))
    assert fleet("keys", "rotate", str(keys)).exit_code == 0
    said = [_said(fleet("keys", "sign", str(keys), str(key))) for key in sorted(keys.glob("root-*.pem"))]
    assert "still needs signatures" in said[0]
    assert "version 2 is complete" in said[1]
    assert fleet("keys", "sign", str(keys), str(keys / "root.json")).exit_code == 1
    (tmp_path / "passphrase").write_text("open sesame\n")
    words = ("init", str(tmp_path / "more"), "--passphrase-file", str(tmp_path / "passphrase"))
    assert fleet("keys", *words).exit_code == 0
    (root,) = (tmp_path / "more").glob("root-*.pem")
    assert "ENCRYPTED" in root.read_text()


def test_check_says_what_to_do(config: Path, tmp_path: Path) -> None:
    """A store that is empty, or not there, is told from one that is wrong."""
    _written(tmp_path, NODE.replace("https://lists.example.org/fleet", f"file://{tmp_path}/store"))
    (tmp_path / "store").mkdir()
    assert fleet("keys", "init", str(tmp_path / "keys2")).exit_code == 0
    (tmp_path / "root.json").write_bytes((tmp_path / "keys2" / "root.json").read_bytes())
    result = fleet("check", "--config", str(config))
    assert result.exit_code == 1
    assert "has the publisher published yet" in _said(result)
