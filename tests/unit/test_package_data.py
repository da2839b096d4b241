"""What an installed package has: files that are no code are in it only where pyproject.toml names them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_MADE = (".pyc", ".so", ".c", ".html")  # by a build


@pytest.mark.parametrize("package", ["pdns", "feeds"])
def test_every_data_file_is_in_the_package(package: str) -> None:
    """Without one, a program that was installed with pip would fail where the checkout works."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][package]
    packed = {path for pattern in data for path in (ROOT / package).glob(pattern)}
    found = {path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix not in (".py", *_MADE)}
    assert {str(path.relative_to(ROOT)) for path in found - packed} == set()
