"""A small resolver on a machine that a test makes hostile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dns.exception
import pytest

from tests.integration.running_pdns import RunningPdns, UpstreamThread, feed

UPSTREAM_SAYS = "192.0.2.7"
ONE_WORKER = {"workers": 1}


def config(tmp_path: Path, upstream: UpstreamThread, **sections: Any) -> dict[str, Any]:
    return {
        "server": ONE_WORKER,
        "upstream": {"servers": [upstream.address], "timeout_s": 3.0},
        "feed": [feed(tmp_path, "listed", "listed.test")],
        **sections,
    }


NATIVE = Path(__file__).with_name("native") / "refuse.c"


def answers_within(pdns: RunningPdns, name: str, address: str, within_s: float = 120.0) -> None:
    """Return when `name` is answered by `address`."""

    def answered() -> bool:
        try:
            return any(address in rrset.to_text() for rrset in pdns.ask(name, timeout_s=0.5).answer)
        except (dns.exception.Timeout, OSError):
            return False

    pdns.wait_for(answered, f"{name} {address}", within_s)


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, for a mount namespace")
