"""Which of the addresses that are listened on the machine has at the moment. Those that it has not work once it has them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from pdns.config.addresses import Endpoint
from pdns.net.sockets import has_address

_LOOK_EVERY_S: Final = 1.0
_log = logging.getLogger(__name__)


class ListenAddresses:
    """Looks at them again and again, and says in the log what comes and goes. Sends nothing."""

    def __init__(self, endpoints: Callable[[], Iterable[Endpoint]]) -> None:
        """`endpoints` gives those that are bound, and those that wait for their interface."""
        self._endpoints = endpoints
        self.present: dict[str, bool] = {}  # by endpoint, as last looked at

    @property
    def absent(self) -> list[str]:
        """What is missing, a line for each."""
        return [f"{endpoint}: no interface has this address" for endpoint, present in self.present.items() if not present]

    async def watch(self) -> None:
        """Look every second. Runs until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    def look(self) -> None:
        """Look now."""
        before, self.present = (
            self.present,
            {str(endpoint): has_address(endpoint.host, if_unknown=True) for endpoint in self._endpoints()},
        )
        for endpoint, present in self.present.items():
            if not present and before.get(endpoint, True):
                _log.warning("%s: no interface has this address; clients reach it once one has", endpoint)
            elif present and not before.get(endpoint, True):
                _log.info("%s: an interface has this address now", endpoint)
