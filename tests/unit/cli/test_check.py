"""`pdns check`, as it is typed."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pdns.cli.check import check, command

UPSTREAM = '[upstream]\nservers = ["192.0.2.53", "tls://192.0.2.54#dns.example.net"]\n'


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/pdns")
    return tmp_path


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """A usable configuration is summed up in aligned lines that are never wrapped, and without secrets; exit 0."""
    Path("list.txt").touch()
    Path("my.toml").write_text(
        UPSTREAM
        + '[[feed]]\nname = "urlhaus"\nurl = "https://user:hunter2@feeds.example.net/list?auth=hunter2"\n'
        + "required = true\nrefresh_s = 300\n"
        + '[[feed]]\nname = "own"\nurl = "list.txt"\ncategory = "policy"\nmode = "monitor"\n'
        + '[[tenant]]\nname = "coventry"\nnetworks = ["198.51.100.0/24", "2001:db8::/48"]\n'
        + '[access]\nnetworks = ["10.0.0.0/8"]\n'
    )
    assert check(Path("my.toml")) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out == (
        "file      my.toml\n"
        "listens   127.0.0.1:5300 (UDP and TCP)\n"
        f"workers   {len(os.sched_getaffinity(0))}, one a core\n"
        "forwards  udp://192.0.2.53:53\n"
        "          tls://192.0.2.54:853#dns.example.net\n"
        "blocks    with sinkhole to 192.0.2.1, 2001:db8::1, for 60 s\n"
        "feeds     urlhaus  https://***@feeds.example.net/list?*** (malware, every 300 s, required)\n"
        f"          own      file://{Path.cwd()}/list.txt (policy, every 3600 s, monitor)\n"
        "tenants   coventry  198.51.100.0/24, 2001:db8::/48\n"
        "access    10.0.0.0/8\n"
        "state     /var/lib/pdns\n"
        "metrics   http://127.0.0.1:9153/metrics\n"
    )


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("[rebinding]\nblock_private_answers = true\n", ["refuses   private addresses of public names"]),
        (
            '[rebinding]\nblock_private_answers = true\nallow = ["plex.direct", "*.corp.example"]\n',
            ["refuses   private addresses of public names, except plex.direct, *.corp.example"],
        ),
        ('[dns64]\nprefix = "64:ff9b::/96"\n', ["dns64     64:ff9b::/96, for all clients"]),
        ('[dns64]\nprefix = "64:ff9b::/96"\nnetworks = ["fd00:6::/32"]\n', ["dns64     64:ff9b::/96, for fd00:6::/32"]),
        (
            '[block_page]\nlisten = ["192.0.2.1:80", "192.0.2.2"]\n',
            ["page      http://192.0.2.1:80", "          http://192.0.2.2:80"],
        ),
        (
            '[[publish]]\nzone = "rpz.example"\nallow_transfer = ["192.0.2.0/24"]\n[[publish]]\nzone = "r"\nfile = "r.rpz"\n',
            ["publishes rpz.example on 127.0.0.1:5303 (policy default)", "          r (policy default)"],
        ),
        ('[rebinding]\nallow = ["plex.direct"]\n[dns64]\nnetworks = ["fd00:6::/32"]\n', []),
    ],
)
def test_what_is_turned_on_is_shown(text: str, lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The protection from DNS rebinding, the DNS64, the block page and published zones have lines, if they are on."""
    Path("my.toml").write_text(UPSTREAM + text)
    assert check(Path("my.toml")) == 0
    shown = capsys.readouterr().out.splitlines()
    began = [at for at, line in enumerate(shown) if line.startswith(("refuses", "dns64", "page", "publishes"))]
    assert [line for at in began for line in (shown[at], *takewhile(lambda one: one[0] == " ", shown[at + 1 :]))] == lines


def test_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """Every error of an unusable one is a line on stderr, however long; nothing on stdout; exit 2."""
    Path("pdns.toml").write_text(
        UPSTREAM + f'[block]\nallow = ["{"x" * 70} y"]\n[[feed]]\nname = "a"\nurl = "a"\nrefresh_s = "soon"\n'
    )
    assert check(None) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    first, second = captured.err.splitlines()
    assert first.startswith('pdns.toml: block.allow[0]: expected a domain name (label over 63 bytes), got "xxx')
    assert second == 'pdns.toml: feed[0].refresh_s: expected int >= 30, got "soon"'


