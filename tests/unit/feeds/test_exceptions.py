"""What a list lets through is never blocked, in whatever syntax it says so; and rules about parts of a page name no domain."""

from __future__ import annotations

from typing import cast

import pytest

from feeds.formats import READERS
from pdns.config.value_types import FeedFormat
from pdns.errors import FeedError
from tests.unit.feeds.reading import names, odd, read

COSMETIC = [
    "site.test##+js(x)",
    "site.test##.ad",
    'site.test##[aria-label="x"]',
    "site.test#@#.ad",
    "site.test#?#div:has(.ad)",
    "site.test#@?#div",
    "site.test#$#body { overflow: auto }",
    "site.test#@$#body",
    "site.test#$?#div",
    "site.test#@$?#div",
    "site.test#%#//scriptlet('x')",
    "site.test#@%#//scriptlet('x')",
    'site.test$$script[tag-content="x"]',
    "site.test$@$script",
    "one.test,two.test##.ad",
    "[$path=/page]site.test##.ad",
]
BY_LINE: list[FeedFormat] = ["adblock", "bind", "dnsmasq", "domains", "hosts", "rpz", "unbound", "wildcard"]


@pytest.mark.parametrize("line", COSMETIC)
def test_cosmetic_rules_name_no_domain(line: str) -> None:
    """A rule about elements of a page lists nothing and is counted as such, whatever the list is read as."""
    for name in BY_LINE:
        parsed = read(line + "\n", name)
        assert (name, names(parsed), odd(parsed)) == (name, {}, {"cosmetic": 1})
    if "," not in line and '"' not in line:
        parsed = read("domain\n" + line + "\n", "csv", url_hosts=True)
        assert (names(parsed), odd(parsed)) == ({}, {"cosmetic": 1})


def test_cosmetic_rules_tell_adblock() -> None:
    """A list of such rules, without a header, is taken for adblock; a minority of them in a plain list is counted there."""
    assert read("\n".join(COSMETIC)).format == "adblock"
    assert read("one.test,two.test##.ad\n").format == "adblock"
    parsed = read("one.test\n" * 20 + COSMETIC[0] + "\n0.0.0.0 two.test## and more\n")
    assert (parsed.format, names(parsed)) == ("domains", {"one.test": "subtree", "two.test": "subtree"})


def test_comments_behind_names_stay_comments() -> None:
    """White space before a `#`, or behind the second, makes a comment."""
    assert names(read("one.test ## seen today\ntwo.test #x\nthree.test#x\n", "domains")).keys() == {
        "one.test",
        "two.test",
        "three.test",
    }


@pytest.mark.parametrize("name", BY_LINE)
@pytest.mark.parametrize(
    "content",
    [
        "{+block{ads}}\n.bad.test\n{-block}\n.good.test\n",
        "bad.test\n{ -block }\ngood.test\n",
        "{+hide-referrer{forge}}\ngood.test\n",
        "{{alias}}\ngood.test\n",
        "[whitelist]\ngood.test\n",
        "bad.test\n[Allowed domains]\ngood.test\n",
    ],
)
def test_lists_with_sections_are_refused(name: FeedFormat, content: str) -> None:
    """Where the section says whether names are blocked or let through, the list is refused, and says why."""
    with pytest.raises(FeedError, match="it has sections that block and sections that let through"):
        read(content, name)


def test_adblock_headers_are_no_sections() -> None:
    """What an adblock list begins with is no section, whatever it is called."""
    assert names(read("[Adblock Plus 2.0 (exceptions)]\n||one.test^\n")) == {"one.test": "subtree"}


