"""The event loops that every test of I/O runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
import uvloop

Result = TypeVar("Result")

LOOPS = ("asyncio", "uvloop")
on_both_loops = pytest.mark.parametrize("loop", LOOPS)


def run_on(loop: str, main: Coroutine[Any, Any, Result]) -> Result:
    """Run `main` on a new loop of that kind and return its result. A call of the loop's exception handler fails the test."""
    escaped: list[dict[str, Any]] = []

    async def main_with_handler() -> Result:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: escaped.append(context))
        return await main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop) as runner:
        result = runner.run(main_with_handler())
    assert escaped == [], escaped
    return result
