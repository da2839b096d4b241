"""Loading the configuration: what comes out, and what is said of a file that cannot be used."""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.addresses import source_path
from pdns.config.load import EXAMPLE, default_config_path, from_tables, load
from pdns.config.schema import Block, Config, Feed, Server, Upstream
from pdns.errors import ConfigError, ConfigErrors

UPSTREAM = '[upstream]\nservers = ["192.0.2.53"]\n'
FEED = '[[feed]]\nname = "{}"\nurl = "https://feeds.example.net/{}"\n'
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBiDCCAS2gAwIBAgIUBoY20RrTHMfci1nzoHAJFUIXLN4wCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOYXV0aG9yaXR5LnRlc3QwHhcNMjYxMTIyMTMzMDUxWhcNMzYx
MTE5MTMzMDUxWjAZMRcwFQYDVQQDDA5hdXRob3JpdHkudGVzdDBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABDXITrdPvNVDI/mo5NhCvperqu5GKc26+5K5+oECK4pq
EnRQjmoz18+ybFrswb9g/OattS07OYj4o8W/07FxCjyjUzBRMB0GA1UdDgQWBBRZ
AynJy+MwCSSozoa56TtZrxScITAfBgNVHSMEGDAWgBRZAynJy+MwCSSozoa56TtZ
rxScITAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQD65YCQHs6R
9q3GVJspXAAqZgdqgdvFX7un/U3z9HIQDQIhAKp+wyWAqJHnUTGYR+kM2Jr8/BRi
9bzoDZu2lCD3EwOm
-----END CERTIFICATE-----
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, and a home with nothing in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def loaded(text: str, *, resolv_conf: str | None = None) -> Config:
    Path("pdns.toml").write_text(text)
    if resolv_conf is not None:
        Path("resolv.conf").write_text(resolv_conf)
    return load(Path("pdns.toml"), resolv_conf=Path("resolv.conf"))


def errors(text: str, *, resolv_conf: str | None = None) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        loaded(text, resolv_conf=resolv_conf)
    return [str(error) for error in caught.value.errors]


@pytest.mark.parametrize("text", ["", '[[feed]]\nuse = "urlhaus-filter"\n', "[upstream]\ntimeout_s = 3\n"])
def test_the_servers_of_the_machine_are_the_default(text: str) -> None:
    """A file that does not say where to forward forwards to the name servers of resolv.conf."""
    assert loaded(text, resolv_conf="nameserver 192.0.2.1\n").upstream.servers == ("udp://192.0.2.1:53",)