@pytest.mark.parametrize(
    ("rules", "expected", "overruled"),
    [
        ("||x.test^$important\n@@||x.test^\n", {"x.test": "subtree"}, 1),
        ("@@||x.test^\n||x.test^$important,all\n", {"x.test": "subtree"}, 1),
        ("||x.test^$important\n@@||a.x.test^\n", {"x.test": "subtree"}, 1),
        ("||x.test^$important\n@@||x.test^$important\n", {"x.test": "subtree allow subtree"}, 0),
        ("||x.test^$important\n@@||a.x.test^$important\n", {"x.test": "subtree", "a.x.test": "allow subtree"}, 0),
        ("@@||x.test^$important\n||a.x.test^$important\n", {"x.test": "allow subtree"}, 1),
        ("@@||x.test^\n||a.x.test^\n", {"x.test": "allow subtree"}, 1),
        ("@@||x.test^\n||a.x.test^$important\n", {"x.test": "allow subtree", "a.x.test": "subtree"}, 0),
        ("||*.x.test^$important\n@@||x.test^\n", {"x.test": "below allow exact"}, 1),
        ("||x.test^\n@@||x.test^\n", {"x.test": "subtree allow subtree"}, 0),
        ("||x.test^\n@@||a.x.test^\n||b.a.x.test^$important\n@@||xx.test^\n",
         {"x.test": "subtree", "a.x.test": "allow subtree", "b.a.x.test": "subtree", "xx.test": "allow subtree"}, 0),
    ],
)  # fmt: skip
def test_important_rules(rules: str, expected: dict[str, str], overruled: int) -> None:
    """Important exception, important rule, exception, rule: the higher one cancels the lower, at its name and below."""
    parsed = read(rules, "adblock")
    assert names(parsed) == expected
    assert odd(parsed) == ({"overruled": overruled} if overruled else {})


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("||x.test^\n||x.test^$badfilter\n||y.test^\n", {"y.test": "subtree"}),
        ("||x.test^$badfilter\n||y.test^\n||x.test^\n", {"y.test": "subtree"}),
        ("||X.test^$all,important\n||x.test^$important,badfilter,all\n", {}),
        ("||x.test^$important\n||x.test^$badfilter\n", {"x.test": "subtree"}),
        ("||x.test^\n||x.test^$important,badfilter\n", {"x.test": "subtree"}),
        ("||x.test\n||x.test^$badfilter\n", {"x.test": "subtree"}),
        ("x.test\n||x.test^$badfilter\n", {"x.test": "subtree"}),
        ("||x.test^\n@@||a.x.test^\n@@||a.x.test^$badfilter\n", {"x.test": "subtree"}),
        ("||x.test^\n@@||x.test^$badfilter\n", {"x.test": "subtree"}),
    ],
)
def test_disabled_rules(rules: str, expected: dict[str, str]) -> None:
    """`$badfilter` disables the rule that is the same but for it, wherever it stands, and no other; all are counted."""
    parsed = read(rules, "adblock")
    assert names(parsed) == expected
    assert len(rules.splitlines()) == len(parsed.names) + odd(parsed)["overruled"]


def test_rules_that_end_in_an_asterisk() -> None:
    """`||x^*` means what `||x^` does."""
    assert names(read("||one.test^*\n@@||two.test^*\n||three.test^|\n", "adblock")) == {
        "one.test": "subtree",
        "two.test": "allow subtree",
        "three.test": "subtree",
    }


def test_tpl_exceptions() -> None:
    """`+d` in a Tracking Protection List is an exception."""
    parsed = read("msFilterList\n: Expires=1\n-d x.test\n+d good.x.test\n+d other.test /page\n")
    assert names(parsed) == {"x.test": "subtree", "good.x.test": "allow subtree"}
    assert odd(parsed) == {"url_with_path": 1}


def test_dnsmasq_forwarding_is_an_exception() -> None:
    """Names that dnsmasq asks a server about are not blocked, below one that is."""
    content = (
        "address=/x.test/\nserver=/good.x.test/#\nlocal=/fine.x.test/192.0.2.53\naddress=/null.test/#\nserver=/local.test/\n"
    )
    assert names(read(content)) == {
        "x.test": "subtree",
        "good.x.test": "allow subtree",
        "fine.x.test": "allow subtree",
        "null.test": "subtree",
        "local.test": "subtree",
    }


def test_unbound_zones_that_are_resolved_are_exceptions() -> None:
    """A zone that unbound resolves as usual is not blocked; where it only makes room for local data, that data counts."""
    content = (
        'local-zone: "x.test" always_nxdomain\nlocal-zone: "good.x.test" always_transparent\nlocal-zone: "fine.x.test" inform\n'
        'local-zone: "t.test" transparent\nlocal-data: "t.test A 0.0.0.0"\n'
    )
    assert names(read(content)) == {
        "x.test": "subtree",
        "good.x.test": "allow subtree",
        "fine.x.test": "allow subtree",
        "t.test": "subtree",
    }


