"""The configuration that a child reads is what its supervisor wrote, which may be of an earlier version."""

from __future__ import annotations

import ast
import os
import subprocess
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pdns.config.fleet_schema import FleetSection
from pdns.config.schema import Config, Group, Upstream
from pdns.core.routes import DEFAULT_ROUTE, Routes
from pdns.core.ruleset import RuleSet
from pdns.files.sealed import sealed_memory
from pdns.ipc.config_memfd import LATER_TABLES, read_config, share_config
from pdns.wire import names
from tests.integration.baseprogram import base_commit
from tests.integration.running_pdns import ROOT

LATER_KEYS = ("record", "rebinding", "dns64", "group", "zone")


def read(tables: Any) -> Config:
    fd = sealed_memory("pdns-config", [msgspec.json.encode(tables)])
    try:
        return read_config(fd)
    finally:
        os.close(fd)


def earlier(**local: Any) -> dict[str, Any]:
    """What a supervisor hands over that knows `local.forward`, and neither zones nor local records."""
    tables: dict[str, Any] = msgspec.to_builtins(Config(upstream=Upstream(servers=("udp://192.0.2.1:53",))))
    for key in LATER_KEYS:
        del tables[key]
    tables["local"] = {"forward": [], "never_forward": [], "forward_single_labels": True, **local}
    return tables


def test_what_was_shared_is_read() -> None:
    """Nothing is lost on the way."""
    config = Config(upstream=Upstream(servers=("udp://192.0.2.1:53",)))
    fd = share_config(config)
    try:
        assert read_config(fd) == config
    finally:
        os.close(fd)


def test_a_later_table_is_handed_on_only_while_it_is_used() -> None:
    """A child of an earlier version refuses a table that it does not know."""
    config = Config(upstream=Upstream(servers=("udp://192.0.2.1:53",)))
    for fleet, handed_on in ((FleetSection(), False), (FleetSection(node="a"), True)):
        fd = share_config(replace(config, fleet=fleet))
        try:
            assert ("fleet" in msgspec.json.decode(os.pread(fd, 1 << 20, 0))) == handed_on
            assert read_config(fd).fleet == fleet
        finally:
            os.close(fd)


def test_a_later_key_is_handed_on_only_while_it_is_used() -> None:
    """The same for keys of tables that the version before has."""
    servers = ("udp://192.0.2.53:53",)
    for dnssec, handed_on in (("trust-ad", False), ("pass", True)):
        upstream = msgspec.convert({"servers": servers, "dnssec": dnssec}, Upstream)
        group = msgspec.convert({"name": "a", "servers": servers, "dnssec": dnssec}, Group)
        config = Config(upstream=upstream, group=(group,))
        fd = share_config(config)
        try:
            tables = msgspec.json.decode(os.pread(fd, 1 << 20, 0))
            assert ("dnssec" in tables["upstream"], "dnssec" in tables["group"][0]) == (handed_on, handed_on)
            assert read_config(fd) == config
        finally:
            os.close(fd)


def test_no_later_table_is_forgotten() -> None:
    """Otherwise workers of the version before would refuse every configuration of a supervisor of this one."""
    command = ["git", "show", f"{base_commit()}:pdns/config/schema.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    (before,) = (node for node in ast.walk(ast.parse(done.stdout)) if isinstance(node, ast.ClassDef) and node.name == "Config")
    known = {field.target.id for field in before.body if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)}
    assert {field.name for field in msgspec.structs.fields(Config)} - known == set(LATER_TABLES)


def test_an_earlier_supervisor_is_understood() -> None:
    """Its configuration always has `local.forward`, and no key of later versions."""
    assert read(earlier()) == Config(upstream=Upstream(servers=("udp://192.0.2.1:53",)))


def test_names_that_an_earlier_supervisor_forwards_are_forwarded() -> None:
    """To the same servers, as any other name; the rest of a special-use zone is still answered here."""
    rules = RuleSet.of(read(earlier(forward=["corp.internal", "10.in-addr.arpa"], never_forward=["lan"])))
    routes = Routes(rules.config)
    for text in ("corp.internal", "host.corp.internal", "1.0.0.10.in-addr.arpa"):
        assert routes.of(names.from_text(text)) == DEFAULT_ROUTE
        assert routes.find(names.from_text(text)) is not None
    assert routes.find(names.from_text("other.internal")) is None
    assert rules.config.local.never_forward == ("lan",)


@pytest.mark.parametrize("section", ["local", "server"])
def test_an_unknown_key_is_refused(section: str) -> None:
    """What this version does not know cannot be obeyed."""
    tables = earlier()
    tables[section] = {**tables[section], "unheard_of": True}
    with pytest.raises(msgspec.ValidationError, match="unheard_of"):
        read(tables)
