"""Rules of `[[report]]` and `[mail]`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pdns.config.written_paths import written_paths
from tests.unit.config.loading import UPSTREAM, errors, loaded, make_home

TENANT = '[[tenant]]\nname = "leeds"\nnetworks = ["10.1.0.0/16"]\n'
MAIL = '[mail]\nhost = "Mail.Council.example"\nsender = "pdns@council.example"\n'
REPORT = '[[report]]\nname = "weekly"\n'


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    (tmp_path / "password").write_text("secret")
    return tmp_path


def test_none_by_default() -> None:
    """Without these sections no report is written and no mail is sent."""
    config = loaded(UPSTREAM)
    assert config.report == ()
    assert config.mail.host == ""


def test_whole_sections(directory: Path) -> None:
    """Hosts and paths are canonical, and the port is that of the kind of TLS."""
    text = (
        f'{UPSTREAM}{TENANT}{MAIL}user = "pdns"\npassword_file = "password"\n{REPORT}tenants = ["leeds"]\n'
        'mail_to = ["soc@leeds.example"]\nformats = ["html", "csv"]\ntime_zone = "Europe/London"\n'
        'directory = "out"\n'
    )
    (directory / "out").mkdir()
    config = loaded(text)
    assert config.report[0].directory == str(directory / "out")
    assert written_paths(config) == (directory / "out",)
    assert (config.mail.host, config.mail.port) == ("mail.council.example", 587)
    assert config.mail.password_file == str(directory / "password")
    assert config.report[0].tenants == ("leeds",)


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("tls", 465)])
def test_ports(tls: str, port: int) -> None:
    """Each kind of TLS has its usual port, unless one is set."""
    assert loaded(f'{UPSTREAM}{MAIL}tls = "{tls}"\n').mail.port == port
    assert loaded(f'{UPSTREAM}{MAIL}tls = "{tls}"\nport = 2525\n').mail.port == 2525


def test_a_relay_on_this_machine() -> None:
    """Without encryption only a server on this machine gets reports."""
    local = '[mail]\nhost = "127.0.0.1"\nsender = "pdns@council.example"\ntls = "none"\n'
    assert loaded(UPSTREAM + local).mail.port == 25


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[mail]\nsender = "pdns@council.example"\n', "mail.host: required with mail.sender"),
        ('[mail]\nhost = "mail.example"\n', "mail.sender: expected the address that reports come from, such as"),
        ('[mail]\nhost = "mail.example"\nsender = "pdns"\n', 'such as "pdns@council.example", got "pdns"'),
        ('[mail]\nhost = "a b"\nsender = "a@b.example"\n', "mail.host: expected a host name or an address"),
        (f'{MAIL}user = "x"\n', "mail.password_file: required with mail.user"),
        (f'{MAIL}password_file = "password"\n', "mail.user: required with mail.password_file"),
        (f'{MAIL}user = "x"\npassword_file = "gone"\n', "mail.password_file: cannot be read: "),
        (f'{MAIL}tls = "none"\n', 'mail.tls: "none" only for a server on this machine'),
        (f'{MAIL}tls = "ssl"\n', 'mail.tls: expected "starttls", "tls" or "none", got "ssl"'),
        (f"{REPORT}{REPORT}", 'report[1].name: "weekly" is already report[0]'),
        (f'{REPORT}tenants = "leeds"\n', 'report[0].tenants: expected array of strings, "all" or "each", got "leeds"'),
        (f"{REPORT}tenants = []\n", 'report[0].tenants: expected at least one tenant, "all" or "each"'),
        (f'{TENANT}{REPORT}tenants = ["leed"]\n', 'no [[tenant]] has this name, got "leed"; did you mean "leeds"?'),
        (f'{REPORT}time = "24:00"\n', "report[0].time: expected a time before 24:00"),
        (f'{REPORT}time = "6:00"\n', "report[0].time: expected time of day (from 00:00 to 24:00)"),
        (f'{REPORT}time_zone = "London"\n', 'report[0].time_zone: expected a time zone such as "Europe/London", got "London"'),
        (f'{REPORT}every = "month"\nday = "fri"\n', 'report[0].day: only for every = "week", not "month"'),
        (f"{REPORT}formats = []\n", 'report[0].formats: expected non-empty array of "html", "json", "csv" or "text"'),
        (f'{REPORT}formats = ["pdf"]\n', 'report[0].formats[0]: expected "html", "json", "csv" or "text", got "pdf"'),
        (f'{REPORT}directory = "password"\n', "report[0].directory: expected a directory, got"),
        (f"{REPORT}keep = 0\n", "report[0].keep: expected int from 1 to 1000"),
        (f'{REPORT}mail_to = ["a@b.example"]\n', "report[0].mail_to: needs mail.host and mail.sender"),
        (f'{MAIL}{REPORT}mail_to = ["a@b.example\\nBcc: x@y.example"]\n', "mail_to[0]: expected the address of a mailbox"),
        (f'{MAIL}{REPORT}mail_to = ["Ann <a@b.example>"]\n', "report[0].mail_to[0]: expected the address of a mailbox"),
    ],
)  # fmt: skip
def test_errors(text: str, said: str) -> None:
    """Each error names the key and the reason."""
    found = errors(f"{UPSTREAM}{text}")
    assert any(said in error for error in found), found
