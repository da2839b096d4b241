"""`[fleet]`: what each role needs, and where the policy of a node comes from."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from pdns.config.conf_d import read_parts
from pdns.config.fleet_rules import BUNDLE_FEED_KEYS, BUNDLE_SECTIONS, node_name, ring_of
from pdns.config.fleet_schema import FleetSection
from pdns.config.load import from_tables, load
from pdns.config.schema import Config, Feed
from pdns.errors import ConfigErrors

NODE = {"role": "node", "store": "https://lists.example/fleet/", "root_file": "root.json"}
PUBLISHER = {"role": "publisher", "store": "s3://lists/fleet", "keys_dir": "keys"}
MAIN = """\
[upstream]
servers = ["192.0.2.53"]
[state]
dir = "state"
[fleet]
role = "node"
store = "file:store"
root_file = "root.json"
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "root.json").write_text("{}")
    (tmp_path / "keys").mkdir()
    (tmp_path / "state/fleet").mkdir(parents=True)
    (tmp_path / "pdns.toml").write_text(MAIN)
    return tmp_path


def settled(here: Path, fleet: dict[str, Any], **tables: Any) -> Config:
    return from_tables({"fleet": fleet, "upstream": {"servers": ["192.0.2.53"]}, **tables}, "pdns.toml", here)


def bundle(here: Path, text: str) -> Path:
    path = here / "state/fleet/bundle.toml"
    path.write_text(text)
    return path


def errors(path: Path) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    return [str(error) for error in caught.value.errors]


def test_values_become_canonical(here: Path) -> None:
    """Absolute paths; a store without a slash at its end."""
    node = settled(here, NODE).fleet
    assert (node.store, node.root_file) == ("https://lists.example/fleet", str(here / "root.json"))
    assert settled(here, {**NODE, "store": "file:store"}).fleet.store == (here / "store").as_uri()
    assert settled(here, PUBLISHER).fleet.keys_dir == str(here / "keys")


@pytest.mark.parametrize(
    ("fleet", "error"),
    [
        ({"role": "node"}, r'fleet.store: required with role = "node"'),
        ({**NODE, "root_file": ""}, r'fleet.root_file: required with role = "node"'),
        ({**NODE, "root_file": "none.json"}, r"fleet.root_file: cannot be read: .*none.json: No such file"),
        ({**NODE, "credentials_file": "none"}, r"fleet.credentials_file: cannot be read"),
        ({**NODE, "ca_file": "root.json"}, r"fleet.ca_file: expected a file of PEM certificates"),
        ({**NODE, "store": "ftp://x/y"}, r"fleet.store: expected file:///PATH or s3://BUCKET/PREFIX or https://HOST/PATH"),
        ({**NODE, "store": "s3://B_/x"}, r"fleet.store: expected s3://BUCKET/PREFIX"),
        ({**NODE, "heartbeat_store": "https://x.example/y"}, r"fleet.heartbeat_store: expected file:///PATH or s3:"),
        ({**PUBLISHER, "store": "https://x.example/y"}, r"fleet.store: expected file:///PATH or s3://BUCKET/PREFIX, got"),
        ({**PUBLISHER, "keys_dir": ""}, r'fleet.keys_dir: required with role = "publisher"'),
        ({**PUBLISHER, "keys_dir": "root.json"}, r"fleet.keys_dir: expected a directory"),
        ({**NODE, "endpoint": "x"}, r"fleet.endpoint: expected a URL"),
        ({**NODE, "node": "a b"}, r"fleet.node: expected name"),
    ],
)
def test_a_broken_rule_names_the_key(here: Path, fleet: dict[str, Any], error: str) -> None:
    """The error says which key, and why."""
    with pytest.raises(ConfigErrors, match=error):
        settled(here, fleet)


def test_a_standalone_server_may_keep_the_keys_of_a_role(here: Path) -> None:
    """A node becomes standalone by one key, and back."""
    assert settled(here, {**NODE, "role": "standalone", "root_file": "gone"}).fleet.root_file == "gone"


