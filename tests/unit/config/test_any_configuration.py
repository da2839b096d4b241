"""Any configuration, made at random: it is loaded, or refused with an error for each mistake."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.load import from_tables, load
from pdns.config.schema import Block, Config, Feed, Server, Upstream
from pdns.errors import ConfigErrors
from tests.unit.config.loading import make_home


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    return tmp_path


names = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True)
keys = st.sampled_from(
    sorted(
        {field for hint in (Server, Upstream, Block, Feed, Config) for field in hint.__struct_fields__}
        | {"networks", "dir", "level"}
    )
)
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates() | st.datetimes()
    | st.sampled_from(["system", "192.0.2.1", "tls://192.0.2.1#", "[::1]:0", "10.0.0.0/8", "file:", "~x/y", "sinkhole", "a", "https://["])
)  # fmt: skip
tables = st.dictionaries(
    keys | st.text(max_size=8),
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=8), inner, max_size=6)
    ),
    max_size=6,
)


@given(tables)
def test_any_tables(tables: dict[str, Any]) -> None:
    """Whatever a TOML file holds, it loads or is refused with `ConfigErrors`, one line for each."""
    try:
        from_tables(tables, "pdns.toml", Path("/nonexistent"), resolv_conf=Path("/nonexistent"))
    except ConfigErrors as failure:
        for error in failure.errors:
            assert str(error).startswith("pdns.toml: ")
            assert len(str(error).splitlines()) == 1


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file(content: bytes) -> None:
    """Whatever is in the file, the only exception is `ConfigErrors`."""
    path = Path("pdns.toml")
    path.write_bytes(content)
    with contextlib.suppress(ConfigErrors):
        load(path)


@st.composite
def usable(draw: st.DrawFn) -> dict[str, Any]:
    last_byte = st.integers(1, 254)
    return {
        "upstream": {
            "servers": draw(st.lists(last_byte.map(lambda last: f"192.0.2.{last}"), min_size=1, unique=True)),
            "timeout_s": draw(st.integers(1, 100) | st.floats(0.001, 1000)),
        },
        "block": {"allow": draw(st.lists(names | names.map("*.{}".format))), "ttl_s": draw(st.integers(0, 86400))},
        "feed": [
            {"name": f"f{number}", "url": draw(names), "refresh_s": draw(st.integers(30, 10**6))}
            for number in range(draw(st.integers(0, 3)))
        ],
        "tenant": [
            {"name": f"t{number}", "networks": [f"10.{number}.0.0/{draw(st.integers(16, 32))}"]}
            for number in range(draw(st.integers(0, 3)))
        ],
    }


@given(usable())
def test_settled_is_a_fixed_point(tables: dict[str, Any]) -> None:
    """A loaded configuration survives JSON, and loading it again changes nothing."""
    config = from_tables(tables, "pdns.toml", Path("/etc/pdns"), resolv_conf=Path("/nonexistent"))
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config
    assert from_tables(msgspec.to_builtins(config), "again", Path("/elsewhere")) == config
    assert math.isfinite(config.upstream.timeout_s)