def test_one_key_is_enough() -> None:
    """A file that only says where to forward loads; all else has its default."""
    config = loaded(UPSTREAM)
    assert config.upstream == Upstream(servers=("udp://192.0.2.53:53",))
    assert config.server == Server()
    assert config.feed == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            FEED.format("a", "a") + FEED.format("b", "b") + 'refresh_s = "soon"',
            'feed[1].refresh_s: expected int >= 30, got "soon"',
        ),
        ('[server]\nlistn = ["127.0.0.1"]', 'server.listn: unknown key; did you mean "listen"?'),
        ("[serve]", 'serve: unknown key; did you mean "server"?'),
        ("refresh_ahead_hits = 3", 'refresh_ahead_hits: unknown key; did you mean "cache.refresh_ahead_hits"?'),
        ("[metrics]\nxyzzy = 1", "metrics.xyzzy: unknown key; known here: listen"),
        ('[log]\n"a b\\n" = 1', 'log."a b\\n": unknown key; known here: level'),
        ('[log]\nlevel = "inof"', 'log.level: expected "debug", "info", "warning" or "error", got "inof"; did you mean "info"?'),
        ("[block]\nede_code = 3", "block.ede_code: expected 15, 16, 17 or 18, got 3"),
        ("[block]\nttl_s = 1979-05-27", "block.ttl_s: expected int from 0 to 86400, got 1979-05-27"),
        ("[block]\nttl_s = true", "block.ttl_s: expected int from 0 to 86400, got true"),
        ("[server]\ndrain_s = nan", "server.drain_s: expected number > 0, got nan"),
        ("[server]\ndrain_s = inf", "server.drain_s: expected number > 0 and <= 2147483647, got inf"),
        ("[server]\ndrain_s = 0", "server.drain_s: expected number > 0, got 0"),
        ("[cache]\nmax_stale_s = 9999999999", "cache.max_stale_s: expected int from 0 to 2147483647, got 9999999999"),
        ("[server]\nworkers = 65", "server.workers: expected 0 (one a core) or at most 64, got 65"),
        ("[server]\nlisten = []", "server.listen: expected non-empty array of strings, got []"),
        ("[server]\nlisten = [53]", "server.listen[0]: expected string, got 53"),
        ('[server]\nlisten = "127.0.0.1"', 'server.listen: expected non-empty array of strings, got "127.0.0.1"'),
        ("[feed]\nname = 'x'", "feed: expected array of tables (write [[feed]]), got { ... }"),
        ("[[block]]\nttl_s = 3", "block: expected table (write [block]), got [{ ... }]"),
        ("feed = [1]", "feed[0]: expected table, got 1"),
        ("[[feed]]\nname = 'x'", "feed[0].url: required"),
        (f"[block]\naction = '{'x' * 99}'", f'got "{"x" * 56}...'),
        ("[block]\nttl_s = 0x" + "f" * 5000, "got a very long number"),
    ],
)
def test_shape(text: str, expected: str) -> None:
    """What has the wrong shape is named by file, key and position, with what was expected and what was found."""
    (error,) = errors(f"{text}\n{UPSTREAM}")
    assert error.startswith("pdns.toml: ")
    assert expected in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[server]\nlisten = ["localhost:53"]',
            'server.listen[0]: expected "ip:port" or "[ipv6]:port" with a numeric address, got "localhost:53"',
        ),
        ('[server]\nlisten = ["[::1"]', 'server.listen[0]: expected "ip:port" or "[ipv6]:port", got "[::1"'),
        ('[server]\nlisten = ["127.0.0.1:65536"]', 'server.listen[0]: expected a port from 0 to 65535, got "127.0.0.1:65536"'),
        ('[server]\nlisten = ["127.0.0.1", "127.0.0.1:53"]', "server.listen[1]: 127.0.0.1:53 is already server.listen[0]"),
        ('[metrics]\nlisten = "127.0.0.1:5300"', "metrics.listen: 127.0.0.1:5300 is already server.listen[0]"),
        (
            '[block]\nsinkhole = ["192.0.2.1", "192.0.2.2"]',
            "block.sinkhole[1]: expected at most one IPv4 address, but block.sinkhole[0] is one already",
        ),
        ('[block]\nsinkhole = ["fe80::1%lo"]', 'block.sinkhole[0]: expected an IP address, got "fe80::1%lo"'),
        ("[block]\nsinkhole = []", "block.sinkhole: expected non-empty array of strings, got []"),
        (
            '[block]\nallow = ["https://example.org/"]',
            "block.allow[0]: expected a domain name, which is the part of a URL between // and the next /, got",
        ),
        (
            '[block]\nnat64_prefixes = ["2001:db8::/44"]',
            "block.nat64_prefixes[0]: expected an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits",
        ),
        ('[block]\nallow = ["192.0.2.1"]', 'block.allow[0]: expected a domain name, not an address, got "192.0.2.1"'),
        ('[block]\nallow = ["a..b"]', 'block.allow[0]: expected a domain name (empty label), got "a..b"'),
        ('[local]\nforward = ["*.corp.example"]', 'local.forward[0]: expected a domain name without "*.", got "*.corp.example"'),
        ("[cache]\nmin_ttl_s = 60\nmax_ttl_s = 30", "cache.min_ttl_s: expected at most cache.max_ttl_s (30), got 60"),
        (
            '[access]\nnetworks = ["10.1.0.0/8"]',
            'access.networks[0]: expected no bits beyond /8, as in 10.0.0.0/8, got "10.1.0.0/8"',
        ),
        ('[access]\nnetworks = ["::ffff:10.0.0.0/104"]', "expected it as an IPv4 network: 10.0.0.0/8"),
        ("[access]\nnetworks = []", "access.networks: expected non-empty array of strings, got []"),
        (FEED.format("a", "a") * 2, 'feed[1].name: "a" is already feed[0]'),
        (FEED.format("A", "a"), 'feed[0].name: lower case only: "a", got "A"'),
        (
            FEED.format("a" * 33, "a"),
            "feed[0].name: expected name (first a-z or 0-9, then also - and _, at most 32 characters), got",
        ),
        (FEED.format("a\\n", "a"), "feed[0].name: expected name"),
        (
            '[[feed]]\nname = "a"\nurl = "ftp://example.net/"',
            "feed[0].url: expected an https:, http:, file: or axfr: URL, or a path",
        ),
        (
            '[[feed]]\nname = "a"\nurl = "a"\nformat = "hosts"\nactive_until = "end"',
            'feed[0].active_until: only for format = "csv", "json" or "jsonl", not "hosts"',
        ),
        (
            '[[feed]]\nname = "a"\nurl = "a"\nformat = "csv"\ncolumn = "domain"\nactive_until = "2"',
            "feed[0].active_until: expected a name where column has one, and a number where that has one",
        ),
        (
            '[[feed]]\nname = "a"\nurl = "a"\nformat = "csv"\ncolumn = "1"\nactive_until = "end"',
            "feed[0].active_until: expected a name where column has one, and a number where that has one",
        ),
        ('[[feed]]\nname = "a"\nurl = "https:///list"', "feed[0].url: expected a URL such as https://example.net/list.txt"),
        ('[[feed]]\nname = "a"\nurl = "file://host/list"', "feed[0].url: expected file:path or file:///path, without a host"),
        ('[[feed]]\nname = "a"\nurl = "li\\u0000st"', "feed[0].url: expected a URL or a path"),
        ('[[tenant]]\nname = "other"\nnetworks = ["10.0.0.0/8"]', 'tenant[0].name: "other" is reserved; choose another'),
        ('[[tenant]]\nname = "default"\nnetworks = ["10.0.0.0/8"]', 'tenant[0].name: "default" is reserved; choose another'),
        ('[[tenant]]\nname = "a"\nnetworks = []', "tenant[0].networks: expected non-empty array of strings, got []"),
        (
            '[[tenant]]\nname = "a"\nnetworks = ["10.0.0.0/8"]\n[[tenant]]\nname = "b"\nnetworks = ["192.0.2.1", "10.0.0.0/8"]',
            "tenant[1].networks[1]: 10.0.0.0/8 is already in tenant[0].networks",
        ),
        (FEED.format("My Feed", "a"), '; did you mean "my-feed"?'),
        (FEED.format("a", "a") + 'category = "malwares"', 'got "malwares"; did you mean "malware"?'),
        (
            FEED.format("a", "a") + 'refresh_s = "300"',
            'feed[0].refresh_s: expected int >= 30, got "300"; write 300 without quotes',
        ),
        (FEED.format("a", "a") + 'required = "True"', 'expected true or false, got "True"; write true without quotes'),
        ('[server]\nlisten = "127.0.0.1:53"', 'expected non-empty array of strings, got "127.0.0.1:53"; write ["127.0.0.1:53"]'),
        ('[[feeds]]\nname = "a"', "feeds: expected table (write [[feed]]), got [{ ... }]"),
        ('[feeds]\nurl = "a"', "feeds.url: unknown key; its place is below [[feed]]"),
        ('[state]\ndir = "pdns.toml"', 'state.dir: expected a directory, got "'),
    ],
)
def test_rules(text: str, expected: str) -> None:
    """What has the right shape but no usable meaning is an error with the same form."""
    (error,) = errors(f"{UPSTREAM}{text}")
    assert error.startswith("pdns.toml: ")
    assert expected in error


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("urlhaus.example.org/downloads/list.txt", "https://urlhaus.example.org/downloads/list.txt"),
        ("feeds.example.net:8443/list", "https://feeds.example.net:8443/list"),
        ("www.example.org", "https://www.example.org"),
        ("https//example.org/list", "https://example.org/list"),
        ("https:/example.org/list", "https://example.org/list"),
        ("HTTP:example.org/list", "http://example.org/list"),
        ("htps://example.org/list", "https://example.org/list"),
        ("hxxps://example.org/list", "https://example.org/list"),
        ("example.org/list?key=hunter2", "https://example.org/list?***"),
    ],
)
def test_url_without_a_scheme(url: str, meant: str) -> None:
    """A URL that lacks its scheme, or has it misspelt, is an error with the URL that was meant, not a file that is missing."""
    (error,) = errors(f'{UPSTREAM}[[feed]]\nname = "a"\nurl = "{url}"')
    assert error.startswith("pdns.toml: feed[0].url: expected https:// or http:// before a host, or file: before a path; did ")
    assert error.endswith(f'; did you mean "{meant}"?')
    assert "hunter2" not in error


