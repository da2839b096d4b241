"""The policy of a fleet as TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path

from feeds.fleet.bundle import bundle_of
from pdns.config.load import load

PUBLISHER = """
[server]
listen = ["127.0.0.1:5353"]

[state]
dir = "state"

[block]
action = "nxdomain"
allow = ["Fine.Example", "*.cdn.example"]

[rebinding]
block_private_answers = true

[[record]]
name = "printer.example"
a = ["192.0.2.9"]

[[feed]]
name = "phish"
url = "https://user:secret@lists.example/phish?key=secret"
category = "phishing"
required = true
token_file = "/etc/secret-token"

[[feed]]
name = "rpz"
url = "axfr://192.0.2.1/rpz.example"
rpz_action = "given"
addresses = true
tsig_name = "key.example"
tsig_secret_file = "/etc/secret-key"

[[policy]]
name = "schools"
categories = { phishing = "block", ads = "monitor" }
allow = ["ok.example"]

[[policy.schedule]]
days = ["sat", "sun"]
start = "08:00"
time_zone = "Europe/London"
categories = { ads = "off" }

[[tenant]]
name = "north"
networks = ["10.1.0.0/16"]
policy = "schools"
doh_token_sha256 = "3f5a8e1f9d1f0c2b7a6e5d4c3b2a190817263544f5e6d7c8b9a0f1e2d3c4b5a6"
"""
NODE = """
[state]
dir = "state"

[fleet]
role = "node"
store = "https://lists.example/fleet"
root_file = "root.json"
"""
SHARED = ("block", "policy", "tenant", "record", "rebinding")


def test_a_node_gets_the_same_policy(tmp_path: Path) -> None:
    """A node takes over the sections of its publisher; feeds come from the fleet, without urls, files or secrets."""
    (tmp_path / "publisher.toml").write_text(PUBLISHER)
    publisher = load(tmp_path / "publisher.toml")
    bundle = bundle_of(publisher)
    assert b"secret" not in bundle
    assert bundle_of(load(tmp_path / "publisher.toml")) == bundle
    assert tomllib.loads(bundle.decode())["feed"] == [
        {"name": "phish", "url": "fleet:phish", "category": "phishing", "required": True},
        {"name": "rpz", "url": "fleet:rpz", "rpz_action": "given", "addresses": True},
    ]
    directory = tmp_path / "node"
    (directory / "state" / "fleet").mkdir(parents=True)
    (directory / "node.toml").write_text(NODE)
    (directory / "root.json").write_text("{}")
    (directory / "state" / "fleet" / "bundle.toml").write_bytes(bundle)
    node = load(directory / "node.toml")
    assert {name: getattr(node, name) for name in SHARED} == {name: getattr(publisher, name) for name in SHARED}
    assert [feed.required for feed in node.feed] == [True, False]


def test_order_of_keys_does_not_matter(tmp_path: Path) -> None:
    """Configurations that mean the same give the same bytes."""
    bundles = set()
    for at, modes in enumerate(('phishing = "block", ads = "monitor"', 'ads = "monitor", phishing = "block"')):
        path = tmp_path / f"{at}.toml"
        path.write_text(PUBLISHER.replace('phishing = "block", ads = "monitor"', modes))
        bundles.add(bundle_of(load(path)))
    assert len(bundles) == 1
