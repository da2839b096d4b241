"""What an encrypted listener needs of the system."""

from __future__ import annotations

import sys

import pytest

from pdns.errors import PdnsError
from pdns.worker.kernels import encrypted_kernel


@pytest.mark.parametrize("module", ["pdns.fast.tls", "pdns.fast.https"])
def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """The message names the Debian packages. Plain DNS does not import these modules, and works without them."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PdnsError, match="apt install libssl3 libnghttp2-14"):
        encrypted_kernel()
