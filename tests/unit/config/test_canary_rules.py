"""The rules of `[canaries]` and of `dnssec`, and which servers get canaries."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.config.canary_targets import watched_servers
from pdns.config.groups import server_groups
from tests.unit.config.loading import UPSTREAM, errors, loaded, make_home

SERVERS = """\
[upstream]
servers = ["tls://9.9.9.9#dns.quad9.net", "udp://10.1.1.1", "udp://127.0.0.1:5353"]
fallback = "second"
[[group]]
name = "second"
servers = ["udp://1.1.1.1"]
[[group]]
name = "other"
servers = ["udp://8.8.8.8"]
[[zone]]
name = "corp.example"
servers = ["udp://8.8.4.4"]
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('signed = ["not a name"]', "canaries.signed[0]: expected a domain name"),
        ('bogus = ["*.example"]', 'canaries.bogus[0]: expected a domain name without "*."'),
        ('resolves = ["a.example", "b.example", "c.example", "d.example"]', "canaries.resolves: expected at most 3, got 4"),
        (f'empty_zone = "{".".join(["a" * 49] * 5)}"', "canaries.empty_zone: expected a name of at most 200 bytes"),
        (
            'known = ["www.example"]',
            'canaries.known[0]: expected a name and 1 to 8 addresses, as in "host.example 192.0.2.1"',
        ),
        ('known = ["www.example 192.0.2"]', "canaries.known[0]: expected an IP address, got"),
        ('known = [""]', "canaries.known[0]: expected a name and 1 to 8 addresses"),
        ("interval_s = 0.5", "canaries.interval_s: expected number from 1 to 86400, got 0.5"),
        ('enabled = "yes"', 'canaries.enabled: expected true, false or "auto", got "yes"'),
    ],
)
def test_mistakes(text: str, expected: str) -> None:
    """Each is named by its key."""
    (error,) = errors(f"{UPSTREAM}[canaries]\n{text}")
    assert expected in error


def test_values_have_their_canonical_spelling() -> None:
    """Names in lower case without the last dot; addresses sorted."""
    text = 'known = ["WWW.Example.  2001:DB8::1 192.0.2.1"]\nsigned = ["A.Example."]\nempty_zone = ""'
    canaries = loaded(f"{UPSTREAM}[canaries]\n{text}").canaries
    assert canaries.known == ("www.example 192.0.2.1 2001:db8::1",)
    assert (canaries.signed, canaries.empty_zone) == (("a.example",), "")


@pytest.mark.parametrize(
    ("enabled", "expected"),
    [
        ('"auto"', ["tls://9.9.9.9:853#dns.quad9.net", "udp://1.1.1.1:53"]),
        ("true", ["tls://9.9.9.9:853#dns.quad9.net", "udp://10.1.1.1:53", "udp://127.0.0.1:5353", "udp://1.1.1.1:53"]),
        ("false", []),
    ],
)
def test_who_gets_canaries(enabled: str, expected: list[str]) -> None:
    """The servers of all names, and those that they fall back to: by default those with a public address. None of a zone."""
    assert list(watched_servers(loaded(f"{SERVERS}[canaries]\nenabled = {enabled}"))) == expected


def test_dnssec_of_groups_and_zones() -> None:
    """`dnssec` of a zone says whether DO is passed on, or what is believed of its own servers."""
    text = SERVERS.replace('fallback = "second"', 'fallback = "second"\ndnssec = "pass"') + 'dnssec = "pass"\n'
    groups = server_groups(loaded(text))
    assert {name: group.dnssec for name, group in groups.items()} == {
        "default": "pass", "second": "trust-ad", "other": "trust-ad", "zone:corp.example": "pass",
    }  # fmt: skip
    (error,) = errors(f'{UPSTREAM}[[zone]]\nname = "corp.example"\nservers = "default"\ndnssec = "pass"')
    assert "zone[0].dnssec: expected true or false: what is believed of its servers is set where they are" in error
    (error,) = errors(f"{UPSTREAM}dnssec = true\n")
    assert 'upstream.dnssec: expected "trust-ad" or "pass", got true' in error
