"""The event loop of processes that serve clients."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress


def new_event_loop() -> asyncio.AbstractEventLoop:
    """One of uvloop, unless `PDNS_LOOP=asyncio` or uvloop is not there."""
    if os.environ.get("PDNS_LOOP") != "asyncio":
        with suppress(ImportError):
            import uvloop  # noqa: PLC0415 (plain asyncio will do where it cannot be built)

            return uvloop.new_event_loop()
    return asyncio.new_event_loop()