def test_paths_that_look_like_hosts(directory: Path) -> None:
    """A path stays a path where its directory is there, and where it begins with file: or . or has no name of a host in front."""
    (directory / "lists.example").mkdir()
    for url in ("lists.example/a.txt", "file:feeds.example/a.txt", "./feeds.example/a.txt", "lists.d/a.txt", "a.txt"):
        (feed,) = loaded(f'{UPSTREAM}[[feed]]\nname = "a"\nurl = "{url}"').feed
        assert feed.url == f"file://{directory}/{url.removeprefix('file:').removeprefix('./')}"


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        (["https://192.0.2.1/dns-query"], "servers[0]: expected udp://, tcp:// or tls:// before the address, got"),
        (["dns.example.net"], 'servers[0]: expected "ip:port" or "[ipv6]:port" with a numeric address, got "dns.example.net"'),
        (
            ["tls://192.0.2.1"],
            'servers[0]: expected also the name in its certificate, as in "tls://192.0.2.1:853#dns.example.net"',
        ),
        (["tls://192.0.2.1#a/b"], 'servers[0]: expected a host name after #, got "tls://192.0.2.1#a/b"'),
        (["udp://192.0.2.1#dns.example.net"], "servers[0]: expected #server.name with tls:// only"),
        (["192.0.2.1:0"], 'servers[0]: expected a port from 1 to 65535, got "192.0.2.1:0"'),
        (["0.0.0.0"], 'servers[0]: expected the address of one server, got "0.0.0.0"'),
        (["192.0.2.1", "udp://192.0.2.1:53"], "servers[1]: udp://192.0.2.1:53 is already upstream.servers[0]"),
        (["127.0.0.1:5300"], "servers[0]: udp://127.0.0.1:5300 would forward to itself: server.listen[0] listens there"),
    ],
)
def test_upstream_servers(servers: list[str], expected: str) -> None:
    """Servers that cannot be asked are errors, and so is a query's way back to ourselves."""
    (error,) = errors(f"[upstream]\nservers = {json.dumps(servers)}")
    assert f"pdns.toml: upstream.{expected}" in error


