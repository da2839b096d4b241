"""docs/config.md tells the truth: every key, its type and default; every snippet loads."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import msgspec
import pytest

from pdns.config.catalogue import catalogue
from pdns.config.load import load
from pdns.config.schema import MADE_FIELDS, Config
from pdns.config.shape import describe
from pdns.core.clients import ClientTable
from tests.certificates import write_documented
from tests.unit.config.test_load import CERTIFICATE

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/config.md").read_text()
SNIPPETS = [
    (page, snippet)
    for page in ("config.md", "policy.md")
    for snippet in re.findall(r"^```toml\n(.*?)^```$", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)
]


class Row(NamedTuple):
    type: str
    default: str
    unit: str
    meaning: str


def sections() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """Each heading that the page must have, with the struct that it describes."""
    for field in msgspec.structs.fields(Config):
        if field.name in MADE_FIELDS:
            continue
        if get_origin(field.type) is tuple:
            struct = get_args(field.type)[0]
            yield f"[[{field.name}]]", struct
        else:
            yield f"[{field.name}]", field.type
            struct = field.type
        for inner in msgspec.structs.fields(struct):
            item = get_args(inner.type)[0] if get_origin(inner.type) is tuple else None
            if isinstance(item, type) and issubclass(item, msgspec.Struct):
                name = f"{field.name}.{inner.name}"
                yield f"[[{name}]]", item


def table(heading: str) -> dict[str, Row]:
    """The first table below `heading`, by key."""
    (section,) = re.findall(rf"^###? `{re.escape(heading)}`\n(.*?)(?=^## |^### `\[\[|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.*?) ?\| (.+) \|$", section.split("| Action |")[0], re.MULTILINE)
    return {key: Row(*rest) for key, *rest in rows}


def test_headings() -> None:
    """Every section of the configuration has its part of the page, in the order of the structs, and there is no other."""
    assert re.findall(r"^###? `(\[.+)`$", TEXT, re.MULTILINE) == [heading for heading, _ in sections()]


@pytest.mark.parametrize(("heading", "struct"), [pytest.param(*item, id=item[0]) for item in sections()])
def test_keys(heading: str, struct: type[msgspec.Struct]) -> None:
    """Every key is documented once, in order, with its real type and bounds and its real default."""
    rows = table(heading)
    fields = msgspec.structs.fields(struct)
    assert list(rows) == [field.name for field in fields]
    for field in fields:
        row = rows[field.name]
        assert row.type == describe(field.type), field.name
        assert default(row) == ("required" if field.required else default_of(field)), field.name
        assert row.meaning, field.name
        if field.name.endswith(("_s", "_bytes")):
            assert row.unit in {"seconds", "bytes", "queries a second", "connections a second"}, field.name


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if field.default is msgspec.NODEFAULT else field.default


def default(row: Row) -> Any:
    if row.default == "required":
        return row.default
    value = tomllib.loads(f"value = {row.default.strip('`')}")["value"]
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize(
    "snippet", [pytest.param(snippet, id=f"{page}-{number}") for number, (page, snippet) in enumerate(SNIPPETS)]
)
def test_snippets(snippet: str, tmp_path: Path) -> None:
    """Every snippet loads as it stands."""
    (tmp_path / "authority.pem").write_text(CERTIFICATE)
    (tmp_path / "root.json").write_text("{}")
    write_documented(tmp_path)
    (tmp_path / "pdns.toml").write_text(snippet)
    assert load(tmp_path / "pdns.toml")


def test_errors_on_the_page(tmp_path: Path) -> None:
    """The error messages that the page shows are what such a file gets, to the letter."""
    (shown,) = re.findall(r"^```text\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    path = tmp_path / "pdns.toml"
    path.write_text(
        'feed = [{name = "a", url = "a"}, {name = "b", url = "b", refresh_s = "soon"}]\n'
        '[upstream]\nservers = ["192.0.2.53"]\n[server]\nlistn = []\n[access]\nnetworks = ["::1", "127.0.0.1", "10.1.0.0/8"]\n'
    )
    with pytest.raises(Exception, match="pdns") as caught:
        load(path)
    assert str(caught.value).replace(str(path), "pdns.toml").splitlines() == shown.splitlines()


def test_production_sample() -> None:
    """The sample loads, listens on port 53 of this machine alone, and keeps its state where the service may write."""
    config = load(ROOT / "deploy/pdns.toml")
    assert config.server.listen == ("127.0.0.1:53", "[::1]:53")
    assert config.state.dir == "/var/lib/protective-dns"


@pytest.mark.parametrize("client", ["127.0.0.1", "10.9.8.7", "172.31.0.1", "192.168.1.20", "fd00::1", "fe80::1", "::1"])
def test_the_sample_serves_private_networks(client: str) -> None:
    """The sample answers the clients of every private network, and no others."""
    config = load(ROOT / "deploy/pdns.toml")
    table = ClientTable(config.access, config.tenant, [0] * len(config.tenant))
    assert table.lookup(client).allowed
    assert not table.lookup("198.51.100.1").allowed
    assert not table.lookup("2001:db8::1").allowed


def test_the_sample_forwards_to_servers_that_are_there(tmp_path: Path) -> None:
    """The sample forwards to the servers of the machine: no address in it is reserved for documentation, but the sinkhole."""
    (tmp_path / "resolv.conf").write_text("nameserver 10.0.0.10\nnameserver 10.0.0.11\n")
    config = load(ROOT / "deploy/pdns.toml", resolv_conf=tmp_path / "resolv.conf")
    assert config.upstream.servers == ("udp://10.0.0.10:53", "udp://10.0.0.11:53")
    assert all(not feed.url.startswith("file:") for feed in config.feed)
    assert config.tenant == ()


def test_samples_start_without_a_key_and_without_the_network() -> None:
    """No feed of a sample needs a key, nor keeps the server from answering because a publisher refuses or is away."""
    for sample in (ROOT / "deploy/pdns.toml", ROOT / "pdns/example/pdns.toml"):
        for feed in load(sample).feed:
            assert not feed.required or feed.url.startswith("file:"), feed.name
            assert "key" not in catalogue().get(feed.use, {}), feed.name
            assert "abuse.ch" not in feed.url, feed.name
