"""Rules for `[[policy]]` and `[[tenant]]`: each mistake names its key and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.loading import UPSTREAM, errors, make_home


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    return tmp_path


FEED = '[[feed]]\nname = "alpha"\nurl = "file:a"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[[policy]]\nname = "a"\n[[policy]]\nname = "a"', ['policy[1].name: "a" is already policy[0]']),
        ('[[policy]]\nname = "a"\ninherits = "b"', ['policy[0].inherits: no such policy: "b"']),
        (
            '[[policy]]\nname = "schools"\n[[policy]]\nname = "a"\ninherits = "school"',
            ['policy[1].inherits: no such policy: "school"; did you mean "schools"?'],
        ),
        (
            '[[policy]]\nname = "default"\ninherits = "a"\n[[policy]]\nname = "a"',
            ['policy[0].inherits: the policy "default" inherits from no other: [block] and [[feed]] say what it begins with'],
        ),
        (
            (
                '[[policy]]\nname = "a"\ninherits = "b"\n[[policy]]\nname = "b"\ninherits = "a"\n'
                '[[policy]]\nname = "c"\ninherits = "a"'
            ),
            [
                "policy[0].inherits: a circle: a inherits from b inherits from a",
                "policy[1].inherits: a circle: b inherits from a inherits from b",
            ],
        ),
        ('[[policy]]\nname = "a"\ninherits = "a"', ["policy[0].inherits: a circle: a inherits from a"]),
        (
            f'{FEED}[[policy]]\nname = "a"\nfeeds = {{ alpha = "off", alfa = "off" }}',
            ['policy[0].feeds.alfa: no such feed; did you mean "alpha"?'],
        ),
        ('[[policy]]\nname = "a"\nfeeds = { alpha = "off" }', ["policy[0].feeds.alpha: no such feed"]),
        (
            f'{FEED}[[policy]]\nname = "a"\nfeeds = {{ alpha = "never" }}',
            ['policy[0].feeds.alpha: expected "block", "monitor" or "off", got "never"'],
        ),
        ('[[policy]]\nname = "a"\nfeeds = ["alpha"]', ['policy[0].feeds: expected table, got ["alpha"]']),
        (
            '[[policy]]\nname = "a"\ncategories = { adds = "off" }',
            ['policy[0].categories.adds: no such category; did you mean "ads"?'],
        ),
        (
            '[[policy]]\nname = "a"\ncategories = { local = "off" }',
            [
                (
                    "policy[0].categories.local: no such category; known: malware, phishing, c2, botnet, cryptojacking, "
                    "scam, dga, new, policy, ads, tracking"
                )
            ],
        ),
        (
            '[[policy]]\nname = "a"\nactions = { local = "refuse" }',
            [
                (
                    'policy[0].actions.local: expected "sinkhole", "nxdomain", "nodata", "zero", "refused" or "drop", '
                    'got "refuse"; did you mean "refused"?'
                )
            ],
        ),
        (
            '[[policy]]\nname = "a"\nsinkhole = ["192.0.2.1", "192.0.2.2"]\nsinkholes = { ads = [], scam = ["x"] }',
            [
                'policy[0].sinkholes.scam[0]: expected an IP address, got "x"',
                "policy[0].sinkholes.ads: expected non-empty array of strings, got []",
                "policy[0].sinkhole[1]: expected at most one IPv4 address, but policy[0].sinkhole[0] is one already",
            ],
        ),
        (
            (
                '[[policy]]\nname = "a"\nallow = ["x.example"]\nblock = ["X.example."]\n'
                '[[policy.entry]]\nname = "x.example"\naction = "allow"'
            ),
            [
                "policy[0].allow[0]: x.example is already policy[0].block[0]",
                "policy[0].entry[0].name: x.example is already policy[0].block[0]",
            ],
        ),
        (
            '[[policy]]\nname = "a"\n[[policy.entry]]\nname = "x.example"\naction = "allow"\nuntil = "tomorrow"',
            ['policy[0].entry[0].until: expected a date and time with a zone, such as "2026-12-24T18:00:00Z", got "tomorrow"'],
        ),
        (
            '[[policy]]\nname = "a"\n[[policy.entry]]\nname = "x.example"\naction = "allow"\nuntil = "2026-12-24T18:00:00"',
            [
                (
                    'policy[0].entry[0].until: expected a date and time with a zone, such as "2026-12-24T18:00:00Z", '
                    'got "2026-12-24T18:00:00"'
                )
            ],
        ),
        (
            (
                '[[policy]]\nname = "a"\n[[policy.schedule]]\ndays = []\nstart = "9:00"\ntime_zone = "Europe/Londn"\n'
                'categories = { ads = "off" }'
            ),
            ['policy[0].schedule[0].start: expected time of day (from 00:00 to 24:00), got "9:00"'],
        ),
        (
            '[[policy]]\nname = "a"\n[[policy.schedule]]\ndays = []\nstart = "09:00"\nend = "09:00"\ntime_zone = "Europe/Londn"',
            [
                "policy[0].schedule[0].days: expected non-empty array of strings, got []",
                'policy[0].schedule[0].end: expected another time than start, and start before 24:00, got "09:00"',
                'policy[0].schedule[0].time_zone: expected a time zone such as "Europe/London", got "Europe/Londn"',
                "policy[0].schedule[0]: changes nothing: set feeds or categories",
            ],
        ),
        (
            '[[policy]]\nname = "a"\ncontact = ["it@x.example"]\nhelp_url = "ftp://x.example/"',
            [
                (
                    'policy[0].contact[0]: expected a URI such as "mailto:it@council.example" or "tel:+44-113-496-0000", '
                    'got "it@x.example"'
                ),
                'policy[0].help_url: expected a URL with http or https, got "ftp://x.example/"',
            ],
        ),
        (
            '[[policy]]\nname = "a"\norganisation = "a\\u0007b"',
            ['policy[0].organisation: expected text without control characters, got "a\\u0007b"'],
        ),
        (
            '[[tenant]]\nname = "t"\nnetworks = ["10.0.0.0/8"]\npolicy = "strict"',
            ['tenant[0].policy: no such policy: "strict"; write [[policy]] with that name'],
        ),
        (
            '[[tenant]]\nname = "t"\ntls_names = ["t.dns.example"]\n[[tenant]]\nname = "u"\ntls_names = ["T.dns.example"]',
            ["tenant[1].tls_names[0]: t.dns.example is already in tenant[0].tls_names"],
        ),
        (
            f'[[tenant]]\nname = "t"\ndoh_token_sha256 = "{"a" * 64}"\n[[tenant]]\nname = "u"\ndoh_token_sha256 = "{"A" * 64}"',
            ["tenant[1].doh_token_sha256: it is already in tenant[0].doh_token_sha256"],
        ),
        (
            '[[tenant]]\nname = "t"\ncertificate_sha256 = "abc"',
            ['tenant[0].certificate_sha256: expected SHA-256 (64 hexadecimal digits), got "abc"'],
        ),
    ],
)
def test_rules(text: str, expected: list[str]) -> None:
    """Every error, each with file, key and reason."""
    assert errors(UPSTREAM + text) == [f"pdns.toml: {error}" for error in expected]


def test_a_wrong_policy_is_one_error() -> None:
    """Tenants that name policies are not blamed for a section that could not be read."""
    text = '[[policy]]\nnam = "a"\n[[tenant]]\nname = "t"\nnetworks = ["10.0.0.0/8"]\npolicy = "a"'
    assert errors(UPSTREAM + text) == [
        'pdns.toml: policy[0].nam: unknown key; did you mean "name"?',
        "pdns.toml: policy[0].name: required",
    ]


@pytest.mark.parametrize(
    ("section", "count", "error"),
    [
        ('[[policy]]\nname = "p{0}"\n', 1001, "policy: expected at most 1,000, got 1,001"),
        ('[[tenant]]\nname = "t{0}"\nnetworks = ["10.0.0.1"]\n', 10_001, "tenant: expected at most 10,000, got 10,001"),
    ],
)
def test_numbers_are_bounded(section: str, count: int, error: str) -> None:
    """Beyond the bound nothing is looked at."""
    assert errors(UPSTREAM + "".join(section.format(number) for number in range(count))) == [f"pdns.toml: {error}"]


def test_a_circle_ends() -> None:
    """A circle of many is found once for each of them."""
    text = "".join(f'[[policy]]\nname = "p{n}"\ninherits = "p{(n + 1) % 50}"\n' for n in range(50))
    assert len(errors(UPSTREAM + text)) == 50
