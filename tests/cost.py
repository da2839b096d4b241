"""What a call costs beside another call, in the same process: ratios hold on a busy machine, seconds do not."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def cpu_s(call: Callable[[], object], *, rounds: int = 5) -> float:
    """Processor time of the cheapest of some calls, in seconds. The garbage of other tests is not collected meanwhile."""
    times_s = []
    gc.disable()
    try:
        for _ in range(rounds):
            began_s = time.process_time()
            call()
            times_s.append(time.process_time() - began_s)
    finally:
        gc.enable()
    return min(times_s)
