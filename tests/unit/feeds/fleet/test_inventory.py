"""The inventory of nodes, where others write heartbeats as well."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from msgspec.structs import replace

from feeds.fleet.inventory import MAX_HEARTBEAT_BYTES, Inventory
from feeds.fleet.object_store import open_store
from feeds.fleet.release import MAX_TEXT_CHARACTERS, MOST_REFUSED, Heartbeat, encode
from pdns.state import fleet_status
from pdns.state.fleet_status import MAX_NODES, FleetStatus

BEAT = Heartbeat(node="north", ring="first", version="1", written_s=1.0, release=1, refused=[2], reason="harm")


def put(store: Path, name: str, beat: Heartbeat, at_s: float) -> None:
    path = store / "nodes" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(beat))
    os.utime(path, (at_s, at_s))


def test_many_names_hide_no_refusal(tmp_path: Path) -> None:
    """Somebody writes ten thousand heartbeats: nodes that are known stay, the status can still be read, and no time is wasted."""
    store, inventory = open_store(tmp_path.as_uri()), Inventory()
    now_s = time.time()
    put(tmp_path, "north", BEAT, now_s - 100)
    asyncio.run(inventory.look(store, now_s))
    long = "\\" * MAX_TEXT_CHARACTERS
    many = replace(BEAT, reason=long, error=long, version=long, compiled=long, refused=[2**50] * MOST_REFUSED)
    for at in range(10_000):
        put(tmp_path, f"n{at:059d}", replace(many, node=f"n{at:059d}"), now_s)
    asyncio.run(inventory.look(store, now_s))
    said = {one.node: one for one in inventory.fresh(now_s)}
    assert len(said) == MAX_NODES
    assert said["north"].refused == [2]
    fleet_status.write(tmp_path, FleetStatus(role="publisher", nodes=inventory.status()))
    found = fleet_status.read(tmp_path)
    assert found is not None
    assert len(found.nodes) == MAX_NODES


def test_a_heartbeat_speaks_for_its_node(tmp_path: Path) -> None:
    """One below another name, one that is too long, and one that is damaged are left out; what is shown moves no cursor."""
    store, inventory = open_store(tmp_path.as_uri()), Inventory()
    put(tmp_path, "north", replace(BEAT, reason="\x1b[2Jgone"), time.time())
    put(tmp_path, "south", BEAT, time.time())
    (tmp_path / "nodes/west.json").write_bytes(encode(replace(BEAT, node="west")) + b" " * MAX_HEARTBEAT_BYTES)
    (tmp_path / "nodes/east.json").write_bytes(b"<html>")
    asyncio.run(inventory.look(store, time.time()))
    (only,) = inventory.all()
    assert (only.node, only.reason) == ("north", "?[2Jgone")
