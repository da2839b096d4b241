"""The rules of `[dns64]`: each mistake is named by its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.loading import UPSTREAM, errors, loaded, make_home


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'prefix = "64:ff9b::/80"',
            "dns64.prefix: expected an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as 2001:db8:64::/96, got",
        ),
        ('prefix = "10.0.0.0/32"', "dns64.prefix: expected an IPv6 prefix of 32,"),
        ('prefix = "64:ff9b::1/96"', "dns64.prefix: expected no bits beyond /96"),
        (
            'prefix = "2001:db8:0:0:100::/96"',
            "dns64.prefix: expected a prefix in which the bits from 64 to 71 are zero (RFC 6052, 2.2), got",
        ),
        ('prefix = "64:ff9b::/32"', "dns64.prefix: expected the prefix of a NAT64; ::/8 is reserved"),
        ('prefix = "64:ff9b::/64"', "dns64.prefix: expected the prefix of a NAT64; ::/8 is reserved"),
        ('prefix = "2002::/32"', "dns64.prefix: expected the prefix of a NAT64; 2002::/16 is 6to4"),
        ('prefix = "2001::/32"', "dns64.prefix: expected the prefix of a NAT64; 2001::/32 is Teredo"),
        ('prefix = "fe80::/64"', "dns64.prefix: expected the prefix of a NAT64; fe80::/10 is link-local"),
        ('prefix = "here"', "dns64.prefix: expected a network such as"),
        ('exclude = ["192.0.2.0/24"]', "dns64.exclude[0]: expected an IPv6 network such as 2001:db8::/32"),
        ('exclude = ["2001:db8::/32", "2001:db8::1/32"]', "dns64.exclude[1]: expected an IPv6 network"),
        ('ipv4_exclude = ["2001:db8::/32"]', "dns64.ipv4_exclude[0]: expected an IPv4 network such as 192.0.2.0/24"),
        (
            'prefix = "2001:db8:64::/96"\n[block]\nnat64_prefixes = ["2001:db9::/32", "2001:db8::/32"]',
            "dns64.prefix: expected no prefix that overlaps block.nat64_prefixes[1] (2001:db8::/32), got",
        ),
    ],
)
def test_mistakes(text: str, expected: str) -> None:
    """A wrong length, bits that must be zero, networks with another use, and prefixes that make an address ambiguous."""
    (error,) = errors(f"{UPSTREAM}[dns64]\n{text}")
    assert error.startswith(expected) or expected in error


@pytest.mark.parametrize(
    "prefix",
    ["64:ff9b::/96", "64:ff9b:1::/48", "64:ff9b:1:ffff::/96", "2001:db8::/32", "2001:db8:100::/40", "2001:db8:122::/48",
     "2001:db8:122:300::/56", "2001:db8:122:344::/64", "2001:db8:122:344::/96", "fd00:64::/96"],
)  # fmt: skip
def test_every_length_of_a_prefix_is_taken(prefix: str) -> None:
    """The well-known prefix, and those of networks, of the lengths that RFC 6052 has; also where block.nat64_prefixes has it."""
    config = loaded(f'{UPSTREAM}[dns64]\nprefix = "{prefix}"\n[block]\nnat64_prefixes = ["{prefix}"]')
    assert config.dns64.prefix == prefix


def test_networks_are_canonical() -> None:
    """Excluded networks are spelt in one way; without a prefix there is no DNS64."""
    exclude = '["2001:DB8:0::/32", "::ffff:0.0.0.0/96", "::FFFF:192.0.2.0/120"]'
    config = loaded(f'{UPSTREAM}[dns64]\nexclude = {exclude}\nipv4_exclude = ["192.0.2.1"]')
    assert config.dns64.exclude == ("2001:db8::/32", "::ffff:0:0/96", "::ffff:c000:200/120")
    assert config.dns64.ipv4_exclude == ("192.0.2.1/32",)
    assert config.dns64.prefix == ""
    assert loaded(UPSTREAM).dns64.exclude == ("::ffff:0:0/96",)
