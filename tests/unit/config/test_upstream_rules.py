"""Rules for upstreams, groups and zones: what is settled, and each error with its key and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.config.groups import group_of, server_groups, upstream_servers
from pdns.config.upstream_rules import MOST_SERVERS, MOST_ZONE_NAMES
from tests.unit.config.loading import UPSTREAM, errors, loaded, make_home

ZONE = '[[zone]]\nname = "corp.example"\nservers = ["udp://10.1.1.1"]\n'
GROUP = '[[group]]\nname = "backup"\nservers = ["udp://9.9.9.9"]\n'


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_home(tmp_path, monkeypatch)


def test_zones_and_groups_are_settled() -> None:
    """Names are canonical and in `names`; each zone has servers of its own or the name of a group."""
    config = loaded(
        f'{UPSTREAM}fallback = "backup"\n{GROUP}strategy = "ordered"\n'
        '[[zone]]\nnames = ["Corp.Example.", "10.in-addr.arpa"]\nservers = ["10.1.1.1", "tcp://10.1.1.2"]\ntimeout_s = 2\n'
        '[[zone]]\nname = "www.corp.example"\nservers = "default"\n'
        '[[zone]]\nname = "partner.example"\ngroup = "backup"\nblock = false\n'
    )
    assert [zone.names for zone in config.zone] == [
        ("corp.example", "10.in-addr.arpa"),
        ("www.corp.example",),
        ("partner.example",),
    ]
    assert [group_of(zone) for zone in config.zone] == ["zone:corp.example", "default", "backup"]
    groups = server_groups(config)
    assert list(groups) == ["default", "backup", "zone:corp.example"]
    assert groups["zone:corp.example"].servers == ("udp://10.1.1.1:53", "tcp://10.1.1.2:53")
    assert groups["zone:corp.example"].timeout_s == 2
    assert groups["default"].fallback == "backup"
    assert groups["backup"].strategy == "ordered"
    assert upstream_servers(config)[-2:] == ("udp://10.1.1.1:53", "tcp://10.1.1.2:53")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[zone]]\nservers = ["udp://10.1.1.1"]', "zone[0].name: expected either name or names"),
        (f'{ZONE}names = ["a.example"]', "zone[0].name: expected either name or names"),
        (
            '[[zone]]\nname = "corp.example"',
            'zone[0].servers: expected either servers (an array, or "default" for those of [upstream]) or group',
        ),
        (
            '[[zone]]\nname = "corp.example"\nservers = []',
            'zone[0].servers: expected either servers (an array, or "default" for those of [upstream]) or group',
        ),
        (f'{GROUP}{ZONE}group = "backup"', "zone[0].servers: expected either servers"),
        (
            '[[zone]]\nname = "corp.example"\nservers = "10.1.1.1"',
            'zone[0].servers: expected non-empty array of strings or "default", got "10.1.1.1"',
        ),
        ('[[zone]]\nname = "*.corp.example"\nservers = "default"', 'zone[0].name: expected a domain name without "*."'),
        ('[[zone]]\nname = "a..b"\nservers = "default"', "zone[0].name: expected a domain name (empty label)"),
        (ZONE + ZONE.replace("corp.e", "CORP.E"), 'zone[1].name: "corp.example" is already zone[0].name'),
        (
            '[[zone]]\nnames = ["a.example", "b.example", "a.example"]\nservers = "default"',
            'zone[0].names[2]: "a.example" is already zone[0].names[0]',
        ),
        (
            f'[local]\nnever_forward = ["lan", "corp.example"]\n{ZONE}',
            'zone[0].name: "corp.example" is also local.never_forward[1]: remove one of them',
        ),
        (f"{ZONE}strategy = 'quickest'", 'zone[0].strategy: expected "fastest", "ordered" or "parallel", got "quickest"'),
        (
            '[[zone]]\nname = "corp.example"\nservers = "default"\ntimeout_s = 1',
            "zone[0].timeout_s: allowed only with addresses in servers: set it in [upstream]",
        ),
        (
            f'{GROUP}[[zone]]\nname = "corp.example"\ngroup = "backup"\nstrategy = "ordered"',
            'zone[0].strategy: allowed only with addresses in servers: set it in the [[group]] "backup"',
        ),
        (
            f'{GROUP}[[zone]]\nname = "corp.example"\ngroup = "bakup"',
            'zone[0].group: no [[group]] has this name, got "bakup"; did you mean "backup"?',
        ),
        (f'{ZONE}fallback = "else"', 'zone[0].fallback: no [[group]] has this name, got "else"; known: default'),
        (
            '[server]\nlisten = ["0.0.0.0:5300"]\n[[zone]]\nname = "corp.example"\nservers = ["udp://127.0.0.1:5300"]',
            "zone[0].servers[0]: udp://127.0.0.1:5300 would forward to itself: server.listen[0] listens there",
        ),
        (
            '[[zone]]\nname = "corp.example"\nservers = ["udp://10.1.1.1", "10.1.1.1:53"]',
            "zone[0].servers[1]: udp://10.1.1.1:53 is already zone[0].servers[0]",
        ),
        (
            '[[zone]]\nname = "corp.example"\nservers = ["system"]',
            'zone[0].servers[0]: expected an address: "system" is allowed in upstream.servers only',
        ),
        (
            '[[zone]]\nname = "corp.example"\nservers = ["tls://10.1.1.1"]',
            "zone[0].servers[0]: expected also the name in its cert",
        ),
        (
            '[[group]]\nname = "default"\nservers = ["udp://9.9.9.9"]',
            'group[0].name: "default" is the group of [upstream]; choose another',
        ),
        (GROUP * 2, 'group[1].name: "backup" is already the name of another group'),
        (f'{GROUP}fallback = "backup"', "group[0].fallback: leads back to itself: backup -> backup"),
        ('[zone]\nname = "corp.example"', "zone: expected array of tables (write [[zone]])"),
        ('[local]\nforward = ["corp.local"]', "local.forward: replaced by [[zone]]: write names = [...] and servers = "),
    ],
)
def test_errors(text: str, expected: str) -> None:
    """Every mistake is named by file, key and reason, once."""
    (error,) = errors(f"{text}\n{UPSTREAM}")
    assert error.startswith(f"pdns.toml: {expected}"), error


def test_groups_of_a_broken_section() -> None:
    """A section of the wrong shape is one mistake; keys that refer to its groups are not reported."""
    zone = '[[zone]]\nname = "corp.example"\ngroup = "backup"\n'
    assert errors(f'{UPSTREAM}fallback = "backup"\n{zone}[[group]]\nname = "backup"\nservers = []') == [
        "pdns.toml: group[0].servers: expected non-empty array of strings, got []"
    ]
    assert errors(f'[upstream]\nstrategy = "fast"\n{GROUP}fallback = "default"') == [
        'pdns.toml: upstream.strategy: expected "fastest", "ordered" or "parallel", got "fast"; did you mean "fastest"?'
    ]


def test_fallbacks_that_go_round() -> None:
    """Each group of the circle is named."""
    circle = f'{UPSTREAM}fallback = "a"\n' + "".join(
        f'[[group]]\nname = "{name}"\nservers = ["udp://9.9.9.9"]\nfallback = "{to}"\n' for name, to in ("ab", "ba")
    )
    assert errors(circle) == [
        "pdns.toml: group[0].fallback: leads back to itself: a -> b -> a",
        "pdns.toml: group[1].fallback: leads back to itself: b -> a -> b",
    ]


def test_many_zones() -> None:
    """Ten thousand zones are loaded; beyond the bounds one error says so."""
    names = ", ".join(f'"z{number}.example"' for number in range(10_000))
    assert len(loaded(f'{UPSTREAM}[[zone]]\nnames = [{names}]\nservers = ["udp://10.1.1.1"]').zone[0].names) == 10_000
    names = ", ".join(f'"z{number}.example"' for number in range(MOST_ZONE_NAMES + 1))
    assert errors(f'{UPSTREAM}[[zone]]\nnames = [{names}]\nservers = "default"') == [
        "pdns.toml: zone: expected at most 20,000 names in all zones, got 20,001"
    ]
    servers = ", ".join(f'"udp://10.1.{number // 250}.{1 + number % 250}"' for number in range(MOST_SERVERS))
    (error,) = errors(f'{UPSTREAM}[[zone]]\nname = "a.example"\nservers = [{servers}]')
    assert error.startswith("pdns.toml: zone: expected at most 256 different servers in [upstream], groups and zones, got 257")
