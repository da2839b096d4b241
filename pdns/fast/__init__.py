"""The compiled part, and the switch: with PDNS_PURE=1 the Python that it is a twin of does the same work, more slowly.

Every module here has its contract in a `.pxd`, its specification in Python elsewhere, and tests that hold the two together.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Final

from pdns.errors import PdnsError

ACCELERATED: Final = os.environ.get("PDNS_PURE") != "1"


def require_fast() -> None:
    """Raises `PdnsError` when the compiled part is wanted and not there: a slow program must not look like a fast one."""
    if ACCELERATED and find_spec("pdns.fast.udp") is None:
        raise PdnsError(
            "the compiled part of pdns is missing; install again where a C compiler is (`pip install .`; Debian, Ubuntu:"
            " apt install gcc python3-dev), or set PDNS_PURE=1 to run without it, at about a quarter of the speed"
        )
