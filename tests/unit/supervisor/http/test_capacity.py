"""What usage is compared with."""

from __future__ import annotations

from pathlib import Path

from pdns.config.schema import Cache, Config, Server, Upstream
from pdns.supervisor.http import capacity


def test_limits_are_those_of_the_configuration() -> None:
    """The limits of the whole server, not of one worker; the memory is that of the machine or less."""
    config = Config(
        server=Server(workers=4, tcp_max_connections=300), upstream=Upstream(max_in_flight=500), cache=Cache(max_bytes=700_000)
    )
    found = dict(capacity.limits(config))
    assert found.pop("memory_bytes") > 10_000_000
    assert found == {"in_flight": 500, "tcp_connections": 300, "cache_bytes": 700_000}


def test_the_disk_of_the_state_directory(tmp_path: Path) -> None:
    """Free space is part of the size; a directory that is gone has neither."""
    found = dict(capacity.disk(tmp_path))
    assert 0 <= found["state_disk_free_bytes"] <= found["state_disk_bytes"]
    assert list(capacity.disk(tmp_path / "gone")) == []