def test_the_bundle_is_read_on_a_node(here: Path) -> None:
    """Its feeds, policies and `[block]` count as if they were in a file of the node; a standalone server does not read it."""
    path = bundle(here, '[block]\naction = "nodata"\n[[feed]]\nname = "a"\nurl = "fleet:a"\ncategory = "phishing"\n')
    config = load(here / "pdns.toml")
    assert [(feed.name, feed.url, feed.category) for feed in config.feed] == [("a", "fleet:a", "phishing")]
    assert config.block.action == "nodata"
    assert read_parts(here / "pdns.toml").bundle == str(path)
    (here / "pdns.toml").write_text(MAIN.replace('"node"', '"standalone"'))
    assert load(here / "pdns.toml").feed == ()


def test_a_conflict_names_both_files(here: Path) -> None:
    """What the bundle and a file of the node both set is an error."""
    path = bundle(here, '[block]\naction = "nodata"\n')
    (here / "pdns.toml").write_text(MAIN + "[block]\nttl_s = 5\n")
    assert errors(here / "pdns.toml") == [f"{path}: block: is already set in {here / 'pdns.toml'}"]


def test_a_bundle_cannot_reach_further(here: Path) -> None:
    """A bundle that sets what is a node's own is refused as a whole."""
    path = bundle(here, '[server]\nlisten = ["127.0.0.1:5300"]\n')
    (error,) = errors(here / "pdns.toml")
    assert error == f"{path}: server: expected only block, feed, policy, tenant, record, rebinding in the policy bundle"


def test_a_node_has_no_feeds_of_its_own(here: Path) -> None:
    """A feed of a release stands in the bundle alone, and a node's feeds are all of a release."""
    (here / "list.txt").write_text("bad.example\n")
    own = '[[feed]]\nname = "own"\nurl = "file:list.txt"\n'
    bundle(here, '[[feed]]\nname = "a"\nurl = "https://lists.example/a"\n')
    (here / "pdns.toml").write_text(MAIN + own)
    first, second = errors(here / "pdns.toml")
    assert first.startswith(f"{here / 'pdns.toml'}: feed[0]: a node has no feeds of its own")
    assert "bundle.toml: feed[0].url: expected fleet:" in second
    with pytest.raises(ConfigErrors, match=r"feed\[0\].url: fleet: is for the policy bundle"):
        settled(here, {}, feed=[{"name": "a", "url": "fleet:a"}])


def test_rings_of_nodes() -> None:
    """About the configured share of all names is early; a name is always in the same ring; the configuration overrides it."""
    rings = Counter(ring_of(FleetSection(node=f"node-{number}", early_share=0.05)) for number in range(2000))
    assert 60 < rings["early"] < 140
    assert ring_of(FleetSection(node="node-1")) == ring_of(FleetSection(node="node-1"))
    assert ring_of(FleetSection(ring="first")) == "first"
    assert node_name(FleetSection())


@pytest.mark.parametrize("key", sorted({field.name for field in msgspec.structs.fields(Feed)} - set(BUNDLE_FEED_KEYS)))
def test_a_bundle_does_not_say_how_a_feed_is_fetched(here: Path, key: str) -> None:
    """Every key of `[[feed]]` that is about fetching, files, secrets and judging is refused in a bundle."""
    path = bundle(here, f'[[feed]]\nname = "a"\nurl = "fleet:a"\n{key} = 1\n')
    assert f"{path}: feed[0].{key}: is for the publisher, not for a policy bundle" in errors(here / "pdns.toml")


def test_what_a_bundle_may_hold_names_no_file_and_no_secret() -> None:
    """No key of the sections that a bundle may have is a path, a secret, or an address that this server would connect to."""
    hints = get_type_hints(Config)
    waiting: list[Any] = [hints[name] for name in BUNDLE_SECTIONS if name != "feed"]
    seen: set[str] = set()
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for name, hint in get_type_hints(kind).items():
                seen.add(name)
                waiting.append(hint)
    assert {"sinkhole", "page_text", "doh_token_sha256", "block_private_answers", "time_zone"} <= seen
    told = re.compile(r"file|path|dir|secret|password|token(?!_sha256)|proxy|listen|sink$|server|upstream|command|user")
    assert [name for name in sorted(seen) if told.search(name)] == []
