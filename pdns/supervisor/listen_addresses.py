"""Which addresses in `server.listen` an interface has at the moment. The others are served once an interface has them."""

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
    """Checks them every second and logs changes. Sends nothing."""

    def __init__(self, endpoints: Callable[[], Iterable[Endpoint]]) -> None:
        """`endpoints` returns the bound endpoints, and those that wait for their interface."""
        self._endpoints = endpoints
        self.present: dict[str, bool] = {}  # by endpoint, at the last check

    @property
    def absent(self) -> list[str]:
        """One line for each missing address."""
        return [f"{endpoint}: no interface has this address" for endpoint, present in self.present.items() if not present]

    async def run(self) -> None:
        """Check every second. Runs until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    def look(self) -> None:
        """Check now."""
        before, self.present = (
            self.present,
            {str(endpoint): has_address(endpoint.host, if_unknown=True) for endpoint in self._endpoints()},
        )
        for endpoint, present in self.present.items():
            if not present and before.get(endpoint, True):
                _log.warning("%s: no interface has this address; clients reach it once one has", endpoint)
            elif present and not before.get(endpoint, True):
                _log.info("%s: an interface has this address now", endpoint)
