"""Rules of `[block_page]`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.loading import UPSTREAM, errors, loaded, make_home


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_home(tmp_path, monkeypatch)
    return tmp_path


def test_off_by_default() -> None:
    """Without an address there is no page."""
    assert loaded(UPSTREAM).block_page.listen == ()


def test_addresses_are_canonical() -> None:
    """The default port is 80."""
    text = f'{UPSTREAM}[block_page]\nlisten = ["192.0.2.1", "[2001:DB8:0::1]:8080"]\n'
    assert loaded(text).block_page.listen == ("192.0.2.1:80", "[2001:db8::1]:8080")


@pytest.mark.parametrize(
    ("listen", "said"),
    [
        ('["blocked.example"]', "block_page.listen[0]: "),
        ('["127.0.0.1:9153"]', "block_page.listen[0]: 127.0.0.1:9153 is already metrics.listen"),
        (str([f"192.0.2.{number}" for number in range(17)]), "block_page.listen: expected at most 16 addresses, got 17"),
    ],
)
def test_bad_addresses(listen: str, said: str) -> None:
    """Each error names the key and the reason."""
    found = errors(f"{UPSTREAM}[block_page]\nlisten = {listen}\n")
    assert any(said in error for error in found), found


@pytest.mark.parametrize(
    "key", ["max_connections = 4", "max_reports = 0", "reports_per_hour = 0", "reports_per_hour_per_client = 0"]
)
def test_limits_have_bounds(key: str) -> None:
    """A limit that would switch a part off, or use too much, is refused."""
    assert errors(f"{UPSTREAM}[block_page]\n{key}\n")
