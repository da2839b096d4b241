"""Fixtures that several of these tests share."""

from __future__ import annotations

import pytest

from tests.fakes.identity import Identity, identity_in


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return identity_in(tmp_path_factory.mktemp("identity"))