def test_upstream_spellings() -> None:
    """Every spelling of a server comes out in the one canonical form."""
    servers = ["192.0.2.1", "tcp://192.0.2.1", "tls://192.0.2.1#Dns.Example.Net.", "::ffff:192.0.2.2", "udp://[2001:DB8:0::1]"]
    assert loaded(f"[upstream]\nservers = {json.dumps(servers)}").upstream.servers == (
        "udp://192.0.2.1:53", "tcp://192.0.2.1:53", "tls://192.0.2.1:853#dns.example.net", "udp://192.0.2.2:53", "udp://[2001:db8::1]:53",
    )  # fmt: skip


def test_wildcard_listener_and_own_address() -> None:
    """Behind a wildcard listener, every address of this machine is ourselves; others are not, nor is another port."""
    listen = '[server]\nlisten = ["0.0.0.0:53"]\n'
    for own in {"127.0.0.2", _own_address()}:
        (error,) = errors(f'{listen}[upstream]\nservers = ["{own}"]')
        assert error == f"pdns.toml: upstream.servers[0]: udp://{own}:53 would forward to itself: server.listen[0] listens there"
        assert loaded(f'{listen}[upstream]\nservers = ["{own}:5353"]').upstream.servers == (f"udp://{own}:5353",)
    assert loaded(f'{listen}[upstream]\nservers = ["192.0.2.53", "::1"]')


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.53", 53))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


SYSTEM = '[upstream]\nservers = ["system"]\n'