def test_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is named, with what can be done; exit 2."""
    assert check(Path("nope.toml")) == 2
    assert capsys.readouterr().err.startswith(
        "nope.toml: no such file; without -c, the first of pdns.toml, /etc/protective-dns/pdns.toml, /etc/pdns/pdns.toml and "
    )


def test_notes(capsys: pytest.CaptureFixture[str]) -> None:
    """What is allowed but seldom meant is noted on stderr, and the exit status stays 0."""
    Path("pdns.toml").write_text(UPSTREAM + '[access]\nnetworks = ["0.0.0.0/0"]\n')
    assert check(None) == 0
    assert capsys.readouterr().err.splitlines() == [
        "note: no [[feed]]: nothing is blocked",
        "note: access.networks: 0.0.0.0/0: an open resolver will be found and used to attack others",
    ]
    balancers = '["10.0.0.0/23", "10.1.0.0/24", "2001:db8::/63", "2001:db8:1::/64"]'
    Path("list.txt").touch()
    Path("pdns.toml").write_text(
        f"{UPSTREAM}[server]\nproxy_protocol_from = {balancers}\n" + '[[feed]]\nname = "a"\nurl = "list.txt"\n'
    )
    assert check(None) == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        f"note: server.proxy_protocol_from: {network}: whoever is in it can claim to be any client; list only load balancers"
        for network in ("10.0.0.0/23", "2001:db8::/63")
    ]
    assert "balancers 10.0.0.0/23 (PROXY protocol)\n          10.1.0.0/24 (PROXY protocol)\n" in captured.out
    Path("pdns.toml").write_text(UPSTREAM + '[[feed]]\nname = "a"\nurl = "a.txt"\nrequired = true\n')
    assert check(None) == 0
    assert capsys.readouterr().err == (
        f"note: feed a: no such file or directory: {Path.cwd()}/a.txt: the server is not ready before it is there\n"
    )


def test_notes_on_what_feeds_need(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or variable that a feed needs to be fetched, and that is missing, is noted by feed, key and path."""
    monkeypatch.delenv("FEED_TOKEN", raising=False)
    feed = '[[feed]]\nname = "{}"\nurl = "https://feeds.example.net/{}"\n'
    Path("pdns.toml").write_text(
        f'{UPSTREAM}{feed.format("a", "a")}token_file = "a.token"\n{feed.format("b", "b")}token_env = "FEED_TOKEN"\n'
        f'{feed.format("c", "c")}client_cert_file = "c.pem"\nclient_key_file = "c.key"\n'
        '[[feed]]\nname = "d"\nurl = "axfr://192.0.2.1/rpz.example"\ntsig_name = "key"\ntsig_secret_file = "."\n'
    )
    Path("c.key").touch()
    assert check(None) == 0
    here, without = Path.cwd(), "the feed cannot be fetched until it is there"
    assert capsys.readouterr().err.splitlines() == [
        f"note: feed a: token_file: {here}/a.token: No such file or directory: {without}",
        "note: feed b: token_env: FEED_TOKEN is not set here; it must be where pdns serve is started",
        f"note: feed c: client_cert_file: {here}/c.pem: No such file or directory: {without}",
        f"note: feed d: tsig_secret_file: {here}: a directory, not a regular file: {without}",
    ]


def test_notes_on_tenants_that_overlap(capsys: pytest.CaptureFixture[str]) -> None:
    """A tenant's network inside another tenant's is noted, with whose its clients are; the narrowest one around it counts."""
    tenant = '[[tenant]]\nname = "{}"\nnetworks = {}\n'
    Path("pdns.toml").write_text(
        UPSTREAM
        + '[[feed]]\nname = "a"\nurl = "https://feeds.example.net/a"\n'
        + tenant.format("county", '["10.0.0.0/8", "10.1.0.0/24", "2001:db8::/32"]')
        + tenant.format("library", '["10.1.0.0/16", "192.0.2.0/24", "2001:db8:1::/48"]')
    )
    assert check(None) == 0
    assert capsys.readouterr().err.splitlines() == [
        'note: tenants overlap: 10.1.0.0/24 of "county" is inside 10.1.0.0/16 of "library": clients belong to "county"',
        'note: tenants overlap: 10.1.0.0/16 of "library" is inside 10.0.0.0/8 of "county": clients belong to "library"',
        'note: tenants overlap: 2001:db8:1::/48 of "library" is inside 2001:db8::/32 of "county": clients belong to "library"',
    ]


def test_command() -> None:
    """As a command it takes -c or --config, and its status is that of the check."""
    app = typer.Typer()
    app.command("check")(command)
    Path("good.toml").write_text(UPSTREAM)
    Path("bad.toml").write_text("[upstream]\nservers = []")
    assert CliRunner().invoke(app, ["-c", "good.toml"]).exit_code == 0
    assert CliRunner().invoke(app, ["--config", "bad.toml"]).exit_code == 2


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours(no_color: str, *, coloured: bool) -> None:
    """On a terminal there are colours, unless NO_COLOR is set."""
    Path("pdns.toml").write_text(UPSTREAM)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "TERM": "xterm",
        "HOME": str(Path.cwd()),
    }
    terminal, end = pty.openpty()
    program = "import sys; from pdns.cli.check import check; sys.exit(check(None))"
    subprocess.run(
        [sys.executable, "-c", program],
        env=environment | ({"NO_COLOR": no_color} if no_color else {}),
        stdout=end,
        stderr=end,
        check=True,
    )
    output = os.read(terminal, 65536)
    os.close(end)
    os.close(terminal)
    assert b"192.0.2.53" in output
    assert (b"\x1b[33m" in output) == coloured