@pytest.mark.parametrize(
    ("content", "expected", "counted"),
    [
        ('server: local-zone: "a.test" always_null\n', ["a.test"], 0),
        ('server:\n local-zone: "a.test" static local-zone: "b.test" redirect local-data: "c.test A 0.0.0.0"\n', "abc", 0),
        ("local-zone: a.test always_nxdomain # x\nlocal-data: b.test A 0.0.0.0\nlocal-zone:\n  'c.test'\n  static\n", "abc", 0),
        ('local-zone:"a.test" static\nlocal-data:"b.test 60 IN AAAA ::"\n', "ab", 0),
        ('server: verbosity: 1\ninclude: "x"\nforward-zone:\n name: "a.test"\nevil.test\nlocal-zone: "half.test"\n', "", 5),
    ],
)
def test_unbound_statements(content: str, expected: str, counted: int) -> None:
    """Several statements on a line, and one on several, are read; other statements are counted."""
    parsed = read(content, "unbound")
    assert names(parsed) == {name if "." in name else f"{name}.test": "subtree" for name in expected}
    assert sum(odd(parsed).values()) == counted


@pytest.mark.parametrize(
    ("content", "expected", "counted"),
    [
        ('zone "a.test" { type master; file "n"; }; zone b.test IN { type primary; allow-query { none; }; };\n', "ab", {}),
        ("zone a.test {type master;};zone c.test in{type slave; masters { 192.0.2.1; }; };\n", "a", {"unsupported_rule": 1}),
        ('zone "a.test" {\n type master;\n file "x"; // y\n};\nzone "b.test"\n{ type master; };\n', "ab", {}),
        ('/* c\n zone "d.test" { type master; }; */ zone "e.test" { type master; }; # zone\n', "e", {}),
        ('view "v" { zone "v.test" { type master; }; }; zone "w.test" { type master; };\n', "vw", {}),
        ('zone "a.test" { allow-update { type master; }; type forward; };\n', "", {"unsupported_rule": 1}),
        ('zone "a.test" { type master; file "x"; } # c\nzone "b.test" { type master; }\n', "ab", {}),
        ('zone "a.test" { type master;\nzone "b.test" { type master; };\n', "b", {"bad_entry": 1}),
        ('evil.test\nzone "b.test" { type master; };\noptions { x; };\n', "b", {"unknown_line": 1, "unsupported_rule": 1}),
    ],
)  # fmt: skip
def test_bind_statements(content: str, expected: str, counted: dict[str, int]) -> None:
    """Zones on one line or several, with or without quotes, with blocks inside, are read; other statements are counted."""
    parsed = read(content, "bind")
    assert names(parsed) == {f"{name}.test": "subtree" for name in expected}
    assert odd(parsed) == counted


def test_one_line_configurations_are_detected() -> None:
    """A configuration whose statements share a line is told from plain names."""
    assert read('server: local-zone: "a.test" always_null\n').format == "unbound"
    assert read("zone a.test {type master;};\n").format == "bind"


def test_no_reader_lists_an_exception() -> None:
    """Of every way to let a name through, none blocks it, whatever the list is read as."""
    lines = [
        "@@||good.test^", "@@good.test", "@@|good.test^", "!good.test", "+d good.test", "server=/good.test/#",
        "server=/good.test/192.0.2.1", 'local-zone: "good.test" always_transparent', "good.test CNAME rpz-passthru.",
        "32.1.2.0.192.rpz-ip CNAME rpz-passthru.", "address /good.test/-", "good.test##.ad", "good.test#@#.ad",
    ]  # fmt: skip
    for name in READERS.keys() - {"json", "jsonl", "misp", "stix", "threatfox", "urlhaus", "csv"}:
        for line in lines:
            blocked = [key for key, reach in names(read(line + "\n", cast("FeedFormat", name))).items() if reach[:5] != "allow"]
            assert (name, line, [key for key in blocked if key.endswith("good.test")]) == (name, line, [])
