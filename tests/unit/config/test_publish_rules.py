"""`[[publish]]`: canonical values, and an error for each broken rule that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pdns.config.load import from_tables
from pdns.config.schema import Config
from pdns.confinement.confine import listens_low
from pdns.errors import ConfigErrors


def settled(tmp_path: Path, *zones: dict[str, Any], **tables: Any) -> Config:
    return from_tables({"publish": list(zones), **tables}, "pdns.toml", tmp_path)


def test_values_become_canonical(tmp_path: Path) -> None:
    """Names in lower case without the last dot, endpoints with their port, networks, absolute paths."""
    zone = {
        "zone": "RPZ.Example.", "allow_transfer": ["192.0.2.1", "2001:DB8::/32"], "notify": ["192.0.2.1"],
        "tsig_name": "key", "tsig_secret_file": "key.secret",
    }  # fmt: skip
    (publish,) = settled(tmp_path, zone, feeds={"publish_listen": ["192.0.2.9"]}).publish
    assert publish.zone == "rpz.example"
    assert publish.allow_transfer == ("192.0.2.1/32", "2001:db8::/32")
    assert publish.notify == ("192.0.2.1:53",)
    assert publish.tsig_secret_file == str(tmp_path / "key.secret")


@pytest.mark.parametrize(
    ("zone", "error"),
    [
        ({}, r"publish\[0\]: expected at least one of allow_transfer, tsig_name and file"),
        ({"file": "x", "zone": "."}, r"publish\[0\].zone: expected the name of a zone"),
        ({"file": "x", "zone": "*.rpz"}, r"publish\[0\].zone: expected the name of a zone"),
        ({"file": "../x"}, r"publish\[0\].file: expected the name of a file"),
        ({"file": "zone"}, r"publish\[0\].file: expected the name of a file"),
        ({"file": "x.minisig"}, r"publish\[0\].file: expected the name of a file"),
        ({"file": "x", "notify": ["192.0.2.1"]}, r"publish\[0\].notify: needs allow_transfer or tsig_name"),
        ({"file": "x", "tsig_name": "key"}, r"publish\[0\].tsig_name: needs tsig_secret_file"),
        ({"tsig_name": "key", "tsig_secret_file": "x", "notify": ["0.0.0.0"]}, r"publish\[0\].notify\[0\]: expected the address"),
        ({"allow_transfer": ["192.0.2.1/24"]}, r"publish\[0\].allow_transfer\[0\]: expected no bits"),
        ({"allow_transfer": ["::1"], "minisign_secret_file": "x"}, r"publish\[0\].minisign_secret_file: needs file"),
        ({"file": "x", "policy": "schools"}, r'publish\[0\].policy: no such policy: "schools"'),
        ({"file": "x", "refresh_s": 60, "expire_s": 60}, r"publish\[0\].expire_s: expected more than refresh_s"),
        ({"file": "x", "action": "sinkhole"}, r"publish\[0\].action"),
    ],
)
def test_broken_rules_name_the_key(tmp_path: Path, zone: dict[str, Any], error: str) -> None:
    """Each is one error with the key and what was expected."""
    with pytest.raises(ConfigErrors, match=error):
        settled(tmp_path, {"zone": "rpz.example", **zone})


def test_zones_have_different_names(tmp_path: Path) -> None:
    """However they are spelt."""
    with pytest.raises(ConfigErrors, match=r"publish\[1\].zone: rpz.example is already publish\[0\]"):
        settled(tmp_path, {"zone": "rpz.example", "file": "x"}, {"zone": "RPZ.example", "file": "x"})


def test_endpoints_are_used_once(tmp_path: Path) -> None:
    """An endpoint of another key is refused."""
    tables = {"server": {"listen": ["127.0.0.1:5399"]}, "feeds": {"publish_listen": ["127.0.0.1:5399"]}}
    with pytest.raises(ConfigErrors, match=r"feeds.publish_listen\[0\]: 127.0.0.1:5399 is already server.listen\[0\]"):
        settled(tmp_path, {"zone": "rpz.example", "file": "x"}, **tables)


@pytest.mark.parametrize(
    ("zones", "low"),
    [([], False), ([{"zone": "a.example", "file": "x"}], False), ([{"zone": "a.example", "allow_transfer": ["::1"]}], True)],
)
def test_a_low_port_needs_its_capability(tmp_path: Path, zones: list[dict[str, Any]], low: bool) -> None:
    """Only where a zone is served at one."""
    assert listens_low(settled(tmp_path, *zones, feeds={"publish_listen": ["127.0.0.1:53"]})) is low
