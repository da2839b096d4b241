"""`pdns policy`, as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from pdns.__main__ import build
from pdns.blockset.generations import publish
from pdns.config.load import load
from pdns.config.schema import Feed
from pdns.state import live_config
from pdns.state.feed_hits import Hits
from pdns.telemetry.event_ring import name_hash
from pdns.wire.names import from_text
from tests.blocksets import compile_parsed
from tests.unit.blockset.test_annotations import parsed

BASE = """
[upstream]
servers = ["192.0.2.53"]
[state]
dir = "state"
[[feed]]
name = "alpha"
url = "file:list.txt"
"""
SCHOOLS = """
[[policy]]
name = "schools"
actions = { malware = "nxdomain" }
block = ["games.test"]
[[tenant]]
name = "north"
networks = ["198.51.100.0/24"]
policy = "schools"
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with one listed name, which was met today."""
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("evil.test\n")
    state = tmp_path / "state"
    compile_parsed([(Feed(name="alpha", url="file:a"), parsed({"evil.test": None}, {}))], state / "built", 1, 1.7e9)
    publish(state, state / "built", 1)
    today = 100_000  # later than any day that this test may be run on
    (state / "hits.msgpack").write_bytes(msgspec.msgpack.encode(Hits(names={name_hash(from_text("evil.test")): today})))
    return tmp_path


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(build(), list(words))
    return result.exit_code, result.stdout, result.stderr


def test_show() -> None:
    """What a policy comes to, with what it inherits; an unknown one is an error that names the others."""
    Path("pdns.toml").write_text(BASE + SCHOOLS)
    code, out, _ = run("policy", "show", "schools", "-c", "pdns.toml")
    assert code == 0
    assert out == (
        "schools\n"
        "  tenants    north\n"
        "  not ready  SERVFAIL\n"
        "  feed   category  mode   action\n"
        "  alpha  malware   block  nxdomain\n"
        "  entry              of              reason\n"
        "  games.test  block  policy schools\n"
    )
    code, out, _ = run("policy", "show", "schools", "-c", "pdns.toml", "--json")
    assert (code, json.loads(out)["actions"]) == (0, {"malware": "nxdomain"})
    assert run("policy", "show", "school", "-c", "pdns.toml")[::2] == (2, "no policy school; policies: schools, default\n")


def test_show_of_response_policy_zones() -> None:
    """Where the zone or its feed's settings decide the answer, the policy's action is not shown."""
    zone = '[[feed]]\nname = "{0}"\nurl = "file:z"\nformat = "rpz"\nrpz_action = "{0}"\n'
    Path("pdns.toml").write_text(BASE + "".join(map(zone.format, ("given", "refused", "policy"))))
    _, out, _ = run("policy", "show", "-c", "pdns.toml")
    assert [line.split(maxsplit=3)[3] for line in out.splitlines()[5:8]] == [
        "as the feed says",
        "refused",
        "sinkhole to 192.0.2.1, 2001:db8::1",
    ]


def test_diff() -> None:
    """A table of what would change, and a line that sums it up."""
    Path("old.toml").write_text(BASE)
    Path("new.toml").write_text(BASE + SCHOOLS)
    code, out, _ = run("policy", "diff", "old.toml", "new.toml")
    assert code == 0
    assert out == (
        "name       now               would be          for    last met\n"
        "evil.test  sinkhole (alpha)  nxdomain (alpha)  north  2243-10-17\n"
        "1 of 1 names that were met in the last 7 days: would change\n"
    )
    assert run("policy", "diff", "new.toml", "new.toml")[1] == (
        "1 names that were met in the last 7 days: nothing would change\n"
    )
    code, out, _ = run("policy", "diff", "old.toml", "new.toml", "--json")
    assert (code, json.loads(out)["changes"][0]["tenants"]) == (0, ["north"])
    Path("new.toml").write_text(BASE + SCHOOLS.replace('"schools"\nactions', '"shools"\nactions'))
    code, _, err = run("policy", "diff", "old.toml", "new.toml")
    assert (code, err) == (
        2,
        'new.toml: tenant[0].policy: no such policy: "schools"; did you mean "shools"?; write [[policy]] with that name\n',
    )


def test_check_with_diff(directory: Path) -> None:
    """The file is compared with what the server uses; without one, the other command is named."""
    Path("old.toml").write_text(BASE)
    Path("new.toml").write_text(BASE + SCHOOLS)
    code, _, err = run("check", "-c", "new.toml", "--diff")
    assert code == 2
    assert err.endswith(f"no server has used {directory}/state: `pdns policy diff OLD NEW` compares two files\n")
    live_config.write(directory / "state", Path("old.toml"), load(Path("old.toml")))
    code, out, _ = run("check", "-c", "new.toml", "--diff")
    assert code == 0
    assert out.endswith("1 of 1 names that were met in the last 7 days: would change\n")
    assert "policies  schools, as default (1 tenant)\n" in out