def test_system_servers() -> None:
    """`system` is every name server of resolv.conf, each once, ourselves left out."""
    resolv_conf = (
        "# nameserver 192.0.2.9\nsearch example.net\nnameserver 192.0.2.1 # main\nnameserver\nnameserver nonsense\n"
        "nameserver 127.0.0.1\n nameserver\t2001:db8::1\nnameserver 192.0.2.1\nnameserver ::ffff:192.0.2.3\n"
    )
    config = loaded(f'{SYSTEM}[server]\nlisten = ["127.0.0.1:53"]', resolv_conf=resolv_conf)
    assert config.upstream.servers == ("udp://192.0.2.1:53", "udp://[2001:db8::1]:53", "udp://192.0.2.3:53")


@pytest.mark.parametrize("resolv_conf", [None, "", "search example.net\n"])
def test_system_without_servers(resolv_conf: str | None) -> None:
    """Where resolv.conf names none, `system` is this machine's name server, unless other servers are configured."""
    assert loaded(SYSTEM, resolv_conf=resolv_conf).upstream.servers == ("udp://127.0.0.1:53",)
    both = loaded('[upstream]\nservers = ["system", "192.0.2.53"]', resolv_conf=resolv_conf)
    assert both.upstream.servers == ("udp://192.0.2.53:53",)


@pytest.mark.parametrize("resolv_conf", ["", "nameserver 127.0.0.1\n", "nameserver 127.0.0.1\nnameserver 0.0.0.0\n"])
def test_system_is_ourselves(resolv_conf: str) -> None:
    """When `system` would lead to this resolver alone, that is an error which says what to write."""
    (error,) = errors(f'{SYSTEM}[server]\nlisten = ["0.0.0.0:53"]', resolv_conf=resolv_conf)
    expected = 'resolv.conf names no server but this one; say where to forward, such as "udp://9.9.9.9"'
    assert error == f"pdns.toml: upstream.servers[0]: {expected}"


def test_system_beside_the_same_server() -> None:
    """A server that `system` brings too is no duplicate."""
    for servers in ('["system", "192.0.2.1"]', '["192.0.2.1", "system"]', '["system", "system"]'):
        config = loaded(f"[upstream]\nservers = {servers}", resolv_conf="nameserver 192.0.2.1\n")
        assert config.upstream.servers == ("udp://192.0.2.1:53",)


def test_all_errors_are_reported() -> None:
    """Every section's errors are told at once, and the one exception reads as all of them."""
    text = '[server]\nworkers = 99\n[block]\nttl_s = -1\n[cache]\nmin_ttl_s = 9\nmax_ttl_s = 3\n[access]\nnetworks = ["x", "y"]'
    with pytest.raises(ConfigErrors) as caught:
        loaded(text)
    keys = ["server.workers", "cache.min_ttl_s", "block.ttl_s", "access.networks[0]", "access.networks[1]"]
    assert sorted(error.key for error in caught.value.errors) == sorted(keys)
    assert str(caught.value).count("\n") == len(keys) - 1
    assert isinstance(caught.value, ConfigError)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a = 1\n[server]\nlisten = \n", "pdns.toml: line 3: a value is missing after = (column 10)"),
        (b"\xef\xbb\xbfa b", 'pdns.toml: line 1: = is missing after "a" (column 3)'),
        (b"a = 1\na = 2\n", 'pdns.toml: line 2: "a" is set twice in this section: line 1 sets it already (column 6)'),
        (b"[a.b]\n[a.b]\n", "pdns.toml: line 2: [a.b] appears twice, first in line 1: put all its keys under one heading"),
        (b'\na = """', "pdns.toml: line 2: the quote that begins here is not closed (column 5)"),
        (b'a = 1\n\nb = "\xff"', "pdns.toml: line 3: not UTF-8: save the file in that encoding"),
        ("[server]\n".encode("utf-16"), "pdns.toml: is in UTF-16: save it in UTF-8"),
        (b"a = " + b"1" * 5000, "pdns.toml: "),
        (b"a = " + b"[" * 5000, "pdns.toml: nested too deeply"),
    ],
)
def test_syntax(content: bytes, expected: str) -> None:
    """What is not TOML is an error that begins with its line."""
    Path("pdns.toml").write_bytes(content)
    with pytest.raises(ConfigErrors) as caught:
        load(Path("pdns.toml"))
    assert str(caught.value).startswith(expected)


def test_file_that_cannot_be_read(directory: Path) -> None:
    """A missing file is an error with the next step, a directory one with the reason."""
    with pytest.raises(ConfigErrors, match=r"^nope\.toml: no such file; without -c, "):
        load(Path("nope.toml"))
    with pytest.raises(ConfigErrors, match="Is a directory"):
        load(directory)


