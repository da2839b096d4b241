"""Loading the configuration: what comes out, and what is said of a file that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from pdns.config.addresses import source_path
from pdns.config.load import EXAMPLE, SEARCHED, default_config_path, load
from pdns.config.schema import Config, Server, Upstream
from pdns.errors import ConfigErrors
from tests.unit.config.loading import UPSTREAM, errors, loaded, make_home


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    return tmp_path


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
        "[local]\nnever_forward = ['Home.Arpa.']\n[access]\nnetworks = ['10.0.0.0/255.0.0.0', '2001:DB8::/32', '192.0.2.1']\n"
        "[metrics]\nlisten = '127.0.0.1'\n"
    )
    assert config.server.listen == ("127.0.0.1:0", "127.0.0.1:0", "[::1]:53")
    assert config.block.sinkhole == ("2001:db8::1",)
    assert config.block.allow == ("example.org", "*.example.org", "xn--bcher-kva.example", r"a\.b.example")
    assert config.local.never_forward == ("home.arpa",)
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


def test_where_earlier_versions_had_it() -> None:
    """Their file is found, after the one of this version."""
    assert (Path("pdns.toml"), Path("/etc/protective-dns/pdns.toml"), Path("/etc/pdns/pdns.toml"), EXAMPLE) == SEARCHED
