"""deploy/debian/rules can be followed wherever the checkout is."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest

from tests.unit.test_docs import ROOT


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_a_checkout_in_a_directory_with_a_space() -> None:
    """The paths that deploy/build-deb hands over stay whole in the shell."""
    values = ["PIP=/a b/pip", "WHEELS=/a b/wheels"]
    command = ["make", "-n", "-f", "deploy/debian/rules", "override_dh_auto_install", *values]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = shlex.split(said.replace("\\\n", ""), comments=True)
    assert "/a b/pip" in words
    assert "/a b/wheels/*.whl" in words
    assert "b/pip" not in words
