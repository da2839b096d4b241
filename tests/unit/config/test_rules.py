"""The rules that a configuration holds to: each mistake is named by its key."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from pdns.errors import ConfigError, ConfigErrors
from tests.unit.config.loading import FEED, UPSTREAM, errors, loaded, make_home


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    return tmp_path


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
        ('[rebinding]\nallow = ["http://x"]', "rebinding.allow[0]: expected a domain name"),
        ('[server]\nidentity = "nörd"', 'server.identity: expected at most 64 printable ASCII characters, got "nörd"'),
        (
            f'[server]\nidentity = "{"x" * 65}"',
            f'server.identity: expected at most 64 printable ASCII characters, got "{"x" * 65}"',
        ),
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
        ('[[tenant]]\nname = "a"\nnetworks = []', "tenant[0].networks: required: without it no client is of this tenant"),
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
        (
            ["h3://192.0.2.1/"],
            "servers[0]: expected udp://, tcp://, tls://, https:// or quic:// before the address, or a DNS stamp",
        ),
        (["dns.example.net"], 'servers[0]: expected "ip:port" or "[ipv6]:port" with a numeric address, got "dns.example.net"'),
        (
            ["tls://192.0.2.1"],
            'servers[0]: expected also the name in its certificate, as in "tls://192.0.2.1:853#dns.example.net"',
        ),
        (["tls://192.0.2.1#a/b"], 'servers[0]: expected a host name after #, got "tls://192.0.2.1#a/b"'),
        (["udp://192.0.2.1#dns.example.net"], "servers[0]: expected #server.name with tls://, https:// or quic:// only"),
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


def test_all_errors_are_reported() -> None:
    """Every section's errors are told at once, and the one exception reads as all of them."""
    text = '[server]\nworkers = 99\n[block]\nttl_s = -1\n[cache]\nmin_ttl_s = 9\nmax_ttl_s = 3\n[access]\nnetworks = ["x", "y"]'
    with pytest.raises(ConfigErrors) as caught:
        loaded(text)
    keys = ["server.workers", "cache.min_ttl_s", "block.ttl_s", "access.networks[0]", "access.networks[1]"]
    assert sorted(error.key for error in caught.value.errors) == sorted(keys)
    assert str(caught.value).count("\n") == len(keys) - 1
    assert isinstance(caught.value, ConfigError)