def test_zones_and_groups(capsys: pytest.CaptureFixture[str]) -> None:
    """They are summed up, and a zone that changes nothing is noted, with what stands above it."""
    Path("pdns.toml").write_text(
        UPSTREAM
        + '[[group]]\nname = "backup"\nservers = ["10.9.9.9"]\nstrategy = "ordered"\n'
        + '[[zone]]\nnames = ["corp.example", "10.in-addr.arpa"]\nservers = ["10.1.1.1"]\n'
        + '[[zone]]\nname = "a.corp.example"\nservers = ["10.1.1.1"]\n'
        + '[[zone]]\nname = "free.corp.example"\nservers = ["10.1.1.1"]\nblock = false\n'
        + '[[zone]]\nnames = ["www.example", "home.arpa", "16.172.in-addr.arpa", "ad.lan"]\nservers = "default"\n'
        + '[local]\nnever_forward = ["lan"]\n'
        + '[[zone]]\nname = "partner.example"\ngroup = "backup"\n'
        + '[[feed]]\nname = "a"\nurl = "https://feeds.example.net/a"\n'
    )
    assert check(None) == 0
    captured = capsys.readouterr()
    for line in (
        "groups    backup  udp://10.9.9.9:53 (ordered)",
        "zones     corp.example, 10.in-addr.arpa  to udp://10.1.1.1:53",
        "          free.corp.example  to udp://10.1.1.1:53, not checked by feeds and local blocks",
        "          www.example, home.arpa, 16.172.in-addr.arpa, ad.lan  to [upstream]",
        "          partner.example  to group backup",
    ):
        assert f"{line}\n" in captured.out
    assert captured.err.splitlines() == [
        'note: zone "a.corp.example" changes nothing: "corp.example" above it has the same servers and settings',
        'note: zone "www.example" changes nothing: [upstream] has the same servers and settings',
    ]


def test_how_servers_are_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Strategy and fallback are summed up where there is something to choose."""
    Path("pdns.toml").write_text(
        '[upstream]\nservers = ["192.0.2.53"]\nfallback = "second"\n'
        '[[group]]\nname = "second"\nservers = ["10.9.9.9", "10.9.9.8"]\n'
        '[[zone]]\nname = "corp.example"\nservers = ["10.1.1.1", "10.1.1.2"]\nstrategy = "parallel"\nfallback = "second"\n'
    )
    assert check(None) == 0
    output = capsys.readouterr().out
    for line in (
        "          (fallback second)",
        "groups    second  udp://10.9.9.9:53, udp://10.9.9.8:53 (fastest)",
        "zones     corp.example  to udp://10.1.1.1:53, udp://10.1.1.2:53 (parallel, fallback second)",
    ):
        assert f"{line}\n" in output


def test_records_in_a_zone(capsys: pytest.CaptureFixture[str]) -> None:
    """Local records that come before the servers of a zone are noted, with their number; others are not."""
    Path("pdns.toml").write_text(
        UPSTREAM
        + '[[zone]]\nnames = ["corp.example", "10.in-addr.arpa"]\nservers = ["10.1.1.1"]\n'
        + '[[zone]]\nname = "www.corp.example"\nservers = "default"\n'
        + '[[record]]\nname = "b.corp.example"\na = ["10.0.0.5", "192.0.2.5"]\n'
        + '[[record]]\nname = "x.a.corp.example"\ntxt = ["a"]\n'
        + '[[record]]\nname = "www.corp.example"\ntxt = ["a"]\n'
        + '[[record]]\nname = "nas.example"\ntxt = ["a"]\n'
        + '[[feed]]\nname = "a"\nurl = "https://feeds.example.net/a"\n'
    )
    assert check(None) == 0
    assert sorted(capsys.readouterr().err.splitlines()) == [
        'note: zone "10.in-addr.arpa": local records come before its servers: 1 name, such as "5.0.0.10.in-addr.arpa"',
        'note: zone "corp.example": local records come before its servers: 2 names, such as "b.corp.example"',
    ]


def test_ten_thousand_zones_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    """Their number costs no more than they are many: the summary names the first."""
    zones = "".join(f'[[zone]]\nname = "z{number}.example"\ngroup = "g"\n' for number in range(10_000))
    Path("pdns.toml").write_text(f'{UPSTREAM}[[group]]\nname = "g"\nservers = ["10.1.1.1"]\n{zones}')
    assert check(None) == 0
    assert "          and 9,980 more\n" in capsys.readouterr().out