def test_files_that_are_no_files(directory: Path) -> None:
    """An endless configuration is read up to a bound; files that it names must be regular, so that none makes it wait."""
    with pytest.raises(ConfigErrors, match=r"^/dev/zero: longer than 16,777,216 bytes"):
        load(Path("/dev/zero"))
    os.mkfifo(directory / "pipe")
    assert errors(UPSTREAM + 'ca_file = "pipe"') == [
        f"pdns.toml: upstream.ca_file: cannot be read: {directory}/pipe: a pipe, not a regular file"
    ]
    admin = '[admin]\nlisten = "127.0.0.1:9154"\ntoken_file = "{}"\n'
    assert "a pipe, not a regular file" in errors(UPSTREAM + admin.format("pipe"))[0]
    with (directory / "token").open("wb") as file:
        file.truncate(1 << 40)
    assert "expected a file with a token" in errors(UPSTREAM + admin.format("token"))[0]


@pytest.mark.parametrize(
    "url",
    ["ftp://user:hunter2@example.net/list?key=hunter2", "https://user:hunter2/x@example.net/", "https://user:hunter2@:99999/"],
)
def test_secrets_are_not_shown(url: str) -> None:
    """Passwords and queries of URLs stay out of error messages, wherever the URL stands."""
    for text in (
        f'[[feed]]\nname = "a"\nurl = "{url}"',
        f'[[feed]]\nname = "a"\nurl = ["{url}"]',
        f'[block]\nallow = ["{url}"]',
        f'[log]\npassword = "{url}"',
    ):
        (error,) = errors(f"{UPSTREAM}{text}")
        assert "hunter2" not in error


def test_feed_sources(directory: Path) -> None:
    """Feeds in files come out as absolute file URLs, relative ones below the directory of the file; web ones as they were."""
    sources = {
        "file:my list.hosts": f"file://{directory}/conf%20d/my%20list.hosts",
        "file:my%20list.hosts": f"file://{directory}/conf%20d/my%20list.hosts",
        "../a.hosts": f"file://{directory}/a.hosts",
        "/lists/50%25.txt": "file:///lists/50%2525.txt",
        "file:///lists/a.txt": "file:///lists/a.txt",
        "file://localhost/lists/a.txt": "file:///lists/a.txt",
        "~/a.txt": f"file://{directory}/home/a.txt",
        "https://user:pw@example.net/a?b=c": "https://user:pw@example.net/a?b=c",
    }
    feeds = "".join(f'[[feed]]\nname = "f{number}"\nurl = "{url}"\n' for number, url in enumerate(sources))
    Path("conf d").mkdir()
    (directory / "conf d" / "x.toml").write_text(UPSTREAM + feeds)
    config = load(Path("conf d/x.toml"))
    assert [feed.url for feed in config.feed] == list(sources.values())


def test_state_dir(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state directory is the configured one, else systemd's, else the user's; always absolute."""
    assert loaded(UPSTREAM).state.dir == f"{directory}/home/.local/state/pdns"
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert loaded(UPSTREAM).state.dir == f"{directory}/home/.local/state/pdns"
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert loaded(UPSTREAM).state.dir == "/xdg/pdns"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/pdns:/var/lib/other")
    assert loaded(UPSTREAM).state.dir == "/var/lib/pdns"
    assert loaded(f'{UPSTREAM}[state]\ndir = ".state"').state.dir == f"{directory}/.state"
    assert loaded(f'{UPSTREAM}[state]\ndir = "~/.state"').state.dir == f"{directory}/home/.state"


def test_ca_file(directory: Path) -> None:
    """The CA file must be there and hold certificates; its path comes out absolute."""
    with_file = f'{UPSTREAM}ca_file = "ca.pem"\n'
    assert errors(with_file) == [f"pdns.toml: upstream.ca_file: cannot be read: {directory}/ca.pem: No such file or directory"]
    Path("ca.pem").write_text("nothing")
    assert errors(with_file) == ['pdns.toml: upstream.ca_file: expected a file of PEM certificates, got "ca.pem"']
    Path("ca.pem").write_text(CERTIFICATE)
    assert loaded(with_file).upstream.ca_file == f"{directory}/ca.pem"


def test_canonical_values() -> None:
    """Names, networks and addresses come out in one spelling, repetitions once."""
    config = loaded(
        f"{UPSTREAM}[server]\nlisten = ['127.0.0.1:0', '127.0.0.1:0', '::1']\n"
        "[block]\nsinkhole = ['2001:DB8::0:1']\n"
        "allow = ['Example.ORG.', 'example.org', '*.Example.org', 'bücher.example', 'a\\.b.example']\n"
        "[local]\nforward = ['Home.Arpa.']\n[access]\nnetworks = ['10.0.0.0/255.0.0.0', '2001:DB8::/32', '192.0.2.1']\n"
        "[metrics]\nlisten = '127.0.0.1'\n"
    )
    assert config.server.listen == ("127.0.0.1:0", "127.0.0.1:0", "[::1]:53")
    assert config.block.sinkhole == ("2001:db8::1",)
    assert config.block.allow == ("example.org", "*.example.org", "xn--bcher-kva.example", r"a\.b.example")
    assert config.local.forward == ("home.arpa",)
    assert config.access.networks == ("10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32")
    assert config.metrics.listen == "127.0.0.1:9153"


def test_which_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An explicit file wins, then ./pdns.toml, and without any there is the example that is shipped."""
    monkeypatch.setattr("pdns.config.load.SEARCHED", (Path("pdns.toml"), directory / "etc/pdns.toml", EXAMPLE))
    assert default_config_path() == EXAMPLE
    (directory / "etc").mkdir()
    (directory / "etc/pdns.toml").touch()
    assert default_config_path() == directory / "etc/pdns.toml"
    Path("pdns.toml").touch()
    assert default_config_path() == Path("pdns.toml")
    assert default_config_path(Path("mine.toml")) == Path("mine.toml")


def test_file_that_cannot_be_looked_at_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that the system does not let us see is chosen and reported, never replaced by the example."""
    hidden = Path("x" * 300)
    monkeypatch.setattr("pdns.config.load.SEARCHED", (hidden, EXAMPLE))
    assert default_config_path() == hidden
    with pytest.raises(ConfigErrors, match="File name too long"):
        load(default_config_path())


@pytest.mark.parametrize("resolv_conf", [None, "nameserver 192.0.2.1\n"])
def test_example(directory: Path, resolv_conf: str | None) -> None:
    """The shipped example loads on any machine, with a required feed whose file is there and lists malware.test."""
    if resolv_conf:
        Path("resolv.conf").write_text(resolv_conf)
    config = load(EXAMPLE, resolv_conf=directory / "resolv.conf")
    assert config.server.listen == ("127.0.0.1:5300",)
    assert config.metrics.listen == "127.0.0.1:9153"
    assert config.upstream.servers == ("udp://192.0.2.1:53" if resolv_conf else "udp://127.0.0.1:53",)
    (feed,) = config.feed
    assert (feed.name, feed.required) == ("example", True)
    lines = [line.split() for line in (EXAMPLE.parent / "example-feed.hosts").read_text().splitlines() if line[0] != "#"]
    assert ["0.0.0.0", "malware.test"] in lines
    assert all(name.endswith(".test") for _, name in lines)


def test_a_copy_of_the_example(directory: Path) -> None:
    """A copy of the shipped example comes to the same as the original, wherever it lies."""
    Path("resolv.conf").write_text("nameserver 192.0.2.1\n")
    (directory / "pdns.toml").write_text(EXAMPLE.read_text())
    original, copy = (load(path, resolv_conf=directory / "resolv.conf") for path in (EXAMPLE, directory / "pdns.toml"))
    assert copy == original
    path = source_path(copy.feed[0].url)
    assert path is not None
    assert path.is_file()


def test_defaults_hold_to_the_rules() -> None:
    """What the structs default to is canonical already: loading changes nothing but the state directory."""
    defaults = Config(upstream=Upstream(servers=("udp://192.0.2.53:53",)))
    config = loaded(UPSTREAM)
    assert msgspec.structs.replace(config, state=defaults.state) == defaults


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
    octet = st.integers(1, 254)
    return {
        "upstream": {
            "servers": draw(st.lists(octet.map(lambda last: f"192.0.2.{last}"), min_size=1, unique=True)),
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
